from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.userfiles import class_folders
from workbench.data.examples import Example, Support
from workbench.data.folders import read_examples
from workbench.errors import SupportError
from workbench.imaging.modality import PLAIN_XRAY, UNKNOWN_MODALITY, same_modality
from workbench.imaging.recipe import Recipe


@pytest.mark.parametrize("code", sorted(PLAIN_XRAY))
def test_plain_x_rays_are_alike_whatever_their_maker_calls_them(code: str) -> None:
    assert same_modality(code, "DX")
    assert same_modality(code, UNKNOWN_MODALITY)
    assert not same_modality(code, "CT")


def _examples(folder: Path, codes: tuple[str, ...]) -> list[Example]:
    read = read_examples(class_folders(folder, patients=2))
    return [
        replace(e, scan=replace(e.scan, modality=codes[i % len(codes)])) for i, e in enumerate(read.examples)
    ]


def test_a_support_may_mix_the_codes_of_plain_x_rays_but_not_modalities(tmp_path: Path) -> None:
    recipe = Recipe(size=28)
    assert len(Support.from_examples(_examples(tmp_path, ("DX", "CR", "OT")), recipe)) == 4
    with pytest.raises(SupportError, match=r"CT .*DX"):
        Support.from_examples(_examples(tmp_path, ("DX", "CT")), recipe)
