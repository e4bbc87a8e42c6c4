from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from tests.imaging.test_quality import scan, texture
from workbench.data.examples import Example
from workbench.data.near import near_copies
from workbench.data.quality import set_findings
from workbench.imaging import Scan


def body(seed: int) -> Scan:
    """A bright oval on black with texture of its own."""
    rows, columns = np.mgrid[-1:1:160j, -1:1:160j]
    inside = (rows / 0.9) ** 2 + (columns / 0.6) ** 2 < 1
    return scan(np.where(inside, texture(seed=seed) // 2 + 90, 4))


def examples(*scans: Scan, label: str = "a") -> list[Example]:
    return [Example(one, label, f"patient {n}") for n, one in enumerate(scans)]


def codes(given: list[Example]) -> list[set[str]]:
    return [{finding.code for finding in found} for found in set_findings(given)]


def test_sound_scans_have_nothing_said_about_them() -> None:
    assert codes(examples(*(body(seed) for seed in range(8)))) == [set()] * 8
    assert set_findings([]) == ()


def test_one_inverted_scan_is_found_among_the_others() -> None:
    scans = [body(seed) for seed in range(8)]
    scans[3] = replace(scans[3], pixels=255 - scans[3].pixels)
    assert codes(examples(*scans)) == [{"inverted"} if n == 3 else set() for n in range(8)]


def test_copies_are_found_across_patients_and_labels_and_not_within_a_patient() -> None:
    first = texture(seed=1)
    smaller = np.asarray(Image.fromarray(first).resize((100, 100)))
    one, again, other = scan(first), scan(smaller), scan(texture(seed=2))
    assert codes(examples(one, again, other)) == [{"near-copy"}, {"near-copy"}, set()]
    same = [Example(s, "a", "one patient") for s in (one, again)]
    assert codes(same) == [set(), set()]
    contradiction = [Example(one, "a", "p"), Example(again, "b", "p")]
    messages = [found[0].message for found in set_findings(contradiction)]
    assert "labelled 'b'" in messages[0]
    assert "labelled 'a'" in messages[1]


def test_no_pair_is_a_copy_among_different_textures() -> None:
    assert near_copies([texture(seed=seed) for seed in range(12)]) == ()


def test_header_and_geometry_that_differ_from_most_are_named() -> None:
    axial = np.diag([-1.0, -1.0, 1.0, 1.0])
    scans = [
        replace(body(seed), body_part="KNEE", modality="CT", spacing=(1.0, 0.5, 0.5), affine=axial)
        for seed in range(7)
    ]
    coronal = np.array([[-1.0, 0, 0, 0], [0, 0, -1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    scans[6] = replace(scans[6], body_part="CHEST", spacing=(1.0, 2.0, 2.0), affine=coronal, modality="MR")
    said = codes(examples(*scans))
    assert said[:6] == [set()] * 6
    assert said[6] == {"other-body-part", "other-modality", "other-spacing", "other-orientation"}


def test_nothing_is_called_unusual_among_few_or_where_most_do_not_agree() -> None:
    few = [replace(body(seed), body_part=part) for seed, part in enumerate(("KNEE", "KNEE", "CHEST"))]
    assert codes(examples(*few)) == [set()] * 3
    mixed = [replace(body(seed), body_part="KNEE" if seed % 2 else "CHEST") for seed in range(8)]
    assert codes(examples(*mixed)) == [set()] * 8
