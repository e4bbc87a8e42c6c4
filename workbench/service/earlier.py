"""What extending a condition does to the population it began with, by the continual memory.

The labelled scans that came from the condition it extends are one population, those added since another;
`workbench.adaptation.retention` reads each before and after. Called by the adapt job.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from workbench.adaptation.memory import FIRST, remember
from workbench.adaptation.retention import retention_report
from workbench.data.examples import Example
from workbench.errors import SupportError
from workbench.evaluation.performance import said
from workbench.learners.files import LoadedLearner
from workbench.store.database import Store
from workbench.store.schema import ScanRow

ADDED = "added"


def earlier_population(
    store: Store,
    learner: LoadedLearner,
    parent_id: str | None,
    title: str,
    rows: Sequence[tuple[ScanRow, str]],
    examples: Sequence[Example],
) -> tuple[str, ...]:
    """Whether the earlier population is read as before, in a sentence or two; empty for no extension.

    Args:
        store: whose.
        learner: that adapts.
        parent_id: the condition that is extended, or None.
        title: of the condition.
        rows: labelled scans.
        examples: the same, read.
    """
    if parent_id is None:
        return ()
    with store.read() as session:
        query = select(ScanRow.identity).where(ScanRow.condition_id == parent_id)
        theirs = set(session.scalars(query).all())
    old = [one for (row, _), one in zip(rows, examples, strict=True) if row.identity in theirs]
    new = [one for (row, _), one in zip(rows, examples, strict=True) if row.identity not in theirs]
    if not old or not new:
        return ()
    try:
        before = remember(None, learner, title, old, FIRST)
        after = remember(before, learner, title, new, ADDED)
        report = retention_report(learner.learner, before, after)
    except SupportError as error:
        return (f"The earlier population was not compared: {error}",)
    found = next((one for one in report if one.population == FIRST), None)
    if found is None:
        return ()
    now = said(found.after.accuracy)
    if found.before is None:
        return (f"The earlier population, with the classes of now: accuracy {now}.",)
    was = said(found.before.accuracy)
    if found.is_identical:
        return (f"The earlier population is read exactly as before: accuracy {now}.",)
    return (f"The earlier population: accuracy {was} before the extension, {now} now.",)
