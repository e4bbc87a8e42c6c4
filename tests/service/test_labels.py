"""Labels: history, undo, blind readers, disagreement, agreement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from sqlalchemy import select

from tests.service.conftest import CLASSES, Run, class_files, lesions, person, upload
from workbench.errors import NotAllowed, NotFound, SupportError
from workbench.service import adapting, agreement, conditions, labels, reading, trays, versions
from workbench.service.kinds import Actor, CaseInfo, ConditionInfo, Level, Near, ScanInfo
from workbench.store.database import Store
from workbench.store.schema import Label, User


@pytest.fixture
def shared_condition(store: Store, ada: Actor, ben: Actor, phantoms: Path, run_jobs: Run) -> ConditionInfo:
    """Six patients of each class, Ada's, shared with Ben to read."""
    condition = lesions(store, ada)
    upload(store, ada, condition.id, class_files(phantoms, 6))
    run_jobs()
    return conditions.share(store, ada, condition.id, "ben", Level.READ)


def test_a_share_ends_by_the_name_it_is_shown_with(
    store: Store, ada: Actor, ben: Actor, shared_condition: ConditionInfo
) -> None:
    with store.session() as session:
        user = session.get(User, ben.user_id)
        assert user is not None
        user.display, user.active = "Dr Ben", False
    ((name, _),) = conditions.get(store, ada, shared_condition.id).shared
    assert conditions.share(store, ada, shared_condition.id, name, None).shared == ()
    with pytest.raises(NotFound):
        conditions.share(store, ada, shared_condition.id, name, Level.READ)


def tray(store: Store, actor: Actor, condition: ConditionInfo) -> tuple[ScanInfo, ...]:
    return trays.scans(store, actor, condition.id)


def say(store: Store, actor: Actor, condition: ConditionInfo, said: str) -> None:
    """Labels of the first scans: ``01?`` for the first class, the second, unsure."""
    for scan, letter in zip(tray(store, actor, condition), said, strict=False):
        if letter == "?":
            labels.set_label(store, actor, scan.id, None, unsure=True)
        else:
            labels.set_label(store, actor, scan.id, condition.classes[int(letter)].id)


def test_undo_goes_back_step_by_step_and_nothing_is_rewritten(
    store: Store, ada: Actor, shared_condition: ConditionInfo
) -> None:
    condition, (first, second) = shared_condition, tray(store, ada, shared_condition)[:2]
    sick, well = (one.id for one in condition.classes)
    labels.set_label(store, ada, first.id, sick)
    labels.set_label(store, ada, first.id, well)
    labels.set_label(store, ada, second.id, None, unsure=True)

    def now() -> list[tuple[str | None, bool]]:
        return [(scan.label, scan.unsure) for scan in tray(store, ada, condition)[:2]]

    assert now() == [(well, False), (None, True)]
    assert labels.undo(store, ada, condition.id) == second.id
    assert now() == [(well, False), (None, False)]
    assert labels.undo(store, ada, condition.id) == first.id
    assert now() == [(sick, False), (None, False)]
    labels.set_label(store, ada, second.id, well)
    assert labels.undo(store, ada, condition.id) == second.id
    assert labels.undo(store, ada, condition.id) == first.id
    assert now() == [(None, False), (None, False)]
    assert labels.undo(store, ada, condition.id) is None
    with store.read() as session:
        history = session.scalars(select(Label).order_by(Label.id)).all()
    assert len(history) == 8, "four labels and four undos"


def test_a_second_reader_is_blind_to_the_first(
    store: Store, ada: Actor, ben: Actor, shared_condition: ConditionInfo
) -> None:
    labels.accept_hints(store, ada, shared_condition.id)
    for scan in tray(store, ben, shared_condition):
        assert (scan.label, scan.counts_as, scan.disputed, scan.hint, scan.readers) == (
            None,
            None,
            False,
            "",
            1,
        )
    first = tray(store, ben, shared_condition)[0]
    labels.set_label(store, ben, first.id, shared_condition.classes[0].id)
    seen = tray(store, ben, shared_condition)
    assert seen[0].counts_as or seen[0].disputed
    assert all(scan.counts_as is None for scan in seen[1:])
    with pytest.raises(NotAllowed):
        labels.accept_hints(store, ben, shared_condition.id)
    hidden = labels.agreement(store, ben, shared_condition.id)
    assert (hidden.readers, hidden.disputed) == ((), ())


def test_versions_and_readings_do_not_tell_a_second_reader_the_first_ones_labels(
    store: Store,
    ada: Actor,
    ben: Actor,
    shared_condition: ConditionInfo,
    phantoms: Path,
    run_jobs: Run,
) -> None:
    labels.accept_hints(store, ada, shared_condition.id)
    adapting.start(store, ada, shared_condition.id)
    upload(store, ada, shared_condition.id, class_files(phantoms, 1, first=6), role="case")
    run_jobs()
    (mine,), (theirs,) = (versions.all(store, who, shared_condition.id) for who in (ada, ben))
    assert len(mine.result.judged) == 12
    assert theirs.result.judged == ()
    assert theirs.result.accuracy == mine.result.accuracy
    # Who only reads cases is shown the labels of what they resemble; who labels, what that reader labelled.
    assert all(
        near.label for case in reading.cases(store, ben, shared_condition.id) for near in near_of(case)
    )
    first = tray(store, ben, shared_condition)[0]
    labels.set_label(store, ben, first.id, shared_condition.classes[0].id)
    for case in reading.cases(store, ben, shared_condition.id):
        assert all(bool(near.label) == (near.scan_id == first.id) for near in near_of(case))
    assert [one.scan_id for one in versions.all(store, ben, shared_condition.id)[0].result.judged] == [
        first.id
    ]


def near_of(case: CaseInfo) -> tuple[Near, ...]:
    """The labelled scans that a case resembles."""
    assert case.reading is not None
    assert case.reading.near
    return case.reading.near


def test_disputed_scans_are_left_out_until_settled(
    store: Store, ada: Actor, ben: Actor, shared_condition: ConditionInfo, run_jobs: Run
) -> None:
    say(store, ada, shared_condition, "000000111111")
    say(store, ben, shared_condition, "10000?")
    found = conditions.get(store, ada, shared_condition.id)
    assert found.disputed == 1
    assert [one.scans for one in found.classes] == [5, 6], "unsure takes nothing away, a dispute does"
    adapting.start(store, ada, shared_condition.id)
    run_jobs()
    (version,) = versions.all(store, ada, shared_condition.id)
    first = tray(store, ada, shared_condition)[0]
    assert first.disputed
    assert first.id not in {one.scan_id for one in version.result.judged}
    with pytest.raises(NotAllowed):
        labels.settle(store, ben, first.id, shared_condition.classes[0].id)
    labels.settle(store, ada, first.id, shared_condition.classes[0].id)
    settled = conditions.get(store, ada, shared_condition.id)
    assert (settled.disputed, settled.classes[0].scans, settled.status) == (0, 6, "stale")
    assert labels.undo(store, ada, shared_condition.id) == first.id
    assert conditions.get(store, ada, shared_condition.id).disputed == 1
    labels.settle(store, ada, first.id, shared_condition.classes[0].id)
    labels.set_label(store, ben, first.id, shared_condition.classes[1].id)
    assert conditions.get(store, ada, shared_condition.id).disputed == 1, (
        "said otherwise again, it is open again"
    )
    second = tray(store, ada, shared_condition)[1]
    with pytest.raises(SupportError, match="disagree"):
        labels.settle(store, ada, second.id, shared_condition.classes[0].id)


def test_agreement_is_the_kappa_of_the_textbook(
    store: Store, ada: Actor, ben: Actor, shared_condition: ConditionInfo
) -> None:
    ours, theirs = "000000111111", "000001111110"
    say(store, ada, shared_condition, ours)
    say(store, ben, shared_condition, theirs)
    found = labels.agreement(store, ada, shared_condition.id)
    assert found.kappa is not None
    # Observed 10 of 12; each reader halves the scans, so chance agrees on 1/2: (10/12 - 1/2) / (1/2).
    assert found.kappa.value == pytest.approx(2 / 3)
    assert found.kappa.value == pytest.approx(cohen_kappa_score(list(ours), list(theirs)))
    assert found.kappa.low <= found.kappa.value <= found.kappa.high
    assert (found.readers, found.both, len(found.disputed), found.kappa.n) == (("Ada", "Ben"), 12, 2, 12)


def test_fleiss_kappa_is_that_of_its_paper() -> None:
    # Fleiss 1971, table 1: thirty subjects, six raters, five diagnoses; kappa 0.430.
    table = np.array(
        [
            [0, 0, 0, 6, 0], [0, 3, 0, 0, 3], [0, 1, 4, 0, 1], [0, 0, 0, 0, 6], [0, 3, 0, 3, 0],
            [2, 0, 4, 0, 0], [0, 0, 4, 0, 2], [2, 0, 3, 1, 0], [2, 0, 0, 4, 0], [0, 0, 0, 0, 6],
            [1, 0, 0, 5, 0], [1, 1, 0, 4, 0], [0, 3, 3, 0, 0], [1, 0, 0, 5, 0], [0, 2, 0, 3, 1],
            [0, 0, 5, 0, 1], [3, 0, 0, 1, 2], [5, 1, 0, 0, 0], [0, 2, 0, 4, 0], [1, 0, 2, 0, 3],
            [0, 0, 0, 0, 6], [0, 1, 0, 5, 0], [0, 2, 0, 1, 3], [2, 0, 0, 4, 0], [1, 0, 0, 4, 1],
            [0, 5, 0, 1, 0], [4, 0, 0, 0, 2], [0, 2, 0, 4, 0], [1, 0, 5, 0, 0], [0, 0, 0, 0, 6],
        ]
    )  # fmt: skip
    assert agreement.fleiss(table) == pytest.approx(0.430, abs=5e-4)
    two = np.array([[2, 0], [1, 1], [0, 2]])
    # Agreement 2/3, chance 1/2.
    assert agreement.fleiss(two) == pytest.approx(1 / 3)


def test_agreement_of_too_few_or_of_one_class_is_not_given() -> None:
    few = [(str(n), {"a": n % 2, "b": n % 2}) for n in range(agreement.ENOUGH - 1)]
    assert agreement.kappa_of(few, 2)[0] is None
    same = [(str(n), {"a": 0, "b": 0}) for n in range(agreement.ENOUGH)]
    assert agreement.kappa_of(same, 2)[0] is None
    perfect = [(str(n), {"a": n % 2, "b": n % 2, "c": n % 2}) for n in range(agreement.ENOUGH)]
    found, said = agreement.kappa_of(perfect, 2)
    assert found is not None
    assert found.value == pytest.approx(1.0)
    assert "Fleiss" in said


def test_two_people_see_nothing_of_each_other(
    store: Store, ada: Actor, ben: Actor, phantoms: Path, run_jobs: Run
) -> None:
    condition = lesions(store, ada)
    upload(store, ada, condition.id, class_files(phantoms, 1))
    run_jobs()
    scan = trays.scans(store, ada, condition.id)[0]
    admin = person(store, "root")
    for other in (ben, admin):
        assert conditions.mine(store, other) == ()
        for attempt in (
            lambda who: conditions.get(store, who, condition.id),
            lambda who: trays.scans(store, who, condition.id),
            lambda who: trays.preview(store, who, scan.id),
            lambda who: trays.slice_pixels(store, who, scan.id),
            lambda who: labels.set_label(store, who, scan.id, None, unsure=True),
            lambda who: labels.agreement(store, who, condition.id),
            lambda who: adapting.start(store, who, condition.id),
            lambda who: upload(store, who, condition.id, class_files(phantoms, 1)),
        ):
            with pytest.raises(NotFound):
                attempt(other)
    with pytest.raises(NotFound):
        labels.set_label(store, ada, scan.id, lesions(store, ada).classes[0].id)
    assert CLASSES[0] in {scan.hint for scan in trays.scans(store, ada, condition.id)}
