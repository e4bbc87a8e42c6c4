from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from tests.helpers import striped_cohort, tiny_learner
from tests.userfiles import class_folders, loaded_pixels, weights_file
from workbench.adaptation.memory import ConditionMemory, load_memory, recall, remember, save_memory
from workbench.adaptation.model import adapt, load_model, save_model
from workbench.adaptation.retention import retention_report
from workbench.cli import app
from workbench.data.examples import Example
from workbench.data.folders import read_examples
from workbench.errors import ModelFileError, SupportError
from workbench.imaging.scan import Provenance, Scan, Units
from workbench.learners import learners
from workbench.learners.files import LoadedLearner

pytestmark = pytest.mark.usefixtures("private_home")


def _examples(way: int = 2, patients: int = 4, seed: int = 0, first: int = 0) -> list[Example]:
    cohort = striped_cohort(way=way, patients=patients, seed=seed)
    found = []
    for row, (image, label) in enumerate(zip(cohort.images, cohort.labels.tolist(), strict=True)):
        pixels = image[None].astype(np.float32)
        source = Provenance(f"secret{row}.png", "PNG", f"{seed}-{row}")
        scan = Scan(pixels, Units.DISPLAY, "US", source, (0.0, 255.0))
        found.append(Example(scan, f"class {label + first}", f"patient-{seed}-{row}"))
    return found


def _memory(loaded: LoadedLearner, conditions: int = 1) -> ConditionMemory:
    memory = None
    for number in range(conditions):
        memory = remember(memory, loaded, f"condition {number}", _examples(seed=number))
    assert memory is not None
    return memory


def test_a_remembered_condition_reads_as_one_adapted_to_its_scans(tmp_path: Path) -> None:
    for method in ("prototypical", "auto", "linear-probe"):
        loaded = loaded_pixels(tmp_path, method)
        given = _examples()
        direct = adapt(loaded, given, ["class 0", "class 1"])
        again = recall(remember(None, loaded, "x", given), "x", loaded)
        queries = [e.scan for e in _examples(seed=9)]
        np.testing.assert_array_equal(
            again.classifier.predict(queries).probabilities, direct.classifier.predict(queries).probabilities
        )
        assert again.record.support_patients == direct.record.support_patients
        assert again.record.support_scans == direct.record.support_scans
        assert again.record.shots == direct.record.shots
        assert again.record.modality == "US"


def test_adding_the_ninth_condition_leaves_the_first_eight_bit_identical(tmp_path: Path) -> None:
    loaded = loaded_pixels(tmp_path)
    eight = _memory(loaded, 8)
    nine = remember(eight, loaded, "the ninth", _examples(way=3, seed=20))
    queries = [e.scan for e in _examples(seed=9)]
    for name in eight.conditions:
        before, after = (recall(memory, name, loaded) for memory in (eight, nine))
        for key, value in before.classifier.head.tensors().items():
            assert torch.equal(value, after.classifier.head.tensors()[key])
        first = before.classifier.predict(queries, neighbours=2)
        second = after.classifier.predict(queries, neighbours=2)
        assert first.probabilities.tobytes() == second.probabilities.tobytes()
        assert first.neighbours == second.neighbours
    save_memory(eight, tmp_path / "eight.safetensors")
    save_memory(nine, tmp_path / "nine.safetensors")
    old, new = load_memory(tmp_path / "eight.safetensors"), load_memory(tmp_path / "nine.safetensors")
    assert all(torch.equal(a.embeddings, b.embeddings) for a, b in zip(old.blocks, new.blocks, strict=False))


def test_a_class_added_later_equals_all_classes_at_once(tmp_path: Path) -> None:
    loaded = loaded_pixels(tmp_path)
    every = _examples(way=3)
    later = remember(None, loaded, "x", [e for e in every if e.label != "class 2"])
    later = remember(later, loaded, "x", [e for e in every if e.label == "class 2"])
    once = remember(None, loaded, "x", every)
    assert later.classes("x") == ("class 0", "class 1", "class 2")
    a, b = (recall(m, "x", loaded).classifier.head.tensors() for m in (later, once))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_remove_and_undo_come_back_to_the_same_readings(tmp_path: Path) -> None:
    loaded = loaded_pixels(tmp_path)
    memory = remember(_memory(loaded, 2), loaded, "condition 0", _examples(way=1, seed=7, first=2))
    assert memory.remove("condition 0", "class 2").classes("condition 0") == ("class 0", "class 1")
    removed = memory.remove("condition 0")
    assert removed.conditions == ("condition 1",)
    back = removed.undo()
    a, b = (recall(m, "condition 0", loaded).classifier.head.tensors() for m in (memory, back))
    assert all(torch.equal(a[name], b[name]) for name in a)
    with pytest.raises(SupportError, match="nothing to undo"):
        ConditionMemory("tiny", "0").undo()


def test_undoing_an_addition_takes_it_out_of_the_file(tmp_path: Path) -> None:
    loaded = loaded_pixels(tmp_path)
    memory = _memory(loaded, 2)
    assert len(memory.undo().blocks) == len(memory.blocks) - 2
    assert memory.undo().conditions == ("condition 0",)


def test_what_is_removed_for_good_is_not_in_the_file(tmp_path: Path) -> None:
    loaded = loaded_pixels(tmp_path)
    kept = _memory(loaded, 2).remove("condition 0").without_history()
    assert {block.record.condition for block in kept.blocks} == {"condition 1"}
    save_memory(kept, tmp_path / "m.safetensors")
    assert b"condition 0" not in (tmp_path / "m.safetensors").read_bytes().replace(b"'condition 0'", b"")
    assert load_memory(tmp_path / "m.safetensors").conditions == ("condition 1",)


def test_the_file_holds_no_pixels_and_no_names(tmp_path: Path) -> None:
    save_memory(_memory(loaded_pixels(tmp_path)), tmp_path / "m.safetensors")
    stored = (tmp_path / "m.safetensors").read_bytes()
    assert b"secret" not in stored
    assert _examples()[0].scan.pixels.astype(np.uint8).tobytes() not in stored


def test_a_file_read_back_is_the_same_memory(tmp_path: Path) -> None:
    memory = _memory(loaded_pixels(tmp_path), 2).remove("condition 1", "class 0")
    save_memory(memory, tmp_path / "m.safetensors")
    again = load_memory(tmp_path / "m.safetensors")
    assert again.versions == memory.versions
    assert [b.record for b in again.blocks] == [b.record for b in memory.blocks]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    memory = _memory(loaded_pixels(tmp_path))
    broken = replace(
        memory, blocks=(replace(memory.blocks[0], embeddings=torch.zeros(1, 2)), memory.blocks[1])
    )
    save_memory(broken, tmp_path / "m.safetensors")
    with pytest.raises(ModelFileError, match="do not fit"):
        load_memory(tmp_path / "m.safetensors")
    with pytest.raises(ModelFileError, match="no such file"):
        load_memory(tmp_path / "none.safetensors")


def test_contradictions_copies_and_strangers_are_refused(tmp_path: Path) -> None:
    loaded = loaded_pixels(tmp_path)
    memory = _memory(loaded)
    given = _examples()
    with pytest.raises(SupportError, match="remembered already"):
        remember(memory, loaded, "condition 0", given)
    with pytest.raises(SupportError, match="it is remembered as 'class 0'"):
        remember(memory, loaded, "condition 0", [replace(given[0], label="class 1")])
    mr = [replace(e, scan=replace(e.scan, modality="MR")) for e in _examples(seed=3)]
    with pytest.raises(SupportError, match="mixed modalities"):
        remember(memory, loaded, "condition 0", mr)
    with pytest.raises(SupportError, match="made with the weights"):
        remember(memory, replace(loaded, sha256="f" * 64), "y", given)
    with pytest.raises(SupportError, match="does not read frozen embeddings"):
        remember(None, replace(loaded, learner=tiny_learner("maml")), "y", given)
    with pytest.raises(SupportError, match="no condition 'z'"):
        memory.support("z")


def test_the_report_says_that_other_conditions_stay_identical(tmp_path: Path) -> None:
    loaded = loaded_pixels(tmp_path)
    before = _memory(loaded, 2)
    after = remember(before, loaded, "new", _examples(seed=5))
    first, second, new = retention_report(loaded.learner, before, after)
    assert first.is_identical
    assert second.is_identical
    assert new.before is None
    assert new.after.accuracy is not None


def test_a_new_population_is_reported_before_and_after_with_the_old_one(tmp_path: Path) -> None:
    """The second site is brighter, and turns the order of brightness round: before it is read badly."""
    loaded = loaded_pixels(tmp_path)
    site_a = [_bright(e, 40 if e.label == "class 0" else 0) for e in _examples(patients=8)]
    site_b = [_bright(e, 60 if e.label == "class 1" else 120) for e in _examples(patients=8, seed=4)]
    before = remember(None, loaded, "x", site_a)
    after = remember(before, loaded, "x", site_b, "site B")
    old, new = retention_report(loaded.learner, before, after)
    assert (old.population, old.was_new, new.population, new.was_new) == ("first", False, "site B", True)
    assert old.before is not None
    assert new.before is not None
    assert old.before.patients == new.before.patients == 16
    assert new.after.accuracy is not None
    assert new.before.accuracy is not None
    assert new.after.accuracy.value >= new.before.accuracy.value
    assert not new.is_identical


def _bright(example: Example, by: float) -> Example:
    pixels = np.clip(example.scan.pixels + by, 0, 255).astype(np.float32)
    return replace(example, scan=replace(example.scan, pixels=pixels))


def test_no_patient_of_the_old_population_is_read_as_if_it_were_new(tmp_path: Path) -> None:
    loaded = loaded_pixels(tmp_path)
    site_a = _examples(patients=4)
    site_b = [replace(e, patient=site_a[i].patient) if i == 0 else e for i, e in enumerate(_examples(seed=4))]
    before = remember(None, loaded, "x", site_a)
    _, new = retention_report(loaded.learner, before, remember(before, loaded, "x", site_b, "site B"))
    assert new.before is not None
    assert new.before.patients == len(site_b) - 1


@pytest.mark.parametrize("method", sorted(learners()))
def test_adapting_changes_no_byte_of_the_meta_trained_weights(method: str) -> None:
    from workbench.data.examples import Support

    cohort = striped_cohort(way=2, patients=3)
    learner = tiny_learner(method).eval()
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    names = tuple(map(str, range(6)))
    support = Support(torch.from_numpy(cohort.images), torch.from_numpy(cohort.labels), cohort.classes, names)
    classifier = learner.adapt(support)
    classifier.predict(torch.from_numpy(cohort.images))
    after = learner.state_dict()
    assert all(v.numpy().tobytes() == after[name].numpy().tobytes() for name, v in before.items())


def test_an_adapted_model_is_much_smaller_than_the_weights(
    tmp_path: Path,
) -> None:
    from workbench.adaptation.model import load_weights

    model = adapt(load_weights("general", "prototypical"), _examples())
    save_model(model, tmp_path / "m.safetensors")
    from workbench.weights import find_weights

    assert (tmp_path / "m.safetensors").stat().st_size < 0.1 * find_weights("general").stat().st_size


def _run(*given: str | Path) -> str:
    done = CliRunner().invoke(app, [str(part) for part in given])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_commands_from_the_first_condition_to_undo(tmp_path: Path) -> None:
    weights = weights_file(tmp_path / "w.safetensors")
    memory, with_weights = tmp_path / "memory.safetensors", ("--weights", tmp_path / "w.safetensors")
    said = _run("continual", "add", memory, "stripes", class_folders(tmp_path / "a"), *with_weights)
    assert "Added 12 scans of 'class 0', 'class 1' to 'stripes'." in said
    site = class_folders(tmp_path / "b", seed=3)
    said = _run("continual", "add", memory, "stripes", site, "--population", "site B", *with_weights)
    assert "stripes, first:" in said
    assert "stripes, site B:" in said
    (tmp_path / "c" / "class 2").mkdir(parents=True)
    Image.effect_noise((28, 28), 90).save(tmp_path / "c" / "class 2" / "x.png")
    assert "class 2" in _run("continual", "add", memory, "stripes", tmp_path / "c", *with_weights)
    assert "class 2: 1" in _run("continual", "show", memory)
    assert "Undone" in _run("continual", "undo", memory)
    assert "class 2:" not in _run("continual", "show", memory)
    out = tmp_path / "m.safetensors"
    _run("continual", "model", memory, "stripes", "--out", out, *with_weights)
    assert load_model(out, weights).record.classes == ("class 0", "class 1")
    read = read_examples(tmp_path / "a").examples
    assert len(_run("predict", out, tmp_path / "a", "-w", weights).splitlines()) > len(read) / 2
    assert "Removed" in _run("continual", "remove", memory, "stripes", "--for-good")
