"""Rows to words: pure functions of what was measured, which name no technique. The text follows the data."""

from densebench.report.recommendation import answer_in_words
from densebench.report.write import write_report

__all__ = ["answer_in_words", "write_report"]
