"""The report of a run: ``report.jsonl`` is the truth, and every other format is rendered from it."""

from conformance.report.jsonl import Judged, Report, ReportWriter, read_report, verdict_from_json, verdict_to_json

__all__ = ["Judged", "Report", "ReportWriter", "read_report", "verdict_from_json", "verdict_to_json"]
