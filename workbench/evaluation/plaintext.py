"""Words and cells that every table and report shares."""

from __future__ import annotations

NOTICE = "For research use. Not for diagnostic use."


def csv_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
