"""Fuzzing: every decoder of what others wrote, fed by atheris: ``python -m tests.fuzz DECODER [libFuzzer's options]``.

A decoder takes bytes and may say no in one way only; whatever else it raises is a find. Finds are minimised and kept in
``tests/fuzz_corpus/DECODER``, which `tests/test_fuzz.py` decodes again in every run of the tests, without atheris.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from conformance.contract.case import Case
from conformance.contract.errors import UsageError
from conformance.contract.implementation import ImplementationError
from conformance.contract.intake import Malformed
from conformance.contract.outcome import Outcome, Refusal
from conformance.evaluation.arrays import read_arrays
from conformance.evaluation.caffemodel import read_caffemodel
from conformance.gate import read_baseline, read_lock
from conformance.protocol import (
    outcome_message,
    read_answer,
    read_case,
    read_computed,
    read_description,
    read_outcome,
    read_times,
)
from conformance.protocol.index import Index
from conformance.record.conclusion import Conclusion
from conformance.record.evidence import evidence_of
from conformance.record.reader import read_report
from conformance.timing.result import read_result
from refimpl.errors import NetError
from refimpl.prototxt import parse_net

__all__ = ["CORPUS", "DECODERS", "decode", "main"]

CORPUS = Path(__file__).resolve().parent / "fuzz_corpus"

CASE = Case(
    "fuzz/1",
    'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }\n'
    'layer { name: "l" type: "EuclideanLoss" bottom: "x" bottom: "x" top: "l" }',
    {"x": np.array([1.0, 2.0])},
)


_JSON = ("answer", "case", "report", "index", "result")
"""Decoders of JSON, which a change of bytes seldom leaves."""

ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**63,
        2**64,
        10**40,
        10**299,
        0.5,
        -0.0,
        1e308,
        5e-324,
        float("inf"),
        "",
        "x",
    ),
    *("NaN", "Infinity", "-Infinity", "float32", "float16", "AAAA", "=", "\x1b[2J", "\ud800", "\0", "../x", "9" * 400),
    *("1e999", "TRAIN", "forward", [], {}, [[]], [{}], {"": {}}, [1, 2], ["x"], [1.0, "NaN"], [0] * 40, [2**40, 2**40]),
    *(
        {"shape": [], "data": [1.0]},
        {"shape": [0], "data": []},
        {"dtype": "float32", "shape": [1], "base64": "AACAPw=="},
    ),
)
"""What is put in the places of documents."""

DEEPEST = 20
"""Levels of a document in which something is changed."""


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))


def _in_file(read: Callable[[Path], object], name: str = "input") -> Callable[[bytes], object]:
    def decode(content: bytes) -> object:
        path = _folder() / name
        path.write_bytes(content)
        return read(path)

    return decode


def _answer(content: bytes) -> object:
    answer = read_answer(content)
    if answer.kind == "description":
        return read_description(answer.body)
    if answer.kind == "times":
        return read_times(answer.body, 3)
    if answer.kind == "computed":
        return read_computed(answer.body, "float32")
    body = answer.result("outcome")
    if isinstance(body, Refusal):
        return body
    outcome = read_outcome(body, CASE, "float32")
    assert isinstance(outcome, Outcome)
    json.dumps(outcome.to_json(), allow_nan=False)
    return json.dumps(outcome_message(outcome), allow_nan=False)


def _case(content: bytes) -> object:
    value = json.loads(content)
    if isinstance(value, dict):
        case = read_case(value)
        json.dumps(case.to_json(), allow_nan=False)
        return case.digest()
    return None


def _report(path: Path) -> object:
    report = read_report(path)
    evidence_of(report)
    return Conclusion(report).line.encode("utf-8", "replace")


def _net(content: bytes) -> object:
    return parse_net(content.decode("utf-8"))


DECODERS: Mapping[str, tuple[Callable[[bytes], object], tuple[type[Exception], ...]]] = {
    "answer": (_answer, (Malformed, ImplementationError)),
    "case": (_case, (ValueError,)),
    "report": (_in_file(_report), (UsageError,)),
    "index": (_in_file(lambda path: Index.read(path.parent), "index.json"), (UsageError,)),
    "baseline": (_in_file(read_baseline), (UsageError,)),
    "lock": (_in_file(read_lock), (UsageError,)),
    "result": (_in_file(read_result), (UsageError,)),
    "npz": (_in_file(read_arrays), (UsageError,)),
    "caffemodel": (_in_file(read_caffemodel), (UsageError,)),
    "prototxt": (_net, (NetError, UnicodeDecodeError)),
}
"""What takes bytes, and how each may say no."""


def decode(name: str, content: bytes) -> object:
    """What a decoder makes of bytes; None where it says no. What it must not raise rises."""
    function, refusals = DECODERS[name]
    with suppress(*refusals):
        return function(content)
    return None


def seeds(name: str) -> Iterator[bytes]:
    """Documents that the decoder takes, or that are near to such."""
    from tests import fuzz_seeds

    yield from fuzz_seeds.seeds(name)


def main() -> None:
    """Feed one decoder until its runs are over or something is found. The options are libFuzzer's."""
    import atheris

    name, *options = sys.argv[1:]
    for module in [each for each in sys.modules if each.startswith(("conformance.", "refimpl."))]:
        _instrument(atheris, sys.modules[module])
    start = _folder() / "seeds"
    start.mkdir(exist_ok=True)
    for number, content in enumerate(seeds(name)):
        (start / str(number)).write_bytes(content)
    work = Path(os.environ.get("FUZZ_WORK", _folder() / "work")) / name
    work.mkdir(parents=True, exist_ok=True)
    kept = CORPUS / name
    folders = [str(work), str(start), *([str(kept)] if kept.is_dir() else [])]
    words = [sys.argv[0], "-max_len=4096", "-timeout=20", *options, *folders]
    atheris.Setup(words, partial(decode, name), **({"custom_mutator": _mutated} if name in _JSON else {}))
    atheris.Fuzz()


def _mutated(content: bytes, most: int, seed: int) -> bytes:
    """The next input: of a line of JSON some places with something else in them, or of all bytes a few."""
    rng = random.Random(seed)
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    if rng.random() < 0.75:
        with suppress(ValueError, RecursionError):
            value = json.loads(lines[at])
            for _ in range(rng.choice((1, 1, 2, 4))):
                value = _changed(value, rng)
            lines[at] = json.dumps(value).encode()
            if rng.random() < 0.05:
                lines.insert(at, lines[at])
            made = b"\n".join(lines)
            if len(made) <= most:
                return made
    changed = bytearray(content)
    for _ in range(rng.choice((1, 2, 8))):
        start = rng.randrange(len(changed) + 1)
        part = changed[start : start + rng.choice((1, 1, 4, 40))]
        changed[start : start + len(part)] = rng.choice((b"", bytes(part) * 2, rng.randbytes(len(part))))
    return bytes(changed[:most])


def _changed(value: Any, rng: random.Random) -> Any:
    """A JSON value with one of its places deleted, doubled, swapped for another of its places, or odd."""
    places = list(_places(value))
    place, held = rng.choice(places)
    if not place or rng.random() < 0.1:
        return rng.choice(ODD) if rng.random() < 0.05 else value
    what = rng.random()
    new = rng.choice(ODD) if what < 0.6 else rng.choice(places)[1]
    within = value
    for step in place[:-1]:
        within = within[step]
    if what > 0.85:
        del within[place[-1]]
    elif isinstance(within, list) and rng.random() < 0.3:
        within.insert(place[-1], json.loads(json.dumps(held)))
    else:
        within[place[-1]] = json.loads(json.dumps(new))
    return value


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Those down to `DEEPEST`: a document of hundreds of levels would take longer to change than to decode."""
    yield place, value
    if len(place) == DEEPEST:
        return
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, each in inside:
        yield from _places(each, (*place, step))


def _instrument(atheris: Any, module: Any) -> None:
    """Has atheris see which branches a module's functions take."""
    for value in list(vars(module).values()):
        for function in (value, *(vars(value).values() if isinstance(value, type) else ())):
            inner = getattr(function, "__func__", function)
            if getattr(inner, "__module__", None) == module.__name__ and hasattr(inner, "__code__"):
                with suppress(Exception):
                    atheris.instrument_func(inner)


if __name__ == "__main__":
    main()
