"""Removing raw uploads that nobody will read any more. Called by workers when they start.

An import that is done or cancelled needs its files no longer; a crash between the end of the job and the
removal leaves them behind. What a failed import left stays until retention removes it, so that it can be
looked into.
"""

from __future__ import annotations

import time

from workbench.errors import NotFound
from workbench.service import spools
from workbench.service.spools import Spool
from workbench.store.database import Store
from workbench.store.schema import JobRow

FORGOTTEN_SECONDS = 24 * 3600.0
"""An import that was begun and not committed is dropped after this time."""


def sweep(store: Store) -> int:
    """Remove what is left over.

    Returns:
        How many folders were emptied or removed.
    """
    place = store.data_dir / "spool"
    count = 0
    for folder in place.iterdir() if place.is_dir() else ():
        job_id = folder.name
        with store.read() as session:
            row = session.get(JobRow, job_id)
            state = row.state if row is not None else ""
        if state == "done" and (folder / "files").exists():
            try:
                Spool(store, job_id).clear()
            except NotFound:
                spools.remove(store, job_id)
            count += 1
        elif state == "cancelled" or (not state and _age(folder.stat().st_mtime) > FORGOTTEN_SECONDS):
            spools.remove(store, job_id)
            count += 1
    return count


def _age(at: float) -> float:
    return time.time() - at
