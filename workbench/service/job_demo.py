"""The demo job: fills a condition with labelled scans and new cases, ready to adapt.

The scans go the same way as anybody's files; what each new case truly is, its folder says, and the page shows
beside its reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select

from workbench.errors import NotFound
from workbench.service.adding import add_rows
from workbench.service.engine import Engine
from workbench.service.hints import Hints
from workbench.service.imports import ImportGiven
from workbench.service.job_import import take_files
from workbench.service.kinds import ImportOptions
from workbench.service.spools import SpooledFile, remove
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.schema import Condition, ConditionClass, Label, ScanRow


def run(engine: Engine, store: Store, claim: jobs.Claim) -> None:
    """Fill the condition of the job.

    Raises:
        NotFound: it is gone.
        WorkbenchError: its scans could not be read.
    """
    # Imported here: it brings what downloads datasets, which no other job needs.
    from workbench.demo import prepare_demo

    claim.report(0, 0, "Laying out the demonstration")
    demo = prepare_demo(store.spool(claim.id) / "demo", record=engine.record)
    hints = Hints(demo.classes)
    support = [path for name in demo.classes for path in sorted((demo.support / name).iterdir())]
    labelled = take_files(engine, store, claim, _given("support", support), _files(support), hints, "")
    cases = take_files(engine, store, claim, _given("case", demo.cases), _files(demo.cases), hints, "")
    with store.session() as session:
        condition = session.get(Condition, claim.condition_id)
        if condition is None:
            raise NotFound("The condition is gone. Start the demonstration again.")
        condition.title, condition.population = demo.title, demo.note
        condition.classes = [ConditionClass(name=name, position=k) for k, name in enumerate(demo.classes)]
        session.flush()
        by_name = {one.name: one.id for one in condition.classes}
        stored, _ = add_rows(session, condition.id, "support", labelled.made)
        add_rows(session, condition.id, "case", cases.made)
        for row in session.scalars(select(ScanRow).where(ScanRow.id.in_(stored)).order_by(ScanRow.number)):
            session.add(
                Label(
                    scan_id=row.id,
                    user_id=claim.user_id,
                    reader="Demonstration",
                    class_id=by_name[row.hint],
                )
            )
        detail = {"scans": len(stored), "cases": len(cases.made)}
        audit.record(session, claim.user_id, "condition.demo", "condition", condition.id, detail)
        jobs.finish(session, claim, {"scans": len(stored), "cases": len(cases.made)})
    remove(store, claim.id)


def _given(role: str, files: Sequence[Path]) -> ImportGiven:
    return ImportGiven(role, ImportOptions(), len(files))


def _files(paths: Sequence[Path]) -> list[SpooledFile]:
    return [SpooledFile(path, f"{path.parent.name}/{path.name}") for path in paths]
