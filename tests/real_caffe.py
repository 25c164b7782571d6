"""Find a Python that a real Caffe still installs in, make a virtual environment of it, and run tests and suite on it.

    python tests/real_caffe.py find             print the interpreter
    python tests/real_caffe.py run FOLDER       install Caffe into FOLDER, run its tests and the suite on it

Ends with 77 and says "not run" where there is no such Python. Caffe is the build that PyPI carries as kendryte-caffe;
its own requirements (scikit-image among them) are left out: the worker does without.
"""

from __future__ import annotations

import argparse
import glob
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CAFFE = "kendryte-caffe==1.0.0.20210829"
ITS_NEEDS = ("numpy<2", "protobuf<4", "six")
VERSIONS = ("3.9", "3.8", "3.7", "3.6")
NOT_RUN = 77


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["find", "run"])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(".caffe"))
    parser.add_argument("arguments", nargs="*", help="for lossconf run, after --")
    asked = parser.parse_args()
    interpreter = next(interpreters(), None)
    if interpreter is None:
        print("not run: needs CPython 3.6-3.9")
        return NOT_RUN
    if asked.what == "find":
        print(interpreter)
        return 0
    python = installed(interpreter, asked.folder.resolve())
    environment = {**os.environ, "LOSSCONF_CAFFE_PYTHON": str(python)}
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/adapters/test_pycaffe.py"], env=environment
    ).returncode
    bits = subprocess.run([sys.executable, "-m", "fixtures.tools.replay", f"pycaffe:{python}"]).returncode
    report = asked.folder / "report.jsonl"
    run = [sys.executable, "-m", "conformance", "run", f"pycaffe:{python}", "-j", "2", "--report", str(report)]
    suite = subprocess.run([*run, *asked.arguments]).returncode
    print(f"tests ended with {tests}, the bitwise replay with {bits} (it names what differs), the suite with {suite}")
    return tests or suite


def interpreters() -> Iterator[Path]:
    """Interpreters of the versions Caffe was built for that run and can make virtual environments, newest first."""
    roots = [os.environ.get("PYENV_ROOT", ""), os.path.expanduser("~/.pyenv")]
    for version in VERSIONS:
        candidates = [shutil.which(f"python{version}") or ""]
        candidates += [
            path for root in roots if root for path in sorted(glob.glob(f"{root}/versions/{version}.*/bin/python"))
        ]
        for candidate in candidates:
            if candidate and _is(candidate, version):
                yield Path(candidate)


def _is(candidate: str, version: str) -> bool:
    probe = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2], sys.implementation.name)"
    answer = subprocess.run([candidate, "-c", probe], capture_output=True, text=True)
    return answer.returncode == 0 and answer.stdout.split() == [version, "cpython"]


def installed(interpreter: Path, folder: Path) -> Path:
    """The Python of a virtual environment in ``folder`` that holds Caffe."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([str(interpreter), "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *ITS_NEEDS], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--no-deps", CAFFE], check=True)
    return python


if __name__ == "__main__":
    sys.exit(main())
