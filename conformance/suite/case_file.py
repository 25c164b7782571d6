"""Case files: a case that somebody has in a file, a find of an exploration or a golden case, judged like any other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from conformance.contract.case import Case
from conformance.contract.check import Check
from conformance.contract.dtypes import DEFAULT
from conformance.contract.errors import UsageError, one_line, unknown
from conformance.contract.intake import Malformed, decoding, json_of
from conformance.contract.selection import Planned, claimed
from conformance.contract.session import Session
from conformance.contract.verdict import Verdict
from conformance.losses import KNOWN
from conformance.requirements import CATALOGUE
from conformance.suite.judged import judged

__all__ = ["FAMILY", "check_of", "planned"]

FAMILY = "case_file"
REQUIREMENT = "properties.differential"


def planned(texts: Sequence[str], dtypes: Sequence[str], chosen: Sequence[str] = ()) -> list[Planned]:
    """The items of case files, each in the type that it names or in all ``dtypes``, in those ``chosen`` where any are.
    Raises `UsageError` for a text that is none, and for two of one id."""
    items: dict[str, Planned] = {}
    for text in texts:
        check, own = check_of(text)
        for dtype in check.among(map(claimed, chosen or ((own,) if own else dtypes))):
            item = Planned(check, dtype)
            if item.name in items:
                raise UsageError(f"two case files have the id {check.id.partition('/')[2]}: run them one by one")
            items[item.name] = item
    return list(items.values())


def check_of(text: str, where: str = "the case file") -> tuple[Check, str]:
    """The check of a case file's text, and the type that it names, if it names one.

    A JSON object: ``id`` and ``case`` as in a golden case, ``requirements`` and ``dtype`` if it has them; what else it
    holds is not read, the answer of a golden case neither. Raises `UsageError` that says what is wrong ``where``.
    """
    try:
        with decoding():
            document = json_of(text)
            case_id, dtype = document["id"], document.get("dtype", "")
            requirements = tuple(document.get("requirements", (REQUIREMENT,)))
            if not all(isinstance(word, str) for word in (case_id, dtype, *requirements)) or not case_id:
                raise Malformed("id, dtype and requirements are texts")
            case = Case.from_json(f"{FAMILY}/{case_id}", document["case"])
    except Malformed as error:
        raise UsageError(f"{where} holds no case: {one_line(str(error), 160)}") from None
    for name in requirements:
        if name not in CATALOGUE:
            raise unknown("requirement", name, CATALOGUE, "lossconf list requirements")
    if dtype:
        claimed(dtype)
    stems = [name.partition(".")[0] for name in requirements]
    stem = next((stem for stem in stems if stem in KNOWN), "net")
    types = (KNOWN[stem].type,) if stem in KNOWN else ()
    run = partial(_judged, case, requirements)
    return Check(case.id, FAMILY, stem, requirements, run, DEFAULT, layer_types=types, forms=case.forms), dtype


def _judged(case: Case, requirements: Sequence[str], session: Session) -> Iterator[Verdict]:
    yield from judged(session, case.id, requirements, case)
