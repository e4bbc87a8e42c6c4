"""Marked regions of an adaptation: what the labelled scans had, and what a new scan should have.

Called by `model.adapt`, and by everything that reads new scans with an adapted model.
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.errors import ScanRefused
from workbench.imaging.region import Region
from workbench.imaging.scan import Finding, Scan, Severity
from workbench.learners.files import ClassifierRecord

_EACH, _SOME = "marked scan by scan", "marked on some scans"


def described(scans: Sequence[Scan]) -> str:
    """What was marked on labelled scans, in words; empty where nothing was."""
    found = {scan.marked for scan in scans}
    if "" in found:
        return _SOME if len(found) > 1 else ""
    return found.pop() if len(found) == 1 else _EACH


def marked(
    record: ClassifierRecord, scan: Scan, name: str, region: Region | None = None
) -> Scan | ScanRefused:
    """A new scan with its region applied, and a finding where model and scan differ in being marked.

    Args:
        record: of the model that will read it.
        scan: whole, or marked already.
        name: what to call it in a refusal.
        region: to be applied; None for none.
    """
    if region is not None:
        try:
            scan = region.apply(scan)
        except ScanRefused as refusal:
            return ScanRefused(name, refusal.reason, refusal.fix)
    if record.region and record.region != _SOME and not scan.marked:
        return scan.with_findings(
            Finding(
                "region-missing",
                Severity.WARNING,
                f"The model was adapted to marked parts of scans ({record.region}); this scan is read whole.",
                "Mark the same part on it.",
            )
        )
    if scan.marked and not record.region:
        return scan.with_findings(
            Finding(
                "region-new",
                Severity.WARNING,
                "The model was adapted to whole scans; of this one only a marked part is read.",
                "Read the whole scan, or adapt to marked parts.",
            )
        )
    return scan
