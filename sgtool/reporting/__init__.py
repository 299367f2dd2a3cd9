"""A run folder as one page for a browser: curves, pictures over time, events, configuration."""

from sgtool.reporting.live import Report
from sgtool.reporting.write import write_comparison, write_report

__all__ = ["Report", "write_comparison", "write_report"]
