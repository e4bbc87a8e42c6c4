"""Nothing that identifies a patient leaves the files it came in.

The whole product is run over scans with a unique string in every element, name and text chunk, and all that
it wrote is searched for them.

On the user's own screen files may be called by their names; what stands inside them appears nowhere.
"""

from __future__ import annotations

import logging
import re
import tempfile
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.canaries import TIME_NEEDLE, Planter, needles, needles_below, planted_scans
from tests.userfiles import weights_file
from workbench.cli import app

pytestmark = pytest.mark.usefixtures("private_home")


def names_only(found: set[str]) -> set[str]:
    """Needles that stand inside files: all but names of files and folders."""
    return {needle for needle in found if not needle.startswith("zqx1")}


def run(*arguments: object) -> str:
    """A command's standard output and error, which must hold nothing from inside a file."""
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert not names_only(needles(done.output.encode())), arguments[0]
    return done.output


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where everything is written: outputs, caches and temporary files."""
    place = tmp_path / "written"
    (place / "temporary").mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(place / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("WORKBENCH_CACHE", str(place / "cache"))
    monkeypatch.chdir(place)
    return place


def test_the_search_finds_what_was_planted(tmp_path: Path) -> None:
    planted_scans(tmp_path, Planter(), seed=0, patients=1)
    found = needles_below(tmp_path)
    kinds = {Path(name).suffix for name, inside in found.items() if names_only(inside)}
    assert {".dcm", ".png", ".jpg", ".tif", ".gz", ".zip", ".txt"} <= kinds
    assert len(set().union(*found.values())) > 1000


def test_no_identifier_is_written_by_any_command(
    tmp_path: Path, written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    planter = Planter()
    support = planted_scans(tmp_path / planter.name(), planter, seed=1)
    cohort = planted_scans(tmp_path / planter.name(), planter, seed=2, patients=3)
    weights = ("--weights", weights_file(tmp_path / "tiny.safetensors"))
    caplog.clear()
    model = written / "model.safetensors"
    run("adapt", support, "--out", model, *weights)
    assert model.exists()
    for form in ("csv", "json", "table"):
        run("predict", model, cohort, "--format", form, "--out", written / f"readings.{form}", *weights)
        out = run("predict", model, cohort, "--format", form, *weights)
        assert form == "table" or "case" in out
    run("predict", model, cohort, "--saliency", written / "evidence", *weights)
    pictures = [path.name for path in (written / "evidence").iterdir()]
    assert pictures
    assert all(re.fullmatch(r"case-\d{4}\.png", name) for name in pictures)
    reports = [part for ending in ("html", "json", "csv") for part in ("--report", written / f"r.{ending}")]
    run("evaluate", model, cohort, *reports, *weights)
    assert (written / "r.html").exists()
    run("evaluate", model, support, *weights)  # refused: the same patients
    run("deidentify", cohort, "--out", written / "copies")
    run("deidentify", support, "--out", written / "reviewed", "--reviewed")
    assert len(list(written.rglob("*.dcm"))) >= 7
    memory = written / "memory.safetensors"
    run("continual", "add", memory, "weather", support, *weights)
    run("continual", "add", memory, "weather", cohort, "--population", "elsewhere", *weights)
    run("continual", "show", memory)
    run("continual", "model", memory, "weather", "--out", written / "recalled.safetensors", *weights)
    assert (written / "recalled.safetensors").exists()
    run("continual", "undo", memory)
    for form, said in (("json", '"suggestions"'), ("table", "to label next")):
        # It writes no file; on the screen it may call scans by their files' names.
        assert said in run("suggest", model, cohort, "--format", form, *weights)
    for record in caplog.records:
        assert not needles(record.getMessage().encode())
    assert needles_below(written) == {}
    # Results go into the patient's study and name the patient; their files' names and the screen do not.
    run("results", model, cohort, "--out", tmp_path / "results", "--overlay", *weights)
    results = {path.name for path in (tmp_path / "results").iterdir()}
    assert "0001-overlay.dcm" in results
    assert all(re.fullmatch(r"\d{4}-(report|overlay)\.(dcm|json)", name) for name in results)
    run("deidentify", cohort, "--out", tmp_path / "shifted", "--keep-dates", "shift")
    left = set().union(*needles_below(tmp_path / "shifted").values())
    assert left == {TIME_NEEDLE}, "dates move by whole days: the time of day stays, and nothing else"


def test_no_identifier_is_written_by_the_page(tmp_path: Path, written: Path) -> None:
    """What the page's buttons do, on the store: all that is kept, shown and given away is searched."""
    from workbench.service import accounts, adapting, conditions, imports, labels, reading, tables, trays
    from workbench.service.engine import Engine
    from workbench.service.handlers import handlers
    from workbench.service.kinds import Draft
    from workbench.store import jobs, loop
    from workbench.store.database import Store

    planter = Planter()
    support = planted_scans(tmp_path / planter.name(), planter, seed=3)
    fresh = planted_scans(tmp_path / planter.name(), planter, seed=4, patients=2)
    engine = Engine(weights_file(tmp_path / "tiny.safetensors"))
    store = Store.open(written / "data")
    actor = accounts.local_actor(store)
    made = conditions.create(store, actor, Draft("Weather", ("calm", "storm")))

    def bring(folder: Path, role: str) -> None:
        job_id = imports.begin(store, actor, made.id, role)
        for path in (path for path in sorted(folder.rglob("*")) if path.is_file()):
            imports.take(store, actor, job_id, path.relative_to(folder).as_posix(), path)
        assert not names_only(needles(repr(imports.look(store, actor, job_id)).encode()))
        imports.commit(store, actor, job_id)
        work_off()

    def work_off() -> None:
        while (claim := jobs.claim(store, "test", threading.Event())) is not None:
            loop.do(store, handlers(engine), claim)

    bring(support, "support")
    assert labels.accept_hints(store, actor, made.id) > 0
    adapting.start(store, actor, made.id)
    work_off()
    bring(fresh, "case")
    cases = reading.cases(store, actor, made.id)
    assert cases
    assert all(case.reading is not None for case in cases)
    shown = repr((cases, trays.scans(store, actor, made.id), conditions.get(store, actor, made.id)))
    shown += repr(imports.batches(store, actor, made.id))
    assert not names_only(needles(shown.encode()))
    for table in (tables.readings_csv(store, actor, made.id), tables.readings_json(store, actor, made.id)):
        assert not needles(table)
    # Files that were left out are called by their names to whoever uploaded them, until they are dismissed.
    held = needles_below(written)
    assert all(place.endswith("/names.json") and not names_only(found) for place, found in held.items())
    for batch in imports.batches(store, actor, made.id):
        imports.dismiss(store, actor, batch.job.id)
    store.close()
    assert needles_below(written) == {}
