"""Cause: the vocabulary that mutants and diagnoses share."""

from conformance.diagnosis.cause import Cause

__all__ = ["Cause"]
