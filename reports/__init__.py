"""The acceptance report: made from ``outcome.json`` alone, so that an old run can be told again."""

from reports.render import Rendered, ReportError, render, write

__all__ = ["Rendered", "ReportError", "render", "write"]
