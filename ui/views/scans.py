"""The scans screen: drop files, see what becomes of their identifiers, see each scan's traffic light."""

from __future__ import annotations

import re
from dataclasses import replace

from gradio.blocks import Block

from ui.render import archive
from ui.render import scans as render
from ui.state import Action, At, Context, Found, Staged
from ui.views.base import Updates, View, Wiring, html, screen
from workbench.errors import PacsError, SupportError
from workbench.pacs.archive import Query, Selection
from workbench.service import conditions, imports, labels, pacs, trays, work
from workbench.service.kinds import ImportOptions, Level, Role, ScanInfo

_WITHOUT = re.compile(r"(^|[\s_-])(no|non|not|without|normal|healthy|negative|control)", re.IGNORECASE)
"""Names of classes that are rarely what somebody looks for: they come after the others."""


class ScansView(View):
    """See the module's description."""

    name = "scans"

    def __init__(self, context: Context) -> None:
        self._context = context
        with screen(self.name) as self.column:
            self.head = html("wb-scans-head")
            self.drop = html("wb-scans-drop")
            self.archive = html("wb-scans-archive")
            self.staged = html("wb-scans-staged")
            self.body = html("wb-scans-body")

    def components(self) -> list[Block]:
        """See `View`."""
        return [self.head, self.drop, self.archive, self.staged, self.body]

    def show(self, at: At) -> Updates:
        """See `View`."""
        store, condition, desk = self._context.store, at.opened, at.desk
        scans = trays.scans(store, at.actor, condition.id)
        batches = [
            batch
            for batch in imports.batches(store, at.actor, condition.id)
            if _is_support(batch.scans, scans)
        ]
        return {
            self.head: render.head(condition),
            self.drop: render.drop_zone(condition, "support", "Drop scans, folders or a zip here"),
            self.archive: archive.panel(self._archives(at), desk.found),
            self.staged: render.staged(desk.staged) if desk.staged is not None else "",
            self.body: render.body(condition, scans, batches, at.jobs, desk.lights),
        }

    def wire(self, on: Wiring) -> None:
        """See `View`."""
        for part in (self.head, self.drop, self.archive, self.staged, self.body):
            on.on(part, self._pressed)

    def _pressed(self, at: At, action: Action) -> None:
        store, desk, condition = self._context.store, at.desk, at.opened
        if action.name == "on":
            desk.go("label")
        elif action.name == "uploaded":
            lines = imports.look(store, at.actor, action.value)
            desk.staged = Staged(action.value, lines, self._folders(at, action.value))
        elif action.name == "abandon":
            desk.staged = None
            imports.abandon(store, at.actor, action.value)
            desk.say("Nothing was stored.", "info")
        elif action.name == "store":
            options = _options(action)
            if action.ticked("adopt") and desk.staged is not None:
                draft = replace(condition.draft, classes=desk.staged.folders, prevalence=None)
                conditions.edit(store, at.actor, condition.id, draft, condition.revision)
            imports.commit(store, at.actor, action.value, options)
            desk.staged = None
        elif action.name == "hints":
            count = labels.accept_hints(store, at.actor, condition.id)
            desk.tray = "all"
            desk.go("label")
            desk.say(f"{count} labelled as their folders say. Look them over; a key changes one.")
        elif action.name == "light":
            desk.lights = action.value
        elif action.name == "remove":
            trays.remove(store, at.actor, [action.value])
            desk.say("Taken out of the condition.")
        elif action.name == "query":
            name = action.text("archive")
            desk.found = Found(name, pacs.studies(store, at.actor, name, _query(action)))
        elif action.name == "retrieve":
            self._retrieve(at, action)
        elif action.name == "dismiss":
            imports.dismiss(store, at.actor, action.value)
        elif action.name == "cancel":
            work.cancel(store, at.actor, action.value)

    def _archives(self, at: At) -> tuple[pacs.ArchiveInfo, ...]:
        """Archives that are set up, for whoever may bring scans in."""
        if at.actor.role is Role.READER or at.opened.level is Level.READ:
            return ()
        try:
            return pacs.archives(at.actor)
        except PacsError as error:
            at.desk.say(str(error), "warning")
            return ()

    def _retrieve(self, at: At, action: Action) -> None:
        found = at.desk.found
        ticked = [int(one) for one in action.texts("study") if one.isdecimal()]
        if found is None or not ticked:
            raise SupportError("Tick the studies to bring in.")
        chosen = [Selection(found.studies[n].uid) for n in ticked if n < len(found.studies)]
        pacs.retrieve(self._context.store, at.actor, at.opened.id, found.archive, chosen, "support")
        at.desk.found = None
        at.desk.say("They are being fetched, and read as they come.", "info")

    def _folders(self, at: At, job_id: str) -> tuple[str, ...]:
        """Folders after which the classes may be named, while no scan is labelled."""
        condition = at.opened
        if any(one.scans for one in condition.classes):
            return ()
        names = [name for name, _ in imports.class_folders(self._context.store, at.actor, job_id)]
        if {name.casefold() for name in names} == {name.casefold() for name in condition.draft.classes}:
            return ()
        return tuple(sorted(names, key=lambda name: bool(_WITHOUT.search(name))))


def _is_support(stored: tuple[str, ...], scans: tuple[ScanInfo, ...]) -> bool:
    """Whether an import was one of scans to be labelled: cases have their own screen."""
    held = {scan.id for scan in scans}
    return not stored or any(scan in held for scan in stored)


def _query(action: Action) -> Query:
    return Query(
        patient=action.text("patient"),
        accession=action.text("accession"),
        since=action.text("since").replace("-", ""),
        until=action.text("until").replace("-", ""),
        modality=action.text("modality").upper(),
        description=action.text("description"),
    )


def _options(action: Action) -> ImportOptions:
    volume = action.text("volume")
    if volume and not volume.isdecimal():
        raise SupportError("The volume is a whole number from 0. Leave it empty for the first.")
    return ImportOptions(
        slices=action.text("slices"),
        box=action.text("box"),
        remedies=action.texts("remedy"),
        volume=int(volume) if volume else None,
        no_preamble=action.ticked("no_preamble"),
        hints=action.ticked("hints"),
    )
