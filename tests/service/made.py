"""A condition that was labelled, adapted and read, for tests of what is taken away from it."""

from __future__ import annotations

from pathlib import Path

from tests.service.conftest import Run, class_files, done, lesions, upload
from workbench.service import adapting, conditions, labels
from workbench.service.kinds import Actor, ConditionInfo, Draft
from workbench.store.database import Store


def adapted(
    store: Store,
    actor: Actor,
    phantoms: Path,
    run_jobs: Run,
    labelled: int = 4,
    cases: int = 2,
    draft: Draft | None = None,
) -> ConditionInfo:
    """Some labelled patients of each class, a version, and cases of other patients that it has read."""
    condition = conditions.create(store, actor, draft) if draft else lesions(store, actor)
    upload(store, actor, condition.id, class_files(phantoms, labelled))
    run_jobs()
    assert labels.accept_hints(store, actor, condition.id) == 2 * labelled
    job = adapting.start(store, actor, condition.id)
    run_jobs()
    done(store, actor, job)
    if cases:
        files = class_files(phantoms, cases, first=labelled)
        upload(store, actor, condition.id, [(path.name, path) for _, path in files], role="case")
        run_jobs()
    return conditions.get(store, actor, condition.id)
