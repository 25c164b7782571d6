"""Smoke: is an implementation plugged in rightly? The plumbing is judged, not the losses."""

from conformance.smoke.found import Found, State
from conformance.smoke.process import smoke

__all__ = ["Found", "State", "smoke"]
