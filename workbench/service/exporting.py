"""Reports, model cards and bundles on demand: `start` asks for them, `export` is what a worker does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from workbench.adaptation.model import AdaptedModel
from workbench.errors import NotFound, SupportError
from workbench.evaluation.document import as_html, as_markdown, as_pdf
from workbench.service import artefacts, bundle, facts, report
from workbench.service.access import level_of
from workbench.service.artefacts import Made
from workbench.service.engine import Engine
from workbench.service.kinds import Actor, JobInfo, Level
from workbench.service.people import actor_of_job
from workbench.service.seal import fingerprint, public_of, site_key, write_sealed
from workbench.service.serial import dumped, loaded
from workbench.service.work import info
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.jobs import Claim
from workbench.store.schema import JobRow, Version


class Export(StrEnum):
    """What can be made to take away."""

    REPORT = "report"
    """Of the condition, as page and PDF."""
    CARD = "card"
    """Model card of a version, as Markdown."""
    BUNDLE = "bundle"
    """Case bundle of a version, signed; see `workbench.service.bundle`."""


@dataclass(frozen=True, slots=True)
class ExportGiven:
    """Arguments of an export; an empty version stands for the active one, if there is any."""

    what: Export
    version_id: str = ""
