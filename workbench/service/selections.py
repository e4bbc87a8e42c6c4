"""What was chosen in an archive, on its way from the page to the worker.

Study and series UIDs identify patients. They lie in the private folder of the job (0700, file 0600), go with
it, and stand neither in the database nor in the audit trail.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from workbench.errors import NotFound
from workbench.pacs.archive import Selection
from workbench.service.serial import dumped, loaded
from workbench.store.database import Store

_FILE = "selection.json"


@dataclass(frozen=True, slots=True)
class Chosen:
    """An archive and what is wanted of it."""

    archive: str
    selections: tuple[Selection, ...]


def put(store: Store, job_id: str, chosen: Chosen) -> None:
    """Keep it in the folder of a job that is about to be asked for."""
    path = store.spool(job_id) / _FILE
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as file:
        json.dump(dumped(chosen), file)
        file.flush()
        os.fsync(file.fileno())


def get(store: Store, job_id: str) -> Chosen:
    """Read it back.

    Raises:
        NotFound: it is gone.
    """
    try:
        return loaded(Chosen, json.loads((store.spool(job_id) / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise NotFound("What was chosen in the archive is gone. Choose it again.") from error


def forget(store: Store, job_id: str) -> None:
    """Remove it."""
    (store.spool(job_id) / _FILE).unlink(missing_ok=True)
