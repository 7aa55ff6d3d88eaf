"""`report.html`: the answer as one file that opens without a network."""

from densebench.report.html.across import across_page
from densebench.report.html.page import page

__all__ = ["across_page", "page"]
