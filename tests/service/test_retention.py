from __future__ import annotations

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.service.conftest import Run, person, upload
from tests.service.made import adapted
from workbench.cli import app
from workbench.errors import NotAllowed, SupportError
from workbench.service import (
    adapting,
    artefacts,
    conditions,
    exporting,
    imports,
    reading,
    retention,
    trays,
    versions,
)
from workbench.service.exporting import Export
from workbench.service.kinds import Actor, Role
from workbench.service.retention import Removal, Rules
from workbench.store import audit
from workbench.store.database import Store

pytestmark = pytest.mark.usefixtures("private_home")
LATER = time.time() + 100 * retention.DAY


@pytest.fixture
def root(store: Store) -> Actor:
    return person(store, "root", Role.ADMIN)


def counts(removed: tuple[Removal, ...]) -> dict[str, int]:
    return {one.rule: one.count for one in removed}


def blobs(store: Store) -> set[Path]:
    return {path for path in (store.data_dir / "blobs").glob("??/*") if path.parent.name != "drafts"}


def test_by_default_nothing_but_leftovers_goes(
    store: Store, ada: Actor, root: Actor, phantoms: Path, run_jobs: Run, tmp_path: Path
) -> None:
    condition = adapted(store, ada, phantoms, run_jobs, labelled=2, cases=1)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"x")
    upload(store, ada, condition.id, [("SECRET-NAME.png", broken)])
    run_jobs()
    (batch, *_) = imports.batches(store, ada, condition.id)
    assert batch.refused[0].name == "SECRET-NAME.png"
    assert counts(retention.apply(store, LATER)) == {"spools": 3}
    assert list((store.data_dir / "spool").iterdir()) == []
    (batch, *_) = imports.batches(store, ada, condition.id)
    assert batch.refused[0].name == "file 1", "the name went with its folder"
    assert len(reading.cases(store, ada, condition.id)) == 2
    assert len(trays.scans(store, ada, condition.id, "support")) == 4


def test_cases_go_with_readings_and_bundles_and_the_rest_stays(
    store: Store, ada: Actor, root: Actor, phantoms: Path, run_jobs: Run
) -> None:
    condition = adapted(store, ada, phantoms, run_jobs, labelled=2, cases=1)
    for what in (Export.BUNDLE, Export.CARD):
        exporting.start(store, ada, condition.id, what)
    run_jobs()
    retention.set_rules(store, root, Rules(spools=0, cases=30))
    assert retention.preview(store, root) == (Removal("cases", 30, 0),)
    before = blobs(store)
    assert counts(retention.apply(store, LATER)) == {"cases": 2}
    assert reading.cases(store, ada, condition.id) == ()
    assert [one.kind for one in artefacts.of_condition(store, ada, condition.id)] == ["card"]
    assert len(versions.all(store, ada, condition.id)) == 1
    with store.session() as session:
        store.blobs.collect(session, grace=-1.0)
    # Two scans with their thumbnails, and the bundle.
    assert len(before - blobs(store)) == 5
    lines = [line for line in audit.export(store) if '"retention.remove"' in line]
    assert len(lines) == 1
    assert '"count": 2' in lines[0]
    assert audit.verify(store).broken is None


def test_versions_and_archived_conditions_go(
    store: Store, ada: Actor, root: Actor, phantoms: Path, run_jobs: Run
) -> None:
    condition = adapted(store, ada, phantoms, run_jobs, labelled=2, cases=1)
    adapting.start(store, ada, condition.id)
    run_jobs()
    retention.set_rules(store, root, Rules(spools=0, versions=30, conditions=60))
    assert counts(retention.apply(store, LATER)) == {"conditions": 0, "versions": 1}
    (left,) = versions.all(store, ada, condition.id)
    assert (left.number, left.active) == (2, True)
    conditions.archive(store, ada, condition.id, True)
    assert counts(retention.apply(store, LATER)) == {"conditions": 1, "versions": 0}
    assert conditions.mine(store, ada, archived=True) == ()


def test_a_day_is_done_once_whoever_comes_first(store: Store, root: Actor) -> None:
    now = time.time()
    assert retention.apply_if_due(store, now) == (Removal("spools", 7, 0),)
    assert retention.apply_if_due(store, now + retention.DAY / 2) is None
    assert retention.apply_if_due(store, now + retention.DAY) is not None


def test_rules_are_an_administrators(store: Store, ada: Actor, root: Actor) -> None:
    for refused in (retention.rules, retention.preview):
        with pytest.raises(NotAllowed):
            refused(store, ada)
    with pytest.raises(NotAllowed):
        retention.set_rules(store, ada, Rules(cases=1))
    with pytest.raises(SupportError, match="Days for cases"):
        retention.set_rules(store, root, Rules(cases=-1))


def test_the_command_line_shows_sets_and_runs(store: Store, root: Actor) -> None:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["retention", *arguments, "--data-dir", str(store.data_dir)])
        assert done.exit_code == 0, done.output
        return done.output

    assert "spools      after 7 days; 0 now\ncases       kept" in run("show")
    assert "cases       after 90 days; 0 now" in run("set", "--cases", "90")
    assert "spools      0 removed (older than 7 days)" in run("run")
    assert retention.rules(store, root) == Rules(cases=90)
