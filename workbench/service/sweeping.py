"""What workers tidy up when they start: raw uploads that nobody will read any more, jobs of the dead.

An import that is done or cancelled needs its files no longer; a crash between the end of the job and the
removal leaves them behind. What a failed import left stays until retention removes it, so that it can be
looked into.
"""

from __future__ import annotations

import os
import secrets
import socket
import time

from sqlalchemy import select

from workbench.errors import NotFound
from workbench.service import spools
from workbench.service.spools import Spool
from workbench.store import jobs
from workbench.store.database import Store
from workbench.store.schema import JobRow

FORGOTTEN_SECONDS = 24 * 3600.0
"""An import that was begun and not committed is dropped after this time."""


def own_name() -> str:
    """A name for this process that no other has or had, and that says on which machine it runs."""
    return f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"


def release_dead(store: Store) -> int:
    """Queue again at once what processes of this machine held that are gone, before their leases run out.

    Returns:
        How many jobs.
    """
    with store.read() as session:
        names = session.scalars(select(JobRow.worker).where(JobRow.state == "running").distinct()).all()
    count = 0
    for name in names:
        host, _, rest = name.rpartition("-")[0].rpartition("-")
        if host == _host() and rest.isdecimal() and not _is_alive(int(rest)):
            count += jobs.release(store, name)
    return count


def _host() -> str:
    return socket.gethostname()[:20]


def _is_alive(process: int) -> bool:
    if os.name != "posix":
        return True  # asking would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


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
