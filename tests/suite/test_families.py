"""Families of checks made by hand: the reference passes them in both dialects, each verdict under an id of its own."""

from __future__ import annotations

from importlib import import_module

import pytest

from conformance.adapters.reference import ReferenceImplementation
from conformance.contract.check import Check
from conformance.requirements import CATALOGUE
from tests.broken import not_passed, run_family

DTYPES = ("float32", "float64")

every_family = pytest.mark.parametrize("family", ["contract", "labels", "options"])


def checks_of(family: str) -> list[Check]:
    return list(import_module(f"conformance.suite.{family}").checks())


@every_family
@pytest.mark.parametrize("asked", ["its-own", pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dialect", ["documented", "bvlc"])
def test_the_reference_passes(family: str, dialect: str, asked: str | None) -> None:
    verdicts = run_family(checks_of(family), ReferenceImplementation(dialect), DTYPES, asked and dialect)
    assert not not_passed(verdicts)
    names = [(v.check, v.requirement, v.dtype) for v in verdicts]
    assert names
    assert len(names) == len(set(names))
    assert {v.requirement for v in verdicts} <= CATALOGUE.keys()
