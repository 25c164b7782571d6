"""The lowest versions that pyproject.toml allows, installed into this Python: ``python tests/lowest.py``.

Of the dependencies and of the extras that the tests need; ``--print`` lists them instead.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

EXTRAS = ("dask", "oracle", "protobuf", "test")
_PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
_LOWEST = re.compile(r"(?P<name>[\w.-]+)>=(?P<version>[\w.]+)(?:,[^;]*)?(?:; *(?P<marker>.*))?")
_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"')


def lowest() -> Iterator[str]:
    """Requirements of one version each. Raises `ValueError` for one without a lower bound."""
    text = _PYPROJECT.read_text("utf-8")  # tomllib is not there on every Python, and what brings one is to be installed
    for name in ("dependencies", *EXTRAS):
        listed = re.search(rf"^{name} = \[(.*?)\]$", text, re.DOTALL | re.MULTILINE)
        for item in _ITEM.findall(listed[1] if listed else ""):
            if item.startswith("caffe-loss-conformance["):
                continue
            found = _LOWEST.fullmatch(item)
            if found is None:
                raise ValueError(f"{item!r} has no lower bound")
            yield f"{found['name']}=={found['version']}" + (f"; {found['marker']}" if found["marker"] else "")


def main() -> int:
    if "--print" in sys.argv:
        print("\n".join(lowest()))
        return 0
    return subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *lowest()], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
