"""The whole way, by the commands: out of a real archive, read, and the results back into the same study."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from typer.testing import CliRunner, Result

from tests.pacs.conftest import PATIENT, made_series
from tests.pacs.orthanc import PASSWORD, TITLE, USER, Orthanc, free_port
from tests.results.conftest import labelled_slices
from tests.userfiles import weights_file
from workbench.adaptation.model import load_model
from workbench.cli import app
from workbench.imaging.scan import Scan
from workbench.learners.files import sha256_of
from workbench.pacs import ArchivesFile, open_archive
from workbench.results import write_results
from workbench.results.statement import NOTICE

pytestmark = pytest.mark.usefixtures("private_home")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = weights_file(tmp_path / "tiny.safetensors")
    monkeypatch.setenv("WORKBENCH_WEIGHTS", str(path))
    return path


@pytest.fixture
def model(tmp_path: Path, weights: Path) -> Path:
    """Adapted to CT slices with a stripe whose height tells the class."""
    support = labelled_slices(tmp_path / "support", patients=4)
    path = tmp_path / "model.safetensors"
    done = run("adapt", str(support), "--out", str(path), "--no-estimate")
    assert done.exit_code == 0, done.output
    return path


@pytest.fixture
def configured(orthanc: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archives file of the running server, as a user would write it."""
    (tmp_path / "archives.toml").write_text(
        f"""
        [archives.web]
        kind = "dicomweb"
        url = "{orthanc.url}/dicom-web"
        tls = false
        auth = "basic"
        secret = "env:TEST_PACS"

        [archives.dimse]
        kind = "dimse"
        host = "127.0.0.1"
        port = {orthanc.dicom}
        tls = false
        called = "{TITLE}"
        """
    )
    monkeypatch.setenv("WORKBENCH_ARCHIVES", str(tmp_path / "archives.toml"))
    monkeypatch.setenv("TEST_PACS", f"{USER}:{PASSWORD}")


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("archive", ["web", "dimse"])
def test_results_go_back_into_the_study_they_came_from(archive: str, model: Path, tmp_path: Path) -> None:
    number = {"web": "71", "dimse": "72"}[archive]
    made_series(tmp_path / "sent", study=number)
    assert run("pacs", "send", archive, str(tmp_path / "sent")).exit_code == 0
    found = run("pacs", "find", archive, "--accession", f"ACC{number}", "--format", "json")
    (study,) = json.loads(found.stdout)
    assert (study["patient"], study["instances"]) == (PATIENT, 3)
    got = run("pacs", "retrieve", archive, study["study"], "--out", str(tmp_path / "in"))
    assert "3 files" in got.stdout
    out = tmp_path / "out"
    done = run("results", str(model), str(tmp_path / "in"), "--out", str(out), "--send", archive)
    assert done.exit_code == 0, done.output
    assert f"1 of 1 objects stored in {archive}." in done.stdout
    assert NOTICE in done.stdout
    listed = run("pacs", "find", archive, "--study", study["study"], "--modality", "SR", "--format", "json")
    (series,) = json.loads(listed.stdout)
    back = tmp_path / "back"
    run("pacs", "retrieve", archive, study["study"], "--series", series["series"], "--out", str(back))
    (file,) = back.iterdir()
    original, returned = dcmread(out / "0001-report.dcm"), dcmread(file)
    assert returned == original
    assert returned.StudyInstanceUID == study["study"]
    assert returned.PatientID == PATIENT
    assert returned.CompletionFlag == "PARTIAL", "of a volume this model sees the middle slice"
    fhir = json.loads((out / "0001-report.json").read_text())
    assert fhir["identifier"][0]["value"] == f"urn:oid:{returned.SOPInstanceUID}"


def test_results_are_private_and_carry_no_name_in_their_names(model: Path, tmp_path: Path) -> None:
    made_series(tmp_path / "series", study="73")
    (tmp_path / "series" / "note.txt").write_text("no image")
    out = tmp_path / "out"
    done = run("results", str(model), str(tmp_path / "series"), "--out", str(out))
    assert done.exit_code == 0, done.output
    assert "note.txt" in done.stderr
    assert sorted(os.listdir(out)) == ["0001-report.dcm", "0001-report.json"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    assert PATIENT not in done.output
    assert "Doe" not in done.output


def test_no_warning_about_a_name_quotes_it(
    model: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    (path,) = made_series(tmp_path / "series", slices=1)
    image = dcmread(path)
    image.PatientName = "Canary"
    image.save_as(path)
    done = run("results", str(model), str(path), "--out", str(tmp_path / "out"))
    assert done.exit_code == 0
    assert [one for one in recwarn if "Canary" in str(one.message)] == []


def test_a_header_that_no_result_can_be_made_of_takes_no_other_down(model: Path, tmp_path: Path) -> None:
    made_series(tmp_path / "series", study="79")
    (path,) = made_series(tmp_path / "retired", slices=1, study="80")
    image = dcmread(path)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.6"
    image.save_as(path)
    done = run(
        "results", str(model), str(tmp_path / "retired"), str(tmp_path / "series"), "-o", str(tmp_path / "o")
    )
    assert done.exit_code == 0
    assert (tmp_path / "o" / "0001-report.dcm").is_file()


def test_the_report_names_the_model_that_made_it(model: Path, weights: Path, tmp_path: Path) -> None:
    made_series(tmp_path / "series", study="74")
    run("results", str(model), str(tmp_path / "series"), "--out", str(tmp_path / "out"))
    report = dcmread(tmp_path / "out" / "0001-report.dcm")
    text = " ".join(str(element.value) for element in report.iterall())
    adapted = load_model(model, weights)
    for digest in (sha256_of(model), sha256_of(weights), adapted.record.support_sha256):
        assert digest in text


def test_an_overlay_is_written_where_a_map_is_made(model: Path, weights: Path, tmp_path: Path) -> None:
    made_series(tmp_path / "series", study="75")
    (tmp_path / "out").mkdir()

    def everywhere(scan: Scan, row: int) -> np.ndarray:
        return np.ones(scan.pixels.shape[1:3])

    adapted = load_model(model, weights)
    (result,) = write_results(adapted, "c" * 64, [tmp_path / "series"], tmp_path / "out", everywhere)
    assert [path.name for path in result.dicom] == ["0001-report.dcm", "0001-overlay.dcm"]
    assert dcmread(result.dicom[1]).PatientID == PATIENT


def test_a_map_that_fails_leaves_no_file_under_its_number(model: Path, weights: Path, tmp_path: Path) -> None:
    for number in ("81", "82"):
        made_series(tmp_path / "both" / number, study=number)
    (tmp_path / "out").mkdir()
    asked = iter((2.0, 1.0))

    def first_too_large(scan: Scan, row: int) -> np.ndarray:
        return np.full(scan.pixels.shape[1:3], next(asked))

    adapted = load_model(model, weights)
    refused, made = write_results(adapted, "c" * 64, [tmp_path / "both"], tmp_path / "out", first_too_large)
    assert refused.refusal is not None
    assert [path.name for path in made.dicom] == ["0001-report.dcm", "0001-overlay.dcm"]
    assert len(os.listdir(tmp_path / "out")) == 3


def test_another_modality_and_an_unknown_archive_are_refused(model: Path, tmp_path: Path) -> None:
    (path,) = made_series(tmp_path / "series", slices=1, study="76")
    image = dcmread(path)
    image.Modality = "MR"
    image.save_as(path)
    done = run("results", str(model), str(path), "--out", str(tmp_path / "out"))
    assert done.exit_code == 1
    assert "Its modality is MR" in done.stderr


@pytest.mark.usefixtures("configured")
def test_mistakes_are_one_message(model: Path, tmp_path: Path) -> None:
    (path,) = made_series(tmp_path / "series", slices=1, study="77")
    unknown = run("results", str(model), str(path), "--out", str(tmp_path / "o"), "--send", "mian")
    assert unknown.exit_code == 2
    assert "It has: dimse, web" in unknown.stderr
    assert not (tmp_path / "o").exists()
    full = run("results", str(model), str(path), "--out", str(tmp_path / "series"))
    assert full.exit_code == 2
    assert "not empty" in full.stderr
    nothing = run("pacs", "find", "web")
    assert nothing.exit_code == 2
    assert "at least one criterion" in nothing.stderr


@pytest.mark.usefixtures("configured")
def test_echo_asks_every_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("pacs", "echo").stdout == "web: answers.\ndimse: answers.\n"
    assert run("pacs", "echo", "web").exit_code == 0
    monkeypatch.setenv("TEST_PACS", "reader:wrong")
    one_of_two = run("pacs", "echo")
    assert one_of_two.exit_code == 3
    assert one_of_two.stdout == "dimse: answers.\n"
    assert "web: It does not accept the credential (401)" in one_of_two.stderr
    assert run("pacs", "echo", "web").exit_code == 2


@pytest.mark.usefixtures("configured")
def test_a_patient_can_be_asked_for_out_of_the_shells_history(tmp_path: Path) -> None:
    run("pacs", "send", "web", *map(str, made_series(tmp_path / "sent", study="78", patient="HIDDEN-1")))
    asked = CliRunner().invoke(
        app, ["pacs", "find", "web", "--patient", "-", "-f", "json"], input="HIDDEN-1\n"
    )
    assert '"accession": "ACC78"' in asked.stdout
    table = run("pacs", "find", "web", "--accession", "ACC78")
    assert "Chest follow-up" in table.stdout
    assert run("pacs", "find", "web", "--accession", "NONE").stdout == "Nothing matches.\n"


def test_listening_needs_a_receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "archives.toml").write_text("")
    monkeypatch.setenv("WORKBENCH_ARCHIVES", str(tmp_path / "archives.toml"))
    done = run("pacs", "listen", str(tmp_path / "in"))
    assert done.exit_code == 2
    assert "It has no [receiver]" in done.stderr


def test_what_arrives_while_listening_is_counted(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "archives.toml").write_text(
        f"""
        [receiver]
        calling = ["SENDER"]
        port = {port}
        tls = false
        """
    )
    command = [sys.executable, "-m", "workbench.cli", "pacs", "listen", str(tmp_path / "in")]
    variables = os.environ | {"WORKBENCH_ARCHIVES": str(tmp_path / "archives.toml")}
    # A shell starts what runs in its background with Ctrl+C ignored, and whatever that starts inherits it.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        process = subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        assert process.stdout is not None
        assert f"WORKBENCH listens on 127.0.0.1, port {port}" in process.stdout.readline()
        settings = {"kind": "dimse", "host": "127.0.0.1", "port": port, "called": "WORKBENCH", "tls": False}
        there = ArchivesFile.model_validate({"archives": {"us": settings | {"calling": "SENDER"}}})
        assert open_archive("us", there).store(made_series(tmp_path / "sent")).count == 3
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        assert "3 files received, 0 refused." in out
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
