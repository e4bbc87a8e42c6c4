"""The evaluate screen: a locked cohort and its report, and everything that can be taken away."""

from __future__ import annotations

import gradio as gr
from gradio.blocks import Block

from ui.render import evaluation as render
from ui.render.markup import progress
from ui.render.scans import drop_zone
from ui.state import Action, At, Context
from ui.views.base import Updates, View, Wiring, html, screen
from workbench.errors import SupportError
from workbench.pacs.archive import Query, Selection
from workbench.service import artefacts, evaluating, exporting, imports, pacs, trays, versions, work
from workbench.service.exporting import Export
from workbench.service.kinds import Evaluation, ImportOptions, Level, Role, VersionInfo

_TOLD = "One folder for each class, called like it. Patients nobody adapted on."
_KINDS = ("import", "evaluate", "export", "results")


class EvaluateView(View):
    """See the module's description."""

    name = "evaluate"

    def __init__(self, context: Context) -> None:
        self._context = context
        with screen(self.name) as self.column:
            self.head = html("wb-evaluate-head")
            self.empty = html("wb-evaluate-empty")
            with gr.Row(elem_classes="wb-evaluate-grid"):
                with gr.Column(elem_classes="wb-evaluate-side", min_width=0):
                    self.drop = html("wb-evaluate-drop")
                    self.running = html("wb-evaluate-job")
                    self.cohorts = html("wb-evaluate-cohorts")
                    self.exports = html("wb-evaluate-exports")
                with gr.Column(elem_classes="wb-evaluate-main", min_width=0):
                    self.report = html("wb-evaluate-report")

    def components(self) -> list[Block]:
        """See `View`."""
        return [self.head, self.empty, self.drop, self.running, self.cohorts, self.exports, self.report]

    def show(self, at: At) -> Updates:
        """See `View`. The report is sent when it is another than the tab shows already."""
        condition, desk, store = at.opened, at.desk, self._context.store
        if not condition.version:
            desk.framed = None
            nothing: dict[Block, object] = dict.fromkeys(self.components(), "")
            return {**nothing, self.head: render.head(None), self.empty: render.nothing()}
        version = self._active(at)
        done = evaluating.evaluations(store, at.actor, condition.id)
        cohort = {scan.id for scan in trays.scans(store, at.actor, condition.id, "cohort")}
        batches = tuple(
            one
            for one in imports.batches(store, at.actor, condition.id)
            if one.job.over and cohort.intersection(one.scans)
        )
        may_edit = condition.level is not Level.READ
        jobs = "".join(progress(job, may_edit) for job in at.jobs if job.kind in _KINDS)
        shown: dict[Block, object] = {
            self.head: render.head(version),
            self.empty: "",
            self.drop: drop_zone(condition, "cohort", "Drop a locked cohort here", _TOLD, small=True),
            self.running: f'<div class="wb-job-slot">{jobs}</div>' if jobs else "",
            self.cohorts: render.cohorts(batches, done, desk.report, may_edit),
            self.exports: render.exports(condition, version, self._archives(at), may_edit) + self._made(at),
        }
        wanted = _report(done, desk.report)
        if wanted != desk.framed:
            shown[self.report] = render.report(self._content(at, wanted) if wanted else None)
            desk.framed = wanted
        return shown

    def wire(self, on: Wiring) -> None:
        """See `View`."""
        for part in self.components():
            assert isinstance(part, gr.HTML)
            on.on(part, self._do)

    def _active(self, at: At) -> VersionInfo | None:
        held = versions.all(self._context.store, at.actor, at.opened.id)
        return next((one for one in held if one.active), None)

    def _archives(self, at: At) -> tuple[str, ...]:
        """Names of the archives that results can be sent to."""
        if at.actor.role is Role.READER:
            return ()
        return tuple(one.name for one in pacs.archives(at.actor))

    def _send(self, at: At, archive: str, accession: str) -> None:
        """Send the readings of the cases of a study beside it."""
        store = self._context.store
        found = pacs.studies(store, at.actor, archive, Query(accession=accession))
        if not found:
            raise SupportError("The archive has no study of that accession number. Check it.")
        pacs.send_results(store, at.actor, at.opened.id, archive, [Selection(one.uid) for one in found])

    def _made(self, at: At) -> str:
        """Files that were made, and how a bundle is checked."""
        store = self._context.store
        held = artefacts.of_condition(store, at.actor, at.opened.id)
        bundle = next((one for one in held if one.kind == "bundle"), None)
        told = render.bundle(bundle.name, exporting.site_fingerprint(store)) if bundle is not None else ""
        return told + render.artefacts(held)

    def _content(self, at: At, artefact_id: str) -> str:
        _, path = artefacts.taken(self._context.store, at.actor, artefact_id)
        return path.read_text(encoding="utf-8")

    def _do(self, at: At, action: Action) -> Updates | None:
        store, desk, condition = self._context.store, at.desk, at.opened
        match action.name:
            case "uploaded":
                imports.commit(store, at.actor, action.value, ImportOptions())
            case "evaluate":
                desk.report = ""
                evaluating.start(store, at.actor, condition.id, action.value)
            case "report":
                desk.report = action.value
            case "export" if action.value in tuple(Export):
                exporting.start(store, at.actor, condition.id, Export(action.value))
            case "results":
                self._send(at, action.text("archive"), action.text("accession"))
            case "cancel":
                work.cancel(store, at.actor, action.value)
            case "screen":
                desk.go(action.value)
            case _:
                pass
        return None


def _report(done: tuple[Evaluation, ...], wanted: str) -> str:
    """Identifier of the report to be shown: the one asked for, else the newest; empty for none."""
    pages = [one.id for held in done for one in held.artefacts if one.media_type == "text/html"]
    return wanted if wanted in pages else next(iter(pages), "")
