"""What the desk's screens do when something is pressed, without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import create_autospec

import gradio as gr
import pytest

from ui.state import Action, At, Context, Desk, Found
from ui.views.define import DefineView
from ui.views.scans import ScansView
from workbench.errors import StaleEdit, SupportError
from workbench.pacs.archive import Selection, StudyMatch
from workbench.service import accounts, conditions, pacs
from workbench.service.kinds import Draft
from workbench.store.database import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
def at(store: Store) -> At:
    """On a new condition's define screen."""
    actor = accounts.local_actor(store)
    made = conditions.create(store, actor, Draft("Osteoporosis", ("yes", "no")))
    return At(actor, made, "define", Desk("define", made.id))


def fields(title: str, revision: int) -> dict[str, tuple[str, ...]]:
    return {"title": (title,), "class": ("yes", "no"), "miss_cost": ("2",), "revision": (str(revision),)}


def test_ticked_studies_are_retrieved_to_be_labelled(
    store: Store, at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = create_autospec(pacs.retrieve)
    monkeypatch.setattr(pacs, "retrieve", called)
    with gr.Blocks():
        view = ScansView(Context(store))
    at.desk.found = Found(
        "main", tuple(StudyMatch(f"1.2.{n}", "p", "", "20260131", ("CT",), "", 3) for n in range(3))
    )
    view._pressed(at, Action("retrieve", "", {"study": ("0", "2")}))
    chosen = [Selection("1.2.0"), Selection("1.2.2")]
    called.assert_called_once_with(store, at.actor, at.opened.id, "main", chosen, "support")
    with pytest.raises(SupportError, match="Tick"):
        view._pressed(at, Action("retrieve"))


def test_a_save_from_an_older_state_changes_nothing_until_it_is_meant(store: Store, at: At) -> None:
    with gr.Blocks():
        view = DefineView(Context(store))
    seen = at.opened.revision
    conditions.edit(store, at.actor, at.opened.id, Draft("By the other", ("yes", "no")), seen)
    now = At(at.actor, conditions.get(store, at.actor, at.opened.id), "define", at.desk)
    with pytest.raises(StaleEdit):
        view._edit(now, Action("save", "", fields("Mine", seen)))
    assert conditions.get(store, at.actor, at.opened.id).draft.title == "By the other"
    assert at.desk.stale
    assert at.desk.draft is not None
    assert at.desk.draft.title == "Mine", "what was typed is kept"
    view._edit(now, Action("mine", "", fields("Mine", seen)))
    saved = conditions.get(store, at.actor, at.opened.id).draft
    assert (saved.title, saved.miss_cost) == ("Mine", 4.0)
    assert not at.desk.stale


def test_what_leaves_a_condition_forgets_its_unsaved_changes() -> None:
    desk = Desk("define", "c" * 32, draft=Draft("x"), stale=True, revision=3)
    desk.leave()
    assert (desk.screen, desk.condition_id, desk.draft, desk.stale) == ("worklist", None, None, False)
    assert (desk.last, desk.last_screen) == ("c" * 32, "define")
