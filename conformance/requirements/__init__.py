"""The catalogue of requirements: an id, a statement that can be false, its level and where Caffe says so."""

from conformance.requirements.catalogue import CATALOGUE, Requirement
from conformance.requirements.serving import serves

__all__ = ["CATALOGUE", "Requirement", "serves"]
