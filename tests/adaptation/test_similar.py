from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tests.data.test_quality import body
from tests.userfiles import pixel_learner
from workbench.adaptation.model import adapt, against_condition
from workbench.adaptation.similar import embedding_findings, pairwise, unlike
from workbench.data.examples import Example, Features, Support
from workbench.learners.base import Classifier
from workbench.learners.files import LoadedLearner, describe


def adapted(
    vectors: np.ndarray[tuple[int, ...], np.dtype[np.float64]], patients: list[str]
) -> tuple[Classifier, Support]:
    labels = torch.tensor([row % 2 for row in range(len(vectors))])
    support = Support(Features(torch.from_numpy(vectors).float()), labels, ("a", "b"), tuple(patients))
    return pixel_learner().adapt(support), support


def cluster(n: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    rng = np.random.default_rng(seed)
    return np.asarray(np.eye(64)[0] * 4 + rng.standard_normal((n, 64)) * 0.2)


def test_distances_equal_a_double_loop() -> None:
    vectors = cluster(5) / np.linalg.norm(cluster(5), axis=1, keepdims=True)
    expected = [[np.linalg.norm(a - b) for b in vectors] for a in vectors]
    np.testing.assert_allclose(pairwise(vectors), expected, atol=1e-7)


def test_a_stranger_is_found_and_its_second_scan_does_not_speak_for_it() -> None:
    vectors = cluster(14)
    vectors[12:] = np.eye(64)[1] * 4
    vectors[13] += 0.05
    patients = [f"p{row}" for row in range(12)] + ["stranger"] * 2
    classifier, support = adapted(vectors, patients)
    found = [{one.code for one in several} for several in embedding_findings(classifier, support)]
    assert all("unlike-others" not in one for one in found[:12])
    assert all("unlike-others" in one for one in found[12:])


def test_copies_across_patients_are_found_and_those_of_one_patient_are_let_be() -> None:
    vectors = cluster(12)
    vectors[8] = vectors[0] + 0.001  # the same label
    vectors[11] = vectors[1 + 2] + 0.001  # the same label, the same patient
    patients = [f"p{row}" for row in range(11)] + ["p3"]
    classifier, support = adapted(vectors, patients)
    found = [{one.code for one in several} for several in embedding_findings(classifier, support)]
    assert [row for row, one in enumerate(found) if "near-copy" in one] == [0, 8]


def test_too_few_scans_say_nothing() -> None:
    classifier, support = adapted(cluster(4), ["a", "b", "c", "d"])
    assert embedding_findings(classifier, support) == ((),) * 4
    assert not unlike(np.full((3, 3), np.inf)).any()


def test_a_new_scan_of_another_body_part_is_read_with_a_warning() -> None:
    scans = [replace(body(seed), body_part="KNEE") for seed in range(6)]
    examples = [Example(scan, "ab"[n % 2], f"p{n}") for n, scan in enumerate(scans)]
    loaded = LoadedLearner(pixel_learner(), describe(pixel_learner(), "tiny"), "")
    record = adapt(loaded, examples).record
    assert record.body_part == "KNEE"
    chest = replace(body(9), body_part="CHEST")
    (finding,) = against_condition(record, chest).findings
    assert finding.code == "other-body-part"
    assert "CHEST" in finding.message
    for known in (scans[0], replace(chest, body_part="")):
        assert against_condition(record, known).findings == ()
