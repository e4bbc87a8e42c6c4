"""A store, people, a tiny untrained learner, and a worker that runs inside the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from workbench.imaging.phantom import write_phantoms
from workbench.service import conditions, imports, work
from workbench.service.engine import Engine
from workbench.service.handlers import handlers
from workbench.service.kinds import Actor, ConditionInfo, Draft, ImportOptions, JobInfo, Role
from workbench.store import jobs, loop
from workbench.store.database import Store
from workbench.store.schema import User, new_id

CLASSES = ("spiculated", "smooth")


@pytest.fixture(scope="session")
def engine(weights: Path) -> Engine:
    return Engine(weights)


@pytest.fixture
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    """On SQLite, or on PostgreSQL where a test is parametrised with `ON_BOTH`."""
    is_postgres = getattr(request, "param", "sqlite") == "postgresql"
    url = request.getfixturevalue("postgres_server").new_database() if is_postgres else None
    opened = Store.open(tmp_path / "data", url)
    yield opened
    opened.close()


ON_BOTH = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)


def person(store: Store, name: str, role: Role = Role.EDITOR) -> Actor:
    """Somebody who may sign in."""
    with store.session() as session:
        user = User(id=new_id(), name=name, display=name.title(), role=role.value)
        session.add(user)
    return Actor(user.id, name, role, name.title())


@pytest.fixture
def ada(store: Store) -> Actor:
    return person(store, "ada")


@pytest.fixture
def ben(store: Store) -> Actor:
    return person(store, "ben")


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of DICOM phantoms, seven patients each."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, 7, seed=3)
    return folder


Run = Callable[[], int]


@pytest.fixture
def run_jobs(store: Store, engine: Engine) -> Run:
    """Does every job that waits, as the worker process would; returns how many."""

    def run() -> int:
        count = 0
        while (claim := jobs.claim(store, "test", threading.Event())) is not None:
            loop.do(store, handlers(engine), claim)
            count += 1
        return count

    return run


def upload(
    store: Store,
    actor: Actor,
    condition_id: str,
    files: Sequence[tuple[str, Path]],
    role: str = "support",
    options: ImportOptions | None = None,
) -> JobInfo:
    """Files under their names, committed."""
    job_id = imports.begin(store, actor, condition_id, role)
    for name, path in files:
        imports.take(store, actor, job_id, name, path, path.stat().st_size)
    return imports.commit(store, actor, job_id, options)


def class_files(folder: Path, count: int, first: int = 0) -> list[tuple[str, Path]]:
    """Some files of each class folder, named below it."""
    return [
        (f"{place.name}/{path.name}", path)
        for place in sorted(folder.iterdir())
        for path in sorted(place.iterdir())[first : first + count]
    ]


def lesions(store: Store, actor: Actor) -> ConditionInfo:
    """A condition of the phantoms' two classes."""
    return conditions.create(store, actor, Draft("Lesion border", CLASSES))


def done(store: Store, actor: Actor, job: JobInfo) -> JobInfo:
    """The job, which must have worked."""
    found = work.job(store, actor, job.id)
    assert found.state == "done", found.error
    return found
