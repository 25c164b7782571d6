"""What an implementation most likely got wrong, from how its answers differ."""

from conformance.diagnosis.cause import Cause
from conformance.diagnosis.diagnosis import diagnose
from conformance.diagnosis.evidence import Evidence
from conformance.diagnosis.investigator import Investigator

__all__ = ["Cause", "Evidence", "Investigator", "diagnose"]
