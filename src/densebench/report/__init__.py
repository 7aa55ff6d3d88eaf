"""Rows to words: pure functions of what was measured, which name no technique. The text follows the data."""

from densebench.report.recommendation import recommendation_of
from densebench.report.write import write_report

__all__ = ["recommendation_of", "write_report"]
