"""The catalogue of requirements: an id, a statement that can be false, its level and where Caffe says so."""

from conformance.judge.serving import serves
from conformance.requirements.catalogue import CATALOGUE, Requirement

__all__ = ["CATALOGUE", "Requirement", "serves"]
