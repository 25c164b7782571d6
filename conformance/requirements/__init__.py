"""The catalogue of requirements: an id, a statement that can be false, its level and where Caffe says so."""

from conformance.requirements.catalogue import CATALOGUE, Requirement

__all__ = ["CATALOGUE", "Requirement"]
