"""Jobs that are cut off at any report and done again by another worker have their effect once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.service.conftest import Run, class_files, lesions, upload
from workbench.service import adapting, imports, labels, reading, trays, versions
from workbench.service.engine import Engine
from workbench.service.handlers import handlers
from workbench.service.kinds import Actor
from workbench.service.sweeping import own_name, release_dead
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.schema import AuditRow


class Killed(BaseException):
    """Stands for the process that is gone: nothing catches it, nothing is tidied up."""


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many reports the next job may make before it is gone."""
    left = [10**9]

    def report(claim: jobs.Claim, done: int, total: int, said: str = "") -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    monkeypatch.setattr(jobs.Claim, "report", report)
    return left


def cut_off(store: Store, engine: Engine, after: list[int], reports: int) -> bool:
    """Do the next job until it has reported so often; whether it was cut off."""
    claim = jobs.claim(store, "cut", threading.Event())
    assert claim is not None
    after[0] = reports
    try:
        handlers(engine)[claim.kind](store, claim)
    except Killed:
        jobs.release(store, "cut")
        return True
    finally:
        after[0] = 10**9
    return False


def audited(store: Store, action: str) -> int:
    with store.read() as session:
        return session.scalar(select(func.count()).where(AuditRow.action == action)) or 0


def test_an_import_and_an_adaptation_cut_off_anywhere_come_once(
    store: Store, ada: Actor, phantoms: Path, engine: Engine, run_jobs: Run, after: list[int]
) -> None:
    condition = lesions(store, ada)
    upload(store, ada, condition.id, class_files(phantoms, 4))
    for reports in range(0, 4):
        assert cut_off(store, engine, after, 3 * reports)
        assert trays.scans(store, ada, condition.id) == (), "nothing is half there"
    run_jobs()
    assert len(trays.scans(store, ada, condition.id)) == 8
    (batch,) = imports.batches(store, ada, condition.id)
    assert (len(batch.scans), batch.copies, batch.refused) == (8, (), ())
    labels.accept_hints(store, ada, condition.id)
    upload(store, ada, condition.id, class_files(phantoms, 1, first=5), role="case")
    run_jobs()
    adapting.start(store, ada, condition.id)
    for reports in (0, 1, 5, 10):  # a job that dies five times is given up
        assert cut_off(store, engine, after, reports)
        assert versions.all(store, ada, condition.id) == ()
    run_jobs()
    (version,) = versions.all(store, ada, condition.id)
    assert version.number == 1
    assert all(case.reading is not None for case in reading.cases(store, ada, condition.id))
    assert (audited(store, "import.done"), audited(store, "version.made")) == (2, 1)
    assert audit.verify(store).broken is None


def test_a_worker_that_lost_its_lease_leaves_no_effect(
    store: Store, ada: Actor, phantoms: Path, engine: Engine, run_jobs: Run
) -> None:
    condition = lesions(store, ada)
    upload(store, ada, condition.id, class_files(phantoms, 2))
    slow = jobs.claim(store, "slow", threading.Event())
    assert slow is not None
    jobs.release(store, "slow")
    run_jobs()
    with pytest.raises(Exception) as caught:  # noqa: PT011 - either the lease or the files are gone
        handlers(engine)["import"](store, slow)
    assert type(caught.value).__name__ in ("LeaseLost", "NotFound")
    assert len(trays.scans(store, ada, condition.id)) == 4


def test_jobs_of_processes_that_are_gone_are_queued_again_at_once(
    store: Store, ada: Actor, phantoms: Path
) -> None:
    condition = lesions(store, ada)
    host = own_name().rpartition("-")[0].rpartition("-")[0]
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name in (f"{host}-{gone.pid}-00", f"{host}-{os.getpid()}-00", f"elsewhere-{gone.pid}-00"):
        upload(store, ada, condition.id, class_files(phantoms, 1))
        assert jobs.claim(store, name, threading.Event()) is not None
    assert release_dead(store) == 1
    again = jobs.claim(store, "another", threading.Event())
    assert again is not None
    assert again.attempts == 2
    assert jobs.claim(store, "another", threading.Event()) is None
