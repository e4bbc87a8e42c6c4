"""A worker that is killed in the middle of an import or an adaptation: each has its effect once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.service.conftest import class_files, lesions, upload
from workbench.service import adapting, imports, labels, reading, trays, versions, work
from workbench.service.kinds import Actor, JobInfo
from workbench.store import audit
from workbench.store.database import Store
from workbench.store.schema import AuditRow, JobRow

SECONDS = 240.0
pytestmark = (
    pytest.mark.slow
)  # each worker process loads all of torch; test_again.py does the same within one


@contextmanager
def worker(store: Store, weights: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process on the store's folder."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "workbench.service.worker", "--data", str(store.data_dir)),
            *("--weights", str(weights), "--parent", str(os.getpid())),
        ],
        env=os.environ | {"WORKBENCH_WORKERS": "1"},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def row(store: Store, job: JobInfo) -> JobRow:
    with store.read() as session:
        found = session.get(JobRow, job.id)
        assert found is not None
        return found


def killed_within(store: Store, process: subprocess.Popen[bytes], job: JobInfo, said: str = "") -> bool:
    """Kill the worker once the job is under way; whether it was still under way then."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        found = row(store, job)
        if (found.state == "running" and found.said.startswith(said)) or found.state == "done":
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return row(store, job).state == "running"


def audited(store: Store, action: str) -> int:
    with store.read() as session:
        return session.scalar(select(func.count()).where(AuditRow.action == action)) or 0


def test_killed_in_mid_import_and_in_mid_adapt_each_effect_comes_once(
    store: Store, ada: Actor, phantoms: Path, weights: Path
) -> None:
    condition = lesions(store, ada)
    imported = upload(store, ada, condition.id, class_files(phantoms, 5))
    with worker(store, weights) as process:
        assert killed_within(store, process, imported, "Reading file")
    assert trays.scans(store, ada, condition.id) == (), "nothing is half there"
    with worker(store, weights) as process:
        assert work.wait(store, ada, imported.id, SECONDS).state == "done"
        assert len(trays.scans(store, ada, condition.id)) == 10
        (batch,) = imports.batches(store, ada, condition.id)
        assert (len(batch.scans), batch.copies, batch.refused) == (10, (), ())
        assert audited(store, "import.done") == 1
        labels.accept_hints(store, ada, condition.id)
        read = upload(store, ada, condition.id, class_files(phantoms, 1, first=5), role="case")
        assert work.wait(store, ada, read.id, SECONDS).state == "done"
        adapted = adapting.start(store, ada, condition.id)
        was_killed = killed_within(store, process, adapted)
    if not was_killed:
        pytest.skip("the adaptation was over before it could be killed")
    assert versions.all(store, ada, condition.id) == ()
    with worker(store, weights):
        assert work.wait(store, ada, adapted.id, SECONDS).state == "done"
    (version,) = versions.all(store, ada, condition.id)
    assert version.number == 1
    assert row(store, adapted).attempts == 2
    assert all(case.reading is not None for case in reading.cases(store, ada, condition.id))
    assert audited(store, "version.made") == 1
    assert audit.verify(store).broken is None


def test_a_worker_ends_when_told_and_the_job_waits_for_another(
    store: Store, ada: Actor, phantoms: Path, weights: Path
) -> None:
    condition = lesions(store, ada)
    with worker(store, weights) as process:
        job = upload(store, ada, condition.id, class_files(phantoms, 1))
        assert work.wait(store, ada, job.id, SECONDS).state == "done"
        process.terminate()
        assert process.wait(SECONDS) == 0
    later = upload(store, ada, condition.id, class_files(phantoms, 1, first=1))
    assert work.job(store, ada, later.id).state == "queued"
