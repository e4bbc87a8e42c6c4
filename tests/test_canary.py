"""Nothing that identifies a patient leaves the files it came in.

The whole product is run over scans with a unique string in every element, name and text chunk, and all that
it wrote is searched for them.

On the user's own screen files may be called by their names; what stands inside them appears nowhere.
"""

from __future__ import annotations

import logging
import re
import shutil
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
    from ui.former import work
    from ui.former.exports import readings_csv, readings_json
    from ui.former.render import estimate, reading, tray
    from ui.former.session import Sessions

    planter = Planter()
    support = planted_scans(tmp_path / planter.name(), planter, seed=3)
    fresh = planted_scans(tmp_path / planter.name(), planter, seed=4, patients=2)
    engine = work.Engine(weights_file(tmp_path / "tiny.safetensors"))
    sessions = Sessions(written / "sessions")
    session = sessions.new()

    def uploaded(folder: Path) -> dict[Path, str]:
        place = tmp_path / "uploads" / folder.name
        place.mkdir(parents=True, exist_ok=True)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {Path(shutil.copy(path, place / str(n))): path.name for n, path in enumerate(files)}

    def quiet(done: int, total: int) -> None:
        pass

    work.describe_condition(session, "Weather", ["calm", "storm"])
    for index, label in enumerate(("calm", "storm")):
        work.label_files(session, engine, index, uploaded(support / label), quiet)
    work.adapt(session, engine, engine.default_method, quiet)
    work.read_new(session, uploaded(fresh), quiet)
    assert session.adapted is not None
    assert session.cases
    work.save_model(session)
    saved = written / "saved"
    saved.mkdir()
    (saved / "readings.csv").write_text(readings_csv(session), encoding="utf-8")
    (saved / "readings.json").write_text(readings_json(session), encoding="utf-8")
    assert needles_below(written) == {}
    screen = reading.worklist(session) + reading.viewer(session) + reading.reading(session)
    screen += "".join(tray.body(one) for one in session.trays) + estimate.estimate(session.adapted)
    assert not names_only(needles(screen.encode()))
    named = needles(readings_csv(session, names=True).encode())
    assert named, "names are there for whoever asks for them"
    assert not names_only(named)
    sessions.close()


def test_no_identifier_is_kept_in_the_data_directory(
    tmp_path: Path, written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from tests.service.conftest import person
    from workbench.service import adapting, conditions, imports, labels, reading, trays
    from workbench.service.engine import Engine
    from workbench.service.handlers import handlers
    from workbench.service.kinds import Draft
    from workbench.store import audit, jobs, loop
    from workbench.store.database import Store

    caplog.set_level(logging.DEBUG)
    planter = Planter()
    support = planted_scans(tmp_path / planter.name(), planter, seed=5)
    fresh = planted_scans(tmp_path / planter.name(), planter, seed=6, patients=2)
    engine = Engine(weights_file(tmp_path / "tiny.safetensors"))
    store = Store.open(written / "data")
    ada = person(store, "ada")
    condition = conditions.create(store, ada, Draft("Weather", ("calm", "storm")))

    def run() -> None:
        while (claim := jobs.claim(store, "test", threading.Event())) is not None:
            loop.do(store, handlers(engine), claim)

    def uploaded(folder: Path, role: str) -> str:
        job_id = imports.begin(store, ada, condition.id, role)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                imports.take(store, ada, job_id, path.relative_to(folder).as_posix(), path)
        told = imports.look(store, ada, job_id)
        assert told
        assert not needles(" ".join(told).encode())
        imports.commit(store, ada, job_id)
        run()
        return job_id

    first = uploaded(support, "support")
    assert labels.accept_hints(store, ada, condition.id) >= 8
    adapting.start(store, ada, condition.id)
    run()
    second = uploaded(fresh, "case")
    cases = reading.cases(store, ada, condition.id)
    read = [case for case in cases if case.reading is not None]
    assert read
    reading.give_verdict(store, ada, read[0].scan.id, "agree")
    reading.ask_evidence(store, ada, read[0].scan.id)
    run()
    scan = trays.scans(store, ada, condition.id)[0]
    assert not needles(trays.preview(store, ada, scan.id) + trays.slice_pixels(store, ada, scan.id).data)
    batches = imports.batches(store, ada, condition.id)
    assert all(batch.refused for batch in batches)
    assert needles(repr(batches).encode()), "whoever uploaded the files is told what they are called"
    assert not names_only(needles(repr((batches, cases)).encode()))
    # The names of what was left out lie in one file for each import, until they are dismissed.
    named = {name: found for name, found in needles_below(written).items() if found}
    assert set(named) <= {f"data/spool/{job_id}/names.json" for job_id in (first, second)}
    assert not any(names_only(found) for found in named.values())
    for job_id in (first, second):
        imports.dismiss(store, ada, job_id)
    assert not needles("\n".join(audit.export(store)).encode())
    store.close()
    assert needles_below(written) == {}
    for record in caplog.records:
        assert not needles(record.getMessage().encode())
