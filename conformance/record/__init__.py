"""The record of a run: ``report.jsonl`` is the truth, and everything a person sees is rendered from it."""

from conformance.record.jsonl import Judged, Report, ReportWriter, read_report, verdict_from_json, verdict_to_json

__all__ = ["Judged", "Report", "ReportWriter", "read_report", "verdict_from_json", "verdict_to_json"]
