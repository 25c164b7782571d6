"""``python -m conformance.mutants``: the command ``lossconf mutants``."""

from __future__ import annotations

import sys

from conformance.cli.main import main

main(["mutants", *sys.argv[1:]])
