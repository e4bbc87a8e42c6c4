from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from scipy.stats import chi2_contingency, kruskal

from tests.helpers import SIZE, striped_cohort
from tests.userfiles import pixel_learner
from workbench.adaptation.duplicates import find_duplicates
from workbench.adaptation.estimate import leave_one_patient_out
from workbench.adaptation.mislabelled import confident_classes, label_doubts, neighbour_agreement
from workbench.adaptation.shortcuts import find_shortcuts, min_p
from workbench.adaptation.support_quality import SupportFindings, support_findings
from workbench.data.examples import Example, Support
from workbench.errors import SupportError
from workbench.imaging.dicom_terms import vendor
from workbench.imaging.scan import Provenance, Scan, Units


def _scan(pixels: np.ndarray, source: str = "a.png", manufacturer: str = "", form: str = "PNG") -> Scan:
    return Scan(
        pixels[None].astype(np.float32),
        Units.DISPLAY,
        "OT",
        Provenance(source, form, source, f"{form}, RGB"),
        value_range=(0.0, 255.0),
        manufacturer=manufacturer,
    )


def _noise(n: int, seed: int = 0, side: int = 40) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(100, 20, (side, side, 1)).clip(0, 255) for _ in range(n)]


def _labels(n: int) -> np.ndarray:
    return np.arange(n) % 2


def _names(n: int) -> tuple[str, ...]:
    return tuple(f"p{i}" for i in range(n))


# Labels


def test_confident_classes_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.1, 0.9], [np.nan, np.nan]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    judged = np.array([True] * 5 + [False])
    margin, counted = confident_classes(probabilities, judged, labels)
    # Thresholds: class 0 (0.9 + 0.7 + 0.2) / 3 = 0.6; class 1 (0.6 + 0.9) / 2 = 0.75.
    np.testing.assert_allclose(margin[:5], [0.8, 0.4, -0.6, 0.2, 0.8])
    assert counted.tolist() == [0, 0, 1, -1, 1, -1]


def test_neighbours_of_the_same_patient_do_not_vote_and_classes_count_the_same() -> None:
    angles = np.deg2rad([0, 1, 2, 3, 90, 91, 92])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    labels = np.array([0, 0, 1, 1, 1, 1, 1])
    patients = ("a", "a", "b", "c", "d", "e", "f")
    agreement = neighbour_agreement(embeddings, labels, patients, count=2)
    assert agreement[0] == 0.0  # its own patient's scan lies nearest and is not asked
    # Scan 2 asks scans 1 (class 0, weight 1/2) and 3 (class 1, weight 1/4).
    assert agreement[2] == pytest.approx((1 / 4) / (1 / 2 + 1 / 4))


def _wrong_label_support() -> Support:
    cohort = striped_cohort(way=2, patients=10)
    labels = cohort.labels.copy()
    labels[3] = 1
    return Support(
        torch.from_numpy(cohort.images), torch.from_numpy(labels), cohort.classes, _names(20), _names(20)
    )


def _found(support: Support, examples: tuple[Example, ...] = ()) -> SupportFindings:
    learner = pixel_learner()
    return support_findings(
        learner.adapt(support), support, leave_one_patient_out(learner, support), examples
    )


def test_a_planted_wrong_label_is_ranked_first_and_named() -> None:
    found = _found(_wrong_label_support())
    assert [d.row for d in found.suspects] == [3]
    assert found.doubts[0].row == 3
    (finding,) = [f for f in found.findings if f.code == "label-doubtful"]
    assert "p3 (labelled 'class 1', looks like 'class 0'" in finding.message
    assert not any("p3" in line for line in found.summary)


def test_where_readings_are_guesses_no_label_is_doubted() -> None:
    support = _wrong_label_support()
    rng = np.random.default_rng(0)
    found = _found(replace(support, labels=torch.from_numpy(rng.permutation(support.labels.numpy()))))
    assert not found.is_readable
    assert found.suspects == ()
    assert len(found.doubts) == 20


def test_scans_that_could_not_be_judged_are_not_ranked() -> None:
    doubts = label_doubts(
        np.array([[0.9, 0.1], [np.nan, np.nan], [0.8, 0.2]]),
        np.array([True, False, True]),
        np.eye(3),
        np.array([0, 1, 0]),
        _names(3),
    )
    assert sorted(d.row for d in doubts) == [0, 2]


def test_examples_of_another_support_are_refused() -> None:
    with pytest.raises(SupportError, match="1 examples"):
        _found(_wrong_label_support(), (Example(_scan(_noise(1)[0]), "class 0", "p0"),))


# Copies


def _smooth(n: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    small = rng.integers(0, 255, (n, 7, 7, 3)).astype(np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(s).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for s in small]
    )


def test_a_copy_saved_again_is_found_across_classes_and_patients_only() -> None:
    images = _smooth(12)
    blurred = Image.fromarray(images[0]).resize((20, 20)).resize((SIZE, SIZE))
    images[7] = np.asarray(blurred)
    unit = images.reshape(12, -1) / np.linalg.norm(images.reshape(12, -1), axis=1, keepdims=True)
    labels = np.array([0] * 6 + [1] * 6)
    (pair,) = find_duplicates(images, unit, labels, _names(12))
    assert (pair.first, pair.second, pair.by_picture, pair.across_classes) == (0, 7, True, True)
    assert find_duplicates(images, unit, np.zeros(12, dtype=np.int64), ("same",) * 12) == ()
    (pair,) = find_duplicates(images, unit, np.zeros(12, dtype=np.int64), _names(12))
    assert not pair.across_classes


def test_a_copy_is_found_by_embedding_where_pictures_are_not_at_hand() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(10, 16))
    values[9] = values[2] + 0.01 * rng.normal(size=16)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    (pair,) = find_duplicates(None, unit, np.zeros(10, dtype=np.int64), _names(10))
    assert (pair.first, pair.second, pair.by_picture, pair.by_embedding) == (2, 9, False, True)


# Shortcuts


def test_the_statistic_orders_as_kruskal_wallis_and_chi_squared_do() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 8)
    ranks = np.argsort(np.argsort(rng.normal(size=24))) + 1.0
    category = rng.integers(0, 3, 24)
    member = np.eye(3)[category]
    designs = ((ranks - ranks.mean())[:, None], (member - member.mean(0)) / np.sqrt(member.sum(0)))
    ours, theirs = [], []
    for order in [rng.permutation(24) for _ in range(20)]:
        y = labels[order]
        onehot = np.eye(3)[y]
        ours.append([(np.square(onehot.T @ d) / 8).sum() for d in designs])
        table = np.array([[np.sum((y == k) & (category == v)) for v in range(3)] for k in range(3)])
        theirs.append(
            [kruskal(*(ranks[y == k] for k in range(3))).statistic, chi2_contingency(table).statistic]
        )
    a, b = np.array(ours), np.array(theirs)
    np.testing.assert_allclose(a / a[0], b / b[0])  # equal up to one factor


def test_the_p_of_one_property_is_the_share_of_permutations_at_least_as_extreme() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    ranks = np.array([1.0, 2, 3, 4, 5, 6])
    (p,) = min_p([(ranks - 3.5)[:, None]], labels, 20_000, seed=0)
    assert p == pytest.approx(2 / 20, abs=0.01)  # two of the 20 ways to choose three


def test_trying_many_properties_does_not_raise_false_alarms() -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for seed in range(200):
        designs = [
            (r - 9.5)[:, None] for r in (rng.permutation(20.0 * np.arange(20) / 20) for _ in range(15))
        ]
        alarms += bool(min(min_p(designs, np.arange(20) % 2, 200, seed)) <= 0.05)
    assert alarms <= 19  # 95 % of binomial(200, 0.05) lies at 5 to 16; 19 is exceeded once in 400 times


def _with(pixels: np.ndarray, plant: str) -> np.ndarray:
    image = Image.fromarray(pixels[..., 0].astype(np.uint8))
    if plant == "mark":
        ImageDraw.Draw(image).line([(33, 4), (33, 9), (36, 9)], fill=255)
    if plant == "text":
        ImageDraw.Draw(image).text((2, 29), "AB12", fill=255)
    made = np.asarray(image, dtype=np.float32)[..., None]
    return made + 60 if plant == "brightness" else made


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        ("mark", "marks in the top right corner"),
        ("text", "marks in the bottom left corner"),
        ("brightness", "mean brightness"),
        ("size", "image size"),
        ("manufacturer", "scanner manufacturer"),
        ("format", "file format"),
    ],
)
def test_a_planted_shortcut_is_found_and_nothing_without_it(plant: str, name: str) -> None:
    labels = _labels(20)
    pixels = _noise(20)
    if plant == "size":
        rng = np.random.default_rng(3)
        pixels = [rng.normal(100, 20, (40 + 8 * k, 40 + 8 * k, 1)).clip(0, 255) for k in labels]
    scans = [
        _scan(
            _with(p, plant if k else ""),
            manufacturer="siemens" if plant == "manufacturer" and k else "ge",
            form="JPEG" if plant == "format" and k else "PNG",
        )
        for p, k in zip(pixels, labels, strict=True)
    ]
    found = {s.name: s for s in find_shortcuts(scans, labels, _names(20)).found}
    assert name in found
    assert found[name].right >= 18
    plain = [_scan(p) for p in _noise(20)]
    assert find_shortcuts(plain, labels, _names(20)).found == ()


def test_scans_of_one_patient_count_once() -> None:
    labels = np.repeat([0, 1], 20)
    patients = tuple(f"p{i // 10}" for i in range(40))  # two patients of each class
    scans = [_scan(p, manufacturer="siemens" if k else "ge") for p, k in zip(_noise(40), labels, strict=True)]
    result = find_shortcuts(scans, labels, patients)
    assert result.found == ()
    assert result.is_weak


def test_a_shortcut_reaches_the_findings_in_words() -> None:
    support = _wrong_label_support()
    examples = tuple(
        Example(_scan(p, manufacturer="siemens" if k else "ge"), support.classes[k], f"p{i}")
        for i, (p, k) in enumerate(zip(_noise(20), support.labels.tolist(), strict=True))
    )
    (finding,) = [f for f in _found(support, examples).findings if f.code == "acquisition-shortcut"]
    assert finding.message.startswith("From the scanner manufacturer alone, the class of 20 of 20")


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("SIEMENS", "SIEMENS"),
        ("GE MEDICAL SYSTEMS", "GE"),
        ("FUJIFILM Corporation", "FUJIFILM"),
        ("Philips Medical Systems", "PHILIPS"),
        ("St. Mary's Radiology 12345", "OTHER"),
        ("", ""),
    ],
)
def test_only_known_makers_are_kept(text: str, known: str) -> None:
    assert vendor(text) == known


def test_doubts_reach_the_model_file_without_names(tmp_path: Path) -> None:
    from tests.userfiles import loaded_pixels
    from workbench.adaptation.model import AdaptedModel, adapt, load_model, save_model

    loaded = loaded_pixels(tmp_path)
    scans = [_scan(p, f"name{i}.png", form="JPEG" if i % 2 else "PNG") for i, p in enumerate(_noise(20))]
    examples = [Example(s, f"c{i % 2}", f"p{i}") for i, s in enumerate(scans)]
    model: AdaptedModel = adapt(loaded, examples)
    assert model.support is not None
    estimate = leave_one_patient_out(loaded.learner, model.support)
    found = support_findings(model.classifier, model.support, estimate, examples)
    save_model(model.with_doubts(found.summary), tmp_path / "m.safetensors")
    (first, *_) = load_model(tmp_path / "m.safetensors", tmp_path / "prototypical.safetensors").record.doubts
    assert first.startswith("From the file format alone")
    assert b"name3" not in (tmp_path / "m.safetensors").read_bytes()
