"""What a worker process does all day: claim a job, keep its lease alive, hand it to its kind's function."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from workbench.errors import without_words
from workbench.store import jobs
from workbench.store.database import Store

POLL_SECONDS = 0.1
LOST_SECONDS = 2.0
"""Pause after the database could not be reached."""
log = logging.getLogger(__name__)

Handler = Callable[[Store, jobs.Claim], None]
"""Does one job and ends it by `jobs.finish` in the transaction that writes its effect."""


def run(store: Store, handlers: Mapping[str, Handler], stop: threading.Event, worker: str) -> None:
    """Do jobs, one after the other, until `stop` is set.

    Args:
        store: where they wait.
        handlers: by kind of job.
        stop: also ends the job at hand, at its next report; it is queued again.
        worker: name of this process, that no other process has or had.
    """
    while not stop.is_set():
        try:
            claim = jobs.claim(store, worker, stop)
            if claim is None:
                stop.wait(POLL_SECONDS)
            else:
                do(store, handlers, claim)
        except DBAPIError as error:
            # The lease runs out, and the job is taken again once the database is back.
            log.warning("The database cannot be used (%s); trying again.", type(error).__name__)
            stop.wait(LOST_SECONDS)


def do(store: Store, handlers: Mapping[str, Handler], claim: jobs.Claim) -> None:
    """Do one job and see that it ends one way or the other."""
    try:
        with _kept(claim):
            handlers[claim.kind](store, claim)
        if jobs.is_held(store, claim):
            raise RuntimeError("the handler returned without finishing its job")
    except jobs.Cancelled:
        jobs.give_up(store, claim)
    except jobs.Stopped:
        jobs.put_back(store, claim)
    except jobs.LeaseLost:
        log.warning(
            "Job %s (%s) was taken by another worker; this one's work is dropped.", claim.id, claim.kind
        )
    except Exception as error:
        log.warning("Job %s (%s) failed: %s", claim.id, claim.kind, without_words(error))
        jobs.fail(store, claim, error)


@contextmanager
def _kept(claim: jobs.Claim) -> Iterator[None]:
    """Renew the lease from a thread of its own: a handler may compute for longer than one lease."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(jobs.LEASE_SECONDS / 3):
            try:
                claim.renew()
            except jobs.LeaseLost:
                return
            except DBAPIError as error:
                log.warning("Could not renew the lease of job %s (%s).", claim.id, type(error).__name__)

    thread = threading.Thread(target=beat, name=f"lease of {claim.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
