from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import workbench
from tests.userfiles import class_folders, picture, weights_file
from workbench.cli import app

pytestmark = pytest.mark.usefixtures("private_home")


@pytest.fixture
def weights(tmp_path: Path) -> str:
    return str(weights_file(tmp_path / "tiny.safetensors"))


@pytest.fixture
def model(tmp_path: Path, weights: str) -> str:
    path = str(tmp_path / "model.safetensors")
    found = run("adapt", str(class_folders(tmp_path / "support")), "--out", path, "--weights", weights)
    assert found.exit_code == 0, found.output
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_importing_the_package_and_asking_for_help_load_no_torch() -> None:
    code = (
        "import sys, workbench, workbench.cli\n"
        "from typer.testing import CliRunner\n"
        "assert CliRunner().invoke(workbench.cli.app, ['--help']).exit_code == 0\n"
        "sys.exit(bool({'torch', 'numpy', 'pydicom', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        "adapt",
        "predict",
        "evaluate",
        "train",
        "demo",
        "ui",
        "methods",
        "weights",
        "data",
        "deidentify",
        "import-encoder",
    ],
)
def test_every_command_has_help(command: str) -> None:
    found = run(command, "--help")
    assert found.exit_code == 0
    assert "Usage" in found.output


def test_five_lines_of_python_do_the_job(tmp_path: Path, weights: str) -> None:
    class_folders(tmp_path / "support")
    class_folders(tmp_path / "new", patients=2, seed=3)
    learner = workbench.load(weights)
    support = workbench.read_support(tmp_path / "support", learner)
    model = learner.adapt(support)
    labels = model.predict(workbench.read_scans(tmp_path / "new").scans).labels
    assert labels == ("class 0", "class 0", "class 1", "class 1")


def test_a_refused_file_of_a_support_is_warned_about(tmp_path: Path, weights: str) -> None:
    class_folders(tmp_path / "support")
    (tmp_path / "support" / "class 0" / "broken.png").write_bytes(b"x")
    with pytest.warns(UserWarning, match=r"class 0/broken\.png"):
        workbench.read_support(tmp_path / "support", workbench.load(weights))


def test_adapting_says_what_it_learned_from_and_estimates(tmp_path: Path, weights: str) -> None:
    support = class_folders(tmp_path / "support")
    (support / "class 0" / "broken.png").write_bytes(b"x")
    out = tmp_path / "m.safetensors"
    found = run("adapt", str(support), "--out", str(out), "--weights", weights)
    assert found.exit_code == 0
    assert out.is_file()
    assert "class 0: 6 patients" in found.stdout
    assert "100 % (74-100 %, n = 12)" in found.stdout
    assert "For research use" in found.stdout
    assert "class 0/broken.png" in found.stderr


def test_another_method_is_adapted_with_on_request(tmp_path: Path, weights: str) -> None:
    support, out = class_folders(tmp_path / "support"), tmp_path / "m.safetensors"
    found = run(
        "adapt",
        str(support),
        "--out",
        str(out),
        "--weights",
        weights,
        "--method",
        "linear-probe",
        "--no-estimate",
    )
    assert "Adapted with linear-probe" in found.stdout


def test_what_was_chosen_is_said_when_adapting_predicting_and_reporting(tmp_path: Path, weights: str) -> None:
    support, out = class_folders(tmp_path / "support"), str(tmp_path / "m.safetensors")
    said = "Adapts as committee: it did best on other conditions, and cross-validation over 12 patients"
    found = run(
        "adapt", str(support), "--out", out, "--weights", weights, "--method", "auto", "--no-estimate"
    )
    assert said in found.stdout
    new = class_folders(tmp_path / "new", patients=1, seed=3)
    assert said in run("predict", out, str(new), "--weights", weights).stderr
    reports = [tmp_path / "r.html", tmp_path / "r.json"]
    run("evaluate", out, str(new), "--weights", weights, "--report", str(reports[0]), "-r", str(reports[1]))
    assert all(said in report.read_text() for report in reports)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "magic"), "Unknown method 'magic'"),
        (("--weights", "nowhere.safetensors"), "nowhere.safetensors: there is no such file"),
        ((), "one class only"),
    ],
)
def test_a_mistake_is_one_message_without_a_traceback(
    tmp_path: Path, weights: str, arguments: tuple[str, ...], message: str
) -> None:
    picture(tmp_path / "support" / "only" / "a.png", 1)
    given = ("--weights", weights, *arguments) if "--weights" not in arguments else arguments
    found = run("adapt", str(tmp_path / "support"), "--out", str(tmp_path / "m.safetensors"), *given)
    assert found.exit_code == 2
    assert message in " ".join(found.stderr.split())
    assert "Traceback" not in found.output
    assert not (tmp_path / "m.safetensors").exists()


def test_json_readings_keep_their_form_and_the_rest_goes_on(tmp_path: Path, weights: str, model: str) -> None:
    class_folders(tmp_path / "new", patients=1, seed=3)
    (tmp_path / "new" / "broken.png").write_bytes(b"x")
    found = run("predict", model, str(tmp_path / "new"), "--format", "json", "--names", "--weights", weights)
    assert found.exit_code == 0
    readings = {entry["file"]: entry for entry in json.loads(found.stdout)}
    assert set(readings["broken.png"]) == {"case", "file", "error"}
    reading = readings["class 1/1.png"]
    around = {"calibrated", "prevalence", "set", "familiarity", "none_of_these"}
    about = {"case", "file", "scan", "patient", "label", "probabilities", "findings"}
    assert set(reading) == about | around
    assert set(reading["set"]) == {"classes", "asked", "given", "scope", "kept", "statement"}
    assert set(reading["familiarity"]) == {"measure", "distance", "usual", "p_value", "unlike"}
    assert reading["label"] == "class 1"
    assert set(reading["probabilities"]) == {"class 0", "class 1"}
    assert sum(reading["probabilities"].values()) == pytest.approx(1)


def test_what_is_written_holds_numbers_and_the_screen_says_which_is_which(
    tmp_path: Path, weights: str, model: str
) -> None:
    picture(tmp_path / "new" / "doe.png", 1)
    out = tmp_path / "readings.csv"
    found = run("predict", model, str(tmp_path / "new"), "-f", "csv", "-o", str(out), "--weights", weights)
    (row,) = csv.DictReader(io.StringIO(out.read_text(encoding="utf-8")))
    assert row["case"] == "1"
    assert len(row["scan"]) == 20
    assert "doe" not in out.read_text(encoding="utf-8")
    assert "Case 1: doe.png" in found.output


def test_csv_readings_start_no_formula(tmp_path: Path, weights: str, model: str) -> None:
    picture(tmp_path / "new" / "=1+1.png", 1)
    out = tmp_path / "readings.csv"
    found = run(
        "predict", model, str(tmp_path / "new"), "-f", "csv", "-o", str(out), "--names", "--weights", weights
    )
    assert found.exit_code == 0
    (row,) = csv.DictReader(io.StringIO(out.read_text(encoding="utf-8")))
    assert row["file"] == "'=1+1.png"
    assert float(row["p(class 0)"]) + float(row["p(class 1)"]) == pytest.approx(1, abs=1e-5)


def test_a_table_shows_every_file(tmp_path: Path, weights: str, model: str) -> None:
    class_folders(tmp_path / "new", patients=2, seed=3)
    found = run("predict", model, str(tmp_path / "new"), "--weights", weights)
    for name in ("class 0/0.png", "class 1/3.png"):
        assert name in found.stdout
    assert "Not for diagnostic use" in found.stdout


def test_predicting_fails_only_if_nothing_could_be_read(tmp_path: Path, weights: str, model: str) -> None:
    found = run("predict", model, str(tmp_path / "gone.png"), "--format", "json", "--weights", weights)
    assert found.exit_code == 1
    assert "error" in json.loads(found.stdout)[0]
    assert "gone.png" in found.stderr


def test_a_model_without_its_weights_says_so(tmp_path: Path, model: str) -> None:
    found = run("predict", model, str(tmp_path))
    assert found.exit_code == 2
    assert "--weights" in found.stderr


def test_a_cohort_is_evaluated_and_reported(tmp_path: Path, weights: str, model: str) -> None:
    class_folders(tmp_path / "cohort", patients=4, seed=8)
    report = tmp_path / "report.html"
    found = run("evaluate", model, str(tmp_path / "cohort"), "--report", str(report), "--weights", weights)
    assert found.exit_code == 0
    assert "100 % (63-100 %, n = 8)" in found.stdout
    assert "For research use" in report.read_text(encoding="utf-8")


def test_a_cohort_with_support_scans_is_refused(tmp_path: Path, weights: str, model: str) -> None:
    found = run("evaluate", model, str(tmp_path / "support"), "--weights", weights)
    assert found.exit_code == 2
    assert "class 0/0.png" in found.stderr


def test_methods_are_compared_on_held_out_conditions(tmp_path: Path, weights: str, shared: Path) -> None:
    out = tmp_path / "table.json"
    found = run(
        *("evaluate", "--conditions", "dental_root_xray", "--methods", "prototypical,raw-pixels"),
        *("--episodes", "4", "--weights", weights, "--data", str(shared / "data"), "--out", str(out)),
    )
    assert found.exit_code == 0, found.output
    assert [row["encoder"] for row in json.loads(out.read_text())] == ["tiny", "raw-pixels", "raw-pixels"]


def test_training_reports_a_bad_plan_by_its_field(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("name: x\nmethod: {name: prototypical}\ndata: {}\n")
    found = run("train", str(tmp_path / "plan.yaml"), "--out", str(tmp_path / "run"))
    assert found.exit_code == 2
    assert "plan.yaml" in found.stderr


def test_the_demonstration_reports_from_the_command_line(tmp_path: Path, weights: str) -> None:
    found = run("demo", "--offline", "--out", str(tmp_path / "demo"), "--weights", weights)
    assert found.exit_code == 0
    assert "Phantoms" in found.stdout
    assert "n = 40" in found.stdout
    assert (tmp_path / "demo" / "report.html").is_file()


def test_a_place_that_cannot_be_written_is_one_message(tmp_path: Path, weights: str) -> None:
    support = class_folders(tmp_path / "support")
    (tmp_path / "file").write_text("not a folder")
    found = run(
        "adapt", str(support), "--out", str(tmp_path / "file" / "m.safetensors"), "--weights", weights
    )
    assert found.exit_code == 2
    assert found.stderr.startswith("Error: ")
    assert "Traceback" not in found.output


@pytest.mark.parametrize("command", ["adapt", "predict", "evaluate"])
def test_a_place_that_cannot_be_written_is_said_before_the_work_is_done(
    tmp_path: Path, weights: str, model: str, command: str
) -> None:
    scans = class_folders(tmp_path / "scans", seed=3)
    taken = tmp_path / "taken.safetensors" if command == "adapt" else tmp_path / "taken.json"
    taken.mkdir()
    given = {
        "adapt": (str(scans), "--out", str(taken)),
        "predict": (model, str(scans), "--out", str(taken)),
        "evaluate": (model, str(scans), "--report", str(taken)),
    }
    found = run(command, *given[command], "--weights", weights)
    assert found.exit_code == 2
    assert "is a folder" in found.stderr
    assert found.stdout == ""


def test_adapting_to_few_scans_of_unknown_patients_says_so(tmp_path: Path, weights: str) -> None:
    support = class_folders(tmp_path / "support", patients=1)
    found = run("adapt", str(support), "--out", str(tmp_path / "m.safetensors"), "--weights", weights)
    assert found.exit_code == 0
    said = " ".join(found.stderr.split())
    assert "Few patients in class 'class 0' (1), 'class 1' (1)" in said
    assert "patient of 2 of 2 scans is not known" in said


def test_predicting_an_empty_folder_says_so(tmp_path: Path, weights: str, model: str) -> None:
    (tmp_path / "empty").mkdir()
    found = run("predict", model, str(tmp_path / "empty"), "--format", "json", "--weights", weights)
    assert found.exit_code == 1
    assert json.loads(found.stdout) == []
    assert "no files" in found.stderr


def test_the_version_is_told() -> None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        expected = version("fewshot-workbench")
    except PackageNotFoundError:
        expected = "a checkout that is not installed"
    assert run("--version").stdout.strip() == expected


def test_a_stated_prevalence_and_coverage_reach_the_readings(
    tmp_path: Path, weights: str, model: str
) -> None:
    class_folders(tmp_path / "new", patients=2, seed=3)
    command = ["predict", model, str(tmp_path / "new"), "-f", "json", "--weights", weights]

    def read(*options: str) -> list[dict[str, Any]]:
        found = run(*command, *options)
        assert found.exit_code == 0, found.stderr
        readings: list[dict[str, Any]] = json.loads(found.stdout)
        return readings

    plain, told = read(), read("--prevalence", "class 0=0.9,class 1=0.1", "--coverage", "0.6")
    assert told[0]["prevalence"] == {"class 0": 0.9, "class 1": 0.1}
    assert plain[0]["prevalence"] is None
    before, after = ([one["probabilities"]["class 0"] for one in found] for found in (plain, told))
    for p, q in zip(before, after, strict=True):
        assert q == pytest.approx(9 * p / (9 * p + 1 - p))
    assert told[0]["set"]["asked"] == 0.6
    refused = run(*command, "--prevalence", "class 0=0.9")
    assert refused.exit_code == 2
    assert "class 1" in refused.stderr
    assert "CLASS=SHARE" in run(*command, "--prevalence", "x").stderr


def test_adapting_says_how_far_to_trust_a_reading_and_a_cohort_whether_it_held(
    tmp_path: Path, weights: str
) -> None:
    class_folders(tmp_path / "support", patients=10)
    class_folders(tmp_path / "cohort", patients=10, seed=7)
    out = str(tmp_path / "model.safetensors")
    adapting = ["adapt", str(tmp_path / "support"), "--out", out, "--weights", weights]
    said = run(*adapting, "--coverage", "0.8").stdout
    assert "How far to trust a reading" in said
    assert "80 % of new patients" in said
    reports = [tmp_path / "report.html", tmp_path / "report.json"]
    options = [option for path in reports for option in ("-r", str(path))]
    found = run("evaluate", out, str(tmp_path / "cohort"), "--weights", weights, *options)
    assert "Sets made to hold the truth in 80 % held it in" in found.stdout
    assert "How far the readings could be trusted" in reports[0].read_text()
    trust = json.loads(reports[1].read_text())["trust"]
    assert trust["promise"]["asked"] == 0.8
    assert trust["held"]["n"] == 20
    assert "No set can be promised" in run(*adapting, "--no-estimate").stdout
