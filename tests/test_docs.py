"""What the documentation says must be so: links, commands, code, methods, findings, fields of a plan."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

import workbench.learners
from tests.learners import test_contract
from workbench.backbones import names as backbones
from workbench.cli import app
from workbench.cli_benchmark import app as benchmark_app
from workbench.cli_continual import app as continual_app
from workbench.cli_data import app as data_app
from workbench.cli_pacs import app as pacs_app
from workbench.cli_retention import app as retention_app
from workbench.cli_scans import app as scans_app
from workbench.cli_store import audit as audit_app
from workbench.cli_store import store as store_app
from workbench.cli_users import tokens as tokens_app
from workbench.cli_users import users as users_app
from workbench.data.card import Card
from workbench.learners import learners
from workbench.training.plan import Plan

ROOT = Path(__file__).parents[1]
GROUPS = {
    "data": data_app,
    "benchmark": benchmark_app,
    "pacs": pacs_app,
    "scans": scans_app,
    "continual": continual_app,
    "users": users_app,
    "tokens": tokens_app,
    "audit": audit_app,
    "store": store_app,
    "retention": retention_app,
}
"""Commands that have commands of their own."""
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`([^`\n]+)`")


def _ids(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def _blocks(page: Path, language: str | None = None) -> list[str]:
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [text for kind, text in found if language is None or kind == language]


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in headings}


def _section(page: str, heading: str) -> str:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/{page} has no section {heading!r}"
    return found.group(1)


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link or link.startswith("mailto:"):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{page.name}: {link}"
        assert target.is_relative_to(ROOT), f"{page.name}: {link} leaves the repository"
        assert not anchor or anchor in _anchors(target), f"{page.name}: {link}"


def test_every_page_is_on_the_map() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())}
    pages = {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - {index}
    assert [page.name for page in sorted(pages) if page not in linked and page.parent not in linked] == []


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_pages_name_no_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(work|root|home|tmp)/", page.read_text(encoding="utf-8"))


def _commands() -> dict[str, TyperCommand]:
    """Every command by its words: ``adapt``, ``data check``, ..."""
    groups = {"": app} | {f"{name} ": group for name, group in GROUPS.items()}
    found: dict[str, TyperCommand] = {}
    for prefix, typed in groups.items():
        group = typer.main.get_command(typed)
        assert isinstance(group, TyperGroup)
        for name, command in group.commands.items():
            if not prefix and name in GROUPS and isinstance(command, TyperGroup):
                continue
            assert isinstance(command, TyperCommand)
            found[prefix + name] = command
    return found


def _mentions(page: Path) -> Iterator[list[str]]:
    """Words of every command line in code: ``workbench adapt ...``."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in _blocks(page) for line in block.replace("\\\n", " ").splitlines()]
    for code in (*lines, *CODE_SPAN.findall(FENCE.sub("", text))):
        found = re.match(r"\s*(?:\$ )?(?:\S*/bin/)?workbench (.+)$", code.partition("  #")[0])
        if found:
            yield found.group(1).split()


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_every_command_and_option_named_exists(page: Path) -> None:
    known = _commands()
    for words in _mentions(page):
        if words[0].startswith("-"):
            assert words[0] == "--help", f"{page.name}: workbench {words[0]}"
            continue
        if words[0] == "COMMAND" or (words in ([words[0]], [words[0], "--help"]) and words[0] in GROUPS):
            continue
        name = " ".join(words[:2]) if words[0] in GROUPS else words[0]
        assert name in known, f"{page.name}: workbench {name}"
        options = {option for p in known[name].params for option in (*p.opts, *p.secondary_opts)} | {"--help"}
        for word in words[1:]:
            if word.startswith("--"):
                assert word.partition("=")[0] in options, f"{page.name}: workbench {name} {word}"


@pytest.mark.parametrize("name", sorted(_commands()))
def test_help_answers(name: str) -> None:
    result = CliRunner().invoke(app, [*name.split(), "--help"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_make_targets_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    code = [
        *_blocks(page, ""),
        *_blocks(page, "bash"),
        *_blocks(page, "sh"),
        *CODE_SPAN.findall(FENCE.sub("", text)),
    ]
    named = {name for part in code for name in re.findall(r"^\s*(?:\$ )?make ([a-z]+)", part, re.MULTILINE)}
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_python_in_pages_compiles(page: Path) -> None:
    for block in _blocks(page, "python"):
        compile(block, page.name, "exec")


def test_every_learner_is_described_with_its_options() -> None:
    for name, kind in learners().items():
        text = _section("learners.md", name)
        for option in kind.options_type.__dataclass_fields__:
            assert f"`{option}`" in text, f"docs/learners.md: {name}: {option}"


def test_every_backbone_is_described() -> None:
    text = _section("learners.md", "Backbones")
    assert [name for name in backbones() if f"`{name}`" not in text] == []


def test_findings_are_listed_as_they_are_made() -> None:
    """Code and severity of every `Finding` in the source, against the table."""
    made: set[tuple[str, str]] = set()
    for file in (ROOT / "workbench").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                code, severity = node.args[:2]
                assert isinstance(code, ast.Constant), f"{file.name}: a finding's code must be spelled out"
                made.add((str(code.value), ast.unparse(severity).removeprefix("Severity.").lower()))
    rows = re.findall(
        r"^\| `([a-z0-9-]+)` \| (info|warning|error) \|", _section("imaging.md", "Findings"), re.MULTILINE
    )
    assert len(rows) == len(set(rows))
    assert set(rows) == made


def test_every_field_of_a_plan_is_explained() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", _section("training.md", "The plan"), re.MULTILINE)
    assert sorted(rows) == sorted(Plan.model_fields)


def test_every_field_of_a_card_is_explained() -> None:
    text = _section("data.md", "Cards")
    assert [name for name in Card.model_fields if f"`{name}`" not in text] == []


@pytest.fixture
def contributed(tmp_path: Path) -> Iterator[str]:
    """The method of CONTRIBUTING.md, put where `learners()` finds it, and its test's source."""
    module, test = _blocks(ROOT / "CONTRIBUTING.md", "python")
    (tmp_path / "nearest_scan.py").write_text(module, encoding="utf-8")
    workbench.learners.__path__.append(str(tmp_path))
    learners.cache_clear()
    importlib.invalidate_caches()
    yield test
    workbench.learners.__path__.remove(str(tmp_path))
    sys.modules.pop("workbench.learners.nearest_scan", None)
    learners.cache_clear()


def test_the_method_shown_to_contributors_keeps_the_contract(contributed: str, tmp_path: Path) -> None:
    assert "nearest-scan" in learners()
    test_contract.test_reading_of_one_scan_does_not_depend_on_its_neighbours("nearest-scan")
    test_contract.test_cached_features_give_the_reading_of_the_images("nearest-scan")
    test_contract.test_any_number_of_classes_and_unequal_sizes("nearest-scan", (2, 3, 5))
    test_contract.test_one_channel_input("nearest-scan")
    test_contract.test_files_restore_learner_and_classifier("nearest-scan", tmp_path)


def test_the_test_shown_to_contributors_passes(contributed: str) -> None:
    scope: dict[str, object] = {}
    exec(contributed, scope)
    tests = [value for name, value in scope.items() if name.startswith("test_") and callable(value)]
    assert len(tests) == 1
    tests[0]()
