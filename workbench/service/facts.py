"""What reports and bundles say of a condition, gathered in one view of the database."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workbench.errors import NotFound
from workbench.service import versions
from workbench.service.access import level_of
from workbench.service.caselist import ListedCase, listed_cases
from workbench.service.kinds import Actor, ConditionInfo, VersionInfo
from workbench.service.overview import active_version, overview
from workbench.store import audit, settings
from workbench.store.schema import Label, ScanRow, Version

if TYPE_CHECKING:
    from workbench.adaptation.model import AdaptedModel

_PACKAGES = ("fewshot-workbench", "torch", "numpy", "monai", "pydicom", "scikit-learn")
"""Those that a reading depends on."""


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """A condition, a version and its readings at one moment.

    Attributes:
        info: of the condition.
        version: None where nothing has been adapted.
        model: of the version; None likewise.
        model_sha256: of its file, or empty.
        cases: with readings by the version and what people said.
        numbers: of scans by identifier.
        readers: how many people labelled scans.
        audit_head: number and digest of the audit trail's last line.
    """

    info: ConditionInfo
    version: VersionInfo | None
    model: AdaptedModel | None
    model_sha256: str
    cases: tuple[ListedCase, ...]
    numbers: Mapping[str, int]
    readers: int
    audit_head: str

    def name_of(self, scan_id: str) -> str:
        """``scan 7``."""
        number = self.numbers.get(scan_id)
        return f"scan {number}" if number else "a scan that was removed"


def chosen_version(session: Session, condition_id: str, version_id: str) -> Version | None:
    """The version of that identifier, or the active one where none is named.

    Raises:
        NotFound: the condition has no such version.
    """
    if not version_id:
        return active_version(session, condition_id)
    row = session.get(Version, version_id)
    if row is None or row.condition_id != condition_id:
        raise NotFound("There is no such version of this condition.")
    return row


def gathered(session: Session, actor: Actor, condition_id: str, row: Version | None) -> Facts:
    """Facts without the model, which takes longer to load than a view of the database should stay open.

    Raises:
        NotFound: there is no such condition, or not for the actor.
    """
    condition = level_of(session, actor, condition_id)
    scans = session.execute(select(ScanRow.id, ScanRow.number).where(ScanRow.condition_id == condition_id))
    readers = session.scalar(
        select(func.count(func.distinct(Label.user_id)))
        .join(ScanRow, ScanRow.id == Label.scan_id)
        .where(ScanRow.condition_id == condition_id)
    )
    return Facts(
        overview(session, actor, condition),
        versions.info(session, row) if row is not None else None,
        None,
        row.model if row is not None else "",
        listed_cases(session, actor, condition, row),
        {scan: number for scan, number in scans},
        readers or 0,
        settings.get(session, audit.HEAD, f"0:{audit.FIRST}"),
    )


def versions_of() -> dict[str, str]:
    """Versions of what readings depend on, by package, and of Python."""
    found = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "checkout"
    return found
