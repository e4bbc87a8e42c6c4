"""What a person installs: the dependency closure, its licences, the pins, and the wheel."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]

# The build of torch is the user's choice, and a CUDA build brings NVIDIA's packages: not ours to judge.
NOT_FOLLOWED = {"torch"}
ACCELERATOR = re.compile(r"^(nvidia-|cuda-|triton|torchvision$|torchaudio$)")
# GPL, AGPL and LGPL alike: today there is none, and the first LGPL one is a decision to be made here. The
# exceptions that let compiled programs link GCC's run-time library are not copyleft.
COPYLEFT = re.compile(r"\b[AL]?GPL|General Public License", re.IGNORECASE)
LINKING_EXCEPTION = re.compile(r"[AL]?GPL[\w.+-]*\s+WITH\s+GCC-exception[\w.-]*", re.IGNORECASE)
MAX_WEIGHT_BYTES = 20_000_000


def closure(requirements: list[str]) -> dict[str, Distribution]:
    """Installed distributions that `requirements` bring on this platform, by canonical name."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    queue = [(Requirement(text), "") for text in requirements]
    while queue:
        requirement, extra = queue.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            pytest.fail(f"{requirement} is required but not installed; run `make dev`")
        for wanted in {"", *requirement.extras} - {e for n, e in seen if n == name}:
            seen.add((name, wanted))
            if name not in NOT_FOLLOWED:
                queue += [(Requirement(text), wanted) for text in found[name].requires or ()]
    return found


def stated_licence(package: Distribution) -> str:
    """The SPDX expression where there is one, otherwise classifiers and the licence field's first line."""
    expression = package.metadata.get("License-Expression")
    if expression:
        return expression
    classifiers = [c for c in package.metadata.get_all("Classifier") or () if c.startswith("License ::")]
    free_text = (package.metadata.get("License") or "").strip().splitlines()[:1]
    return "; ".join(classifiers + free_text)


def is_copyleft(licence: str) -> bool:
    return COPYLEFT.search(LINKING_EXCEPTION.sub("", licence)) is not None


def pins() -> dict[str, Version]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): Version(version) for name, version in pairs}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this tree, built in-process (no network, no build environment)."""
    folder = tmp_path_factory.mktemp("wheel")
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return zipfile.ZipFile(path)


REQUIRED = [*PROJECT["dependencies"], *EXTRAS["oidc"], *EXTRAS["postgres"], *EXTRAS["pretrained"]]


def test_no_dependency_brings_torchvision_or_chooses_an_accelerator() -> None:
    assert [name for name in closure(REQUIRED) if ACCELERATOR.match(name)] == []


def test_the_extra_for_public_encoders_is_imported_only_where_one_is_built() -> None:
    """Inside a function: a module that imports it when loaded would make every installation need it."""
    for path in [*(ROOT / "workbench").rglob("*.py"), *(ROOT / "ui").rglob("*.py")]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            named = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "transformers" for name in named), path.name


def imported_modules(folder: Path) -> set[str]:
    """Top-level names of everything that the Python files below `folder` import, also inside functions."""
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.split(".")[0])
    return names


def test_every_imported_package_is_a_declared_dependency() -> None:
    declared = {canonicalize_name(Requirement(text).name) for text in REQUIRED}
    owners = packages_distributions()
    outside = imported_modules(ROOT / "workbench") | imported_modules(ROOT / "ui")
    outside -= sys.stdlib_module_names | {"workbench", "ui"}
    undeclared = {m for m in outside if declared.isdisjoint(map(canonicalize_name, owners.get(m, ())))}
    assert undeclared == set()


def test_no_dependency_is_copyleft_and_each_states_its_licence() -> None:
    licences = {name: stated_licence(package) for name, package in closure(REQUIRED).items()}
    assert [name for name, licence in licences.items() if not licence] == []
    assert {name: licence for name, licence in licences.items() if is_copyleft(licence)} == {}


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("GPL-3.0-or-later", True),
        ("MIT AND LGPL-2.1-only", True),
        ("License :: OSI Approved :: GNU General Public License v3 (GPLv3)", True),
        ("BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1", False),
        ("Apache-2.0", False),
    ],
)
def test_copyleft_is_recognised_in_every_spelling(licence: str, expected: bool) -> None:
    assert is_copyleft(licence) is expected


def test_gpl_codecs_are_only_in_the_extra_that_says_so() -> None:
    others = [
        *PROJECT["dependencies"],
        *(r for name, rs in EXTRAS.items() if name != "codecs-gpl" for r in rs),
    ]
    names = {canonicalize_name(Requirement(text).name) for text in others}
    gpl = {canonicalize_name(Requirement(text).name) for text in EXTRAS["codecs-gpl"]}
    assert names.isdisjoint(gpl | {"pylibjpeg-libjpeg"})
    assert gpl.isdisjoint(pins())


def test_pins_cover_every_direct_dependency_and_satisfy_its_range() -> None:
    pinned = pins()
    for text in [*REQUIRED, *EXTRAS["dev"], *EXTRAS["notebook-run"], *EXTRAS["notebooks"]]:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if name not in {"torch", PROJECT["name"]}:
            assert pinned[name] in requirement.specifier, text


def test_pins_leave_the_build_of_torch_open() -> None:
    assert [name for name in pins() if name == "torch" or ACCELERATOR.match(name)] == []


def test_pins_name_no_path_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line) for line in lines)


def test_citation_names_the_version_and_licence_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])


def test_wheel_takes_no_top_level_name_but_its_two_packages(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"workbench", "ui"}


def test_wheel_carries_every_card(wheel: zipfile.ZipFile) -> None:
    cards = {f"workbench/_cards/{path.name}" for path in (ROOT / "datasets").glob("*.yaml")}
    assert cards
    assert cards <= set(wheel.namelist())


def test_wheel_carries_the_weights_with_their_model_card_and_stays_small(wheel: zipfile.ZipFile) -> None:
    weights = [info for info in wheel.infolist() if info.filename.endswith(".safetensors")]
    assert {Path(info.filename).name for info in weights} == {
        path.name for path in (ROOT / "workbench").rglob("*.safetensors")
    }
    assert weights
    assert any(re.fullmatch(r"workbench/weights/[^/]+\.md", name) for name in wheel.namelist())
    assert sum(info.file_size for info in weights) < MAX_WEIGHT_BYTES


def test_wheel_carries_no_pickle_and_no_scan(wheel: zipfile.ZipFile) -> None:
    forbidden = re.compile(r"\.(pt|pth|ckpt|pkl|npz|npy|dcm|nii|nii\.gz)$")
    assert [name for name in wheel.namelist() if forbidden.search(name)] == []


def test_wheel_works_away_from_the_checkout(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    wheel.extractall(site)
    # PYTHONPATH comes before an editable install's path, so the unpacked wheel is what is imported.
    environment = {**os.environ, "PYTHONPATH": str(site)}
    script = "import workbench; print(workbench.__file__); from workbench.cli import app; app()"
    for arguments in (["--help"], ["data", "list"]):
        done = subprocess.run(
            [sys.executable, "-P", "-c", script, *arguments],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[0].startswith(str(site))
