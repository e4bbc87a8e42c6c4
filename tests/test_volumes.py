"""Volumes through the one path: files, adaptation, readings, evaluation, by command and by the page."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner, Result

from tests.imaging.makers import write_series
from tests.userfiles import weights_file
from tests.volumefiles import nifti, volume_folders, voxel_weights
from workbench.cli import app
from workbench.data.catalogue import get_card
from workbench.data.cohort import load_cohort, only_split
from workbench.errors import CohortError
from workbench.imaging.recipe import Recipe
from workbench.learners.files import read_classifier_record
from workbench.service import accounts, adapting, conditions, imports, labels, trays, versions
from workbench.service import reading as cases
from workbench.service.engine import Engine
from workbench.service.handlers import handlers
from workbench.service.kinds import Draft, ImportOptions
from workbench.store import jobs, loop
from workbench.store.database import Store
from workbench.training.plan import parse_plan
from workbench.training.run import train

pytestmark = pytest.mark.usefixtures("private_home")
CLASSES = ("normal", "hyperplasia")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def voxels(tmp_path: Path) -> Path:
    return voxel_weights(tmp_path / "voxels.safetensors")


@pytest.fixture(scope="session")
def adrenals(shared: Path) -> dict[str, list[npt.NDArray[np.uint8]]]:
    """Volumes of AdrenalMNIST3D by class: the first 40 of the official test split."""
    file = shared / "data" / "medmnist" / "adrenalmnist3d.npz"
    if not file.is_file():
        pytest.skip("AdrenalMNIST3D is not in the folder of real data")
    with np.load(file) as read:
        images, labels = read["test_images"], read["test_labels"].ravel()
    return {name: list(images[labels == k][:40]) for k, name in enumerate(CLASSES)}


def _write(folder: Path, adrenals: dict[str, list[npt.NDArray[np.uint8]]], first: int, last: int) -> Path:
    for name, volumes in adrenals.items():
        for number in range(first, last):
            nifti(folder / name / f"{number}.nii.gz", volumes[number])
    return folder


def test_a_model_of_volumes_is_adapted_evaluated_and_read(tmp_path: Path, voxels: Path) -> None:
    support, cohort = volume_folders(tmp_path / "support"), volume_folders(tmp_path / "cohort", seed=7)
    model, report = tmp_path / "m.safetensors", tmp_path / "r.json"
    assert run("adapt", support, "--out", model, "--weights", voxels).exit_code == 0
    done = run("evaluate", model, cohort, "--weights", voxels, "--report", report)
    assert done.exit_code == 0, done.output
    assert "10 patients, 10 scans" in done.output
    read = run("predict", model, cohort, "--weights", voxels, "--format", "json", "--names")
    cases = json.loads(read.stdout)
    assert all(case["label"] == case["file"].split("/")[0] for case in cases)
    assert {"volume-resampled"} <= {f["code"] for f in cases[0]["findings"]}


def test_weights_made_for_images_read_volumes_by_slices_and_the_model_remembers(tmp_path: Path) -> None:
    weights = weights_file(tmp_path / "tiny.safetensors")
    support, model = volume_folders(tmp_path / "support"), tmp_path / "m.safetensors"
    done = run("adapt", support, "--out", model, "--weights", weights, "--pool-slices", 7)
    assert done.exit_code == 0, done.output
    assert read_classifier_record(model).pooled_slices == 7
    read = run("predict", model, support, "--weights", weights, "--format", "json")
    case = json.loads(read.stdout)[0]
    assert "7 of 28 slices" in " ".join(f["message"] for f in case["findings"])
    again = run("adapt", support, "--out", model, "--weights", weights, "--pool-slices", 100)
    assert again.exit_code == 2
    assert "2 to 64" in again.output


def test_a_region_is_applied_recorded_and_missed_where_it_is_not_given(tmp_path: Path, voxels: Path) -> None:
    support, model = volume_folders(tmp_path / "support"), tmp_path / "m.safetensors"
    marks = ("--slices", "3:20", "--box", "1:24,5:28")
    assert run("adapt", support, "--out", model, "--weights", voxels, *marks).exit_code == 0
    assert read_classifier_record(model).region == "slices 3 to 20, rows 1 to 24, columns 5 to 28"
    new = volume_folders(tmp_path / "new", patients=1, seed=4)

    def codes(*options: str) -> set[str]:
        read = run("predict", model, new, "--weights", voxels, "--format", "json", *options)
        return {f["code"] for case in json.loads(read.stdout) for f in case["findings"]}

    assert "region-missing" in codes()
    assert "region-marked" in codes(*marks)
    assert "region-missing" not in codes(*marks)
    refused = run("predict", model, new, "--weights", voxels, "--slices", "3:40")
    assert "end at 40; the scan has 28" in " ".join(refused.output.split())
    wrong = run("predict", model, new, "--weights", voxels, "--slices", "40:3")
    assert wrong.exit_code == 2
    assert "empty" in wrong.output


def test_a_table_marks_each_scan_on_its_own(tmp_path: Path, voxels: Path) -> None:
    volume_folders(tmp_path, patients=2)
    table = tmp_path / "labels.csv"
    lines = ["file,label,patient,slices,box", "class 0/0.nii.gz,a,p1,2:20,", "class 0/1.nii.gz,a,p2,,",
             "class 1/2.nii.gz,b,p3,,0mm:20mm;", 'class 1/3.nii.gz,b,p4,,"0mm:20mm,0mm:20mm"']  # fmt: skip
    table.write_text("\n".join(lines))
    wrong = run("adapt", table, "--out", tmp_path / "m.safetensors", "--weights", voxels)
    assert wrong.exit_code == 2
    assert "labels.csv, line 4" in wrong.output
    table.write_text("\n".join(lines).replace("0mm:20mm;", ""))
    done = run("adapt", table, "--out", tmp_path / "m.safetensors", "--weights", voxels)
    assert done.exit_code == 0, done.output
    assert read_classifier_record(tmp_path / "m.safetensors").region == "marked on some scans"


def test_the_rest_of_a_scan_is_no_new_case(tmp_path: Path, voxels: Path) -> None:
    support, model = volume_folders(tmp_path / "support"), tmp_path / "m.safetensors"
    assert run("adapt", support, "--out", model, "--weights", voxels, "--slices", "1:14").exit_code == 0
    found = run("evaluate", model, support, "--weights", voxels, "--slices", "15:28")
    assert found.exit_code == 2
    assert "not held out" in found.output


def test_series_of_slices_are_volumes(tmp_path: Path, voxels: Path) -> None:
    rng = np.random.default_rng(0)
    for place, seed in (("support", 0), ("cohort", 40)):
        for label in (0, 1):
            for patient in range(3):
                volume = rng.integers(0, 200, (12, 28, 28)).astype(np.int16)
                volume[2 + 5 * label : 6 + 5 * label] += 900
                name = f"{place}{label}{patient + seed}"
                write_series(tmp_path / place / f"class {label}" / name, volume)
    model = tmp_path / "m.safetensors"
    support, cohort = tmp_path / "support", tmp_path / "cohort"
    done = run("adapt", support, "--out", model, "--weights", voxels)
    assert done.exit_code == 0, done.output
    record = read_classifier_record(model)
    assert (record.modality, record.shots) == ("CT", (3, 3))
    read = run("predict", model, cohort, "--weights", voxels, "--format", "json", "--names")
    cases = json.loads(read.stdout)
    assert len(cases) == 6
    assert all(case["label"] == case["file"].split("/")[0] for case in cases)


@pytest.mark.parametrize("name", ["ct_phantom", "mr_t1_uih"])
def test_real_series_are_adapted_to_and_read(shared: Path, tmp_path: Path, voxels: Path, name: str) -> None:
    files = sorted(
        (shared / "dicom" / name).glob("*.dcm"), key=lambda path: path.name.split("_")[2:3] or path
    )
    half = len(files) // 2
    for label, part in (("first", files[:half]), ("second", files[half:])):
        place = tmp_path / "support" / label / f"{label} half"
        place.mkdir(parents=True)
        for path in part:
            shutil.copy(path, place)
    model = tmp_path / "m.safetensors"
    done = run("adapt", tmp_path / "support", "--out", model, "--weights", voxels, "--no-estimate")
    assert done.exit_code == 0, done.output
    assert read_classifier_record(model).modality == name[:2].upper()
    read = run("predict", model, tmp_path / "support", "--weights", voxels, "--format", "json")
    assert [case["label"] for case in json.loads(read.stdout)] == ["first", "second"]
    again = run("evaluate", model, tmp_path / "support", "--weights", voxels)
    assert again.exit_code == 2
    assert "not held out" in again.output


def test_a_plan_of_drawn_volumes_trains_an_encoder_that_reads_volumes(tmp_path: Path) -> None:
    plan = parse_plan(
        {
            "name": "tiny",
            "method": {"name": "prototypical"},
            "backbone": {"name": "resnet10-3d", "channels": 1, "size": 28, "width": 8},
            "recipe": {"size": 28, "channels": 1, "volume": "cube"},
            "data": {"procedural": {"images": 384}},
            "episodes": {"ways": 2, "shots": 1, "queries": 1},
            "batch": 1,
            "steps": 2,
            "checkpoint_every": 2,
        },
        "tiny.yaml",
    )
    weights = train(plan, tmp_path / "run", progress=False)
    support, model = volume_folders(tmp_path / "support", patients=2), tmp_path / "m.safetensors"
    done = run("adapt", support, "--out", model, "--weights", weights, "--no-estimate")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("pixels", [28, pytest.param(64, marks=pytest.mark.slow)])
def test_adrenalmnist3d_is_a_cohort_of_volumes(shared: Path, tmp_path: Path, pixels: int) -> None:
    recipe = Recipe(size=pixels, channels=1, volume="slices", slices=2)
    cohort = load_cohort(get_card("adrenalmnist3d"), recipe, shared / "data", tmp_path, progress=False)
    assert cohort.images.shape == (1584, 2, pixels, pixels, 1)
    test = only_split(cohort, "test")
    assert np.bincount(test.labels).tolist() == [229, 69]
    assert not set(test.patients) & set(cohort.patients[np.array(cohort.splits) == "train"])
    with pytest.raises(CohortError, match="train"):
        only_split(cohort, "held-out")


@pytest.mark.parametrize("weights", [("--pool-slices", "8"), ("--weights", "volumes")], ids=" ".join)
def test_five_and_five_adrenal_glands_by_command(
    tmp_path: Path, adrenals: dict[str, list[npt.NDArray[np.uint8]]], weights: tuple[str, str]
) -> None:
    """The shipped weights: for images, by pooled slices; and for volumes."""
    support, cohort = _write(tmp_path / "s", adrenals, 0, 5), _write(tmp_path / "c", adrenals, 5, 8)
    model = tmp_path / "m.safetensors"
    done = run("adapt", support, "--out", model, *weights)
    assert done.exit_code == 0, done.output
    assert read_classifier_record(model).shots == (5, 5)
    found = run("evaluate", model, cohort)
    assert found.exit_code == 0, found.output
    assert "6 patients, 6 scans read" in found.output


@pytest.mark.parametrize("pool", [0, 8], ids=["volumes", "general, 8 slices"])
def test_five_and_five_adrenal_glands_on_the_page(
    tmp_path: Path, adrenals: dict[str, list[npt.NDArray[np.uint8]]], pool: int
) -> None:
    """What the page's buttons do: label, adapt, read, by both kinds of encoder; marked slices included."""
    store = Store.open(tmp_path / "data")
    actor = accounts.local_actor(store)
    engine = Engine("general", pool) if pool else Engine("volumes")
    made = conditions.create(store, actor, Draft("Adrenal gland", CLASSES))

    def bring(role: str, name: str, first: int, last: int, slices: str = "") -> None:
        job_id = imports.begin(store, actor, made.id, role)
        for k in range(first, last):
            file = nifti(tmp_path / f"{name}{first}" / f"{k}.nii.gz", adrenals[name][k])
            imports.take(store, actor, job_id, f"{name}/{name} {k}.nii.gz", file)
        imports.commit(store, actor, job_id, ImportOptions(slices=slices))
        work_off()

    def work_off() -> None:
        while (claim := jobs.claim(store, "test", threading.Event())) is not None:
            loop.do(store, handlers(engine), claim)

    def codes(number: int) -> set[str]:
        found = cases.cases(store, actor, made.id)
        reading = next(case.reading for case in found if case.scan.number == number)
        assert reading is not None
        return {finding.code for finding in reading.badges}

    for name in CLASSES:
        bring("support", name, 0, 5, "3:26")
    scans = trays.scans(store, actor, made.id)
    assert len(scans) == 10
    assert all("region-marked" in {f.code for f in scan.findings} for scan in scans)
    assert labels.accept_hints(store, actor, made.id) == 10
    adapting.start(store, actor, made.id)
    work_off()
    version = versions.all(store, actor, made.id)[0]
    _, model = versions.model_file(store, actor, version.id)
    assert read_classifier_record(model).region == "slices 3 to 26"
    bring("case", "hyperplasia", 5, 7)
    assert all("region-missing" in codes(number) for number in (11, 12))
    bring("case", "normal", 5, 6, "3:26")
    assert "region-missing" not in codes(13)
    store.close()
