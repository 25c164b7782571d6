"""``python -m conformance`` is ``lossconf``."""

from conformance.cli.main import main

main()
