"""Say it: a summary of what was found, one offline HTML file, and the same as JSON."""

from finestrec.report.page import page
from finestrec.report.summary import Summary

__all__ = ["Summary", "page"]
