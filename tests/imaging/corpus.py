"""The real files beside the checkout, each read once per test process."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from workbench.errors import ScanRefused
from workbench.imaging import Scan, read_scan

DEFECTS = (NameError, AttributeError, AssertionError, ImportError)
"""Causes of a refusal that would be our own fault."""


@cache
def read_once(path: Path) -> Scan | ScanRefused:
    """What `read_scan` makes of a file with its defaults."""
    try:
        return read_scan(path)
    except ScanRefused as error:
        return error
