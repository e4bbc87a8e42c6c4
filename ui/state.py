"""What one tab of a browser looks at. All of value is in the store; this may be forgotten at any time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from workbench.pacs.archive import StudyMatch
from workbench.service.kinds import Actor, ConditionInfo, Draft, JobInfo
from workbench.store.database import Store

SCREENS = ("worklist", "define", "scans", "label", "adapt", "read", "evaluate", "admin")
_MOST_DESKS = 1024


@dataclass(frozen=True, slots=True)
class Context:
    """What every screen is given when the page is built.

    Attributes:
        store: conditions, scans, labels, jobs.
        login: whether people sign in; without it the one person of this machine is everybody.
        method: name of the method that adapts by default; empty for the weights' own.
    """

    store: Store
    login: bool = False
    method: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """A line over the screen, said once: `state` is ``ok``, ``info``, ``warning`` or ``refused``."""

    state: str
    text: str


@dataclass(frozen=True, slots=True)
class Staged:
    """An import whose files are there and that is not committed yet.

    Attributes:
        job_id: of it.
        lines: what was found of identifiers in the files.
        folders: of the files, after which the classes may be named, the finding looked for first; or none.
    """

    job_id: str
    lines: tuple[str, ...]
    folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """Studies that an archive found, for the asker's own screen; in memory only."""

    archive: str
    studies: tuple[StudyMatch, ...] = field(repr=False)


@dataclass(slots=True)
class Desk:
    """What one tab looks at.

    Attributes:
        screen: one of `SCREENS`.
        condition_id: that is open, or None.
        notice: said at the next answer, then gone.
        painted: the screen the tab shows now; empty before the first answer.
        last: identifier of the condition that was open before, and `last_screen` where; for the worklist.
        archived: whether the worklist shows what was put away.
        draft: of the define screen, while it has unsaved changes of classes; None otherwise.
        revision: of the condition that the draft was begun from; see `workbench.errors.StaleEdit`.
        stale: whether somebody else saved meanwhile.
        extending: identifier of the condition that the draft extends, or None.
        staged: files that wait for consent, or None.
        found: what was last found in an archive, or None.
        lights: which scans the scans screen lists: ``all``, ``warning`` or ``error``.
        tray: which scans the label screen lists: ``todo``, ``all``, ``unsure``, ``disputed`` or ``doubtful``.
        undone: scan that the label screen goes to (its label was taken back, or it is to be looked at), and
            how often that was: ``id:count``; or empty.
        case: scan identifier of the case being read, or None.
        beside: scan identifier shown beside it, or None.
        overlaid: whether the evidence is laid over the case.
        own_first: whether the reader gives an opinion before the reveal.
        version: identifier of the version looked at, None for the active one.
        against: identifier of the version it is compared with, or None.
        report: identifier of the evaluation report looked at, empty for the newest.
        framed: identifier of the report that the tab shows now, or None before the first.
    """

    screen: str = "worklist"
    condition_id: str | None = None
    notice: Notice | None = None
    painted: str = ""
    last: str | None = None
    last_screen: str = ""
    archived: bool = False
    draft: Draft | None = None
    revision: int = 0
    stale: bool = False
    extending: str | None = None
    staged: Staged | None = None
    found: Found | None = None
    lights: str = "all"
    tray: str = "all"
    undone: str = ""
    case: str | None = None
    beside: str | None = None
    overlaid: bool = False
    own_first: bool = False
    version: str | None = None
    against: str | None = None
    report: str = ""
    framed: str | None = None

    def say(self, text: str, state: str = "ok") -> None:
        """Leave a line for the next answer."""
        self.notice = Notice(state, text)

    def leave(self) -> None:
        """Back to the worklist; what was open is remembered."""
        if self.condition_id is not None:
            self.last, self.last_screen = self.condition_id, self.screen
        self.condition_id = None
        self.drop_draft()
        self.screen = "worklist"

    def drop_draft(self) -> None:
        """Forget unsaved changes of a condition."""
        self.draft = self.extending = None
        self.revision, self.stale = 0, False

    def begin(self, draft: Draft | None = None, extending: str | None = None) -> None:
        """Define a new condition."""
        self.condition_id, self.screen = None, "define"
        self.draft, self.extending = draft or Draft(""), extending

    def go(self, screen: str, condition_id: str | None = None) -> None:
        """Open a screen, of another condition where one is named."""
        if condition_id is not None and condition_id != self.condition_id:
            self.condition_id = condition_id
            self.drop_draft()
            self.case = self.beside = None
            self.version = self.against = None
            self.overlaid = self.own_first = False
            self.staged = self.found = None
            self.lights, self.tray, self.undone = "all", "all", ""
        self.screen = screen

    def look(self, scan_id: str) -> None:
        """The label screen, at this scan."""
        self.go("label")
        self.tray, self.undone = "all", f"{scan_id}:{int(self.undone.partition(':')[2] or 0) + 1}"

    def open_case(self, scan_id: str | None) -> None:
        """Another case is looked at: alone, and without the evidence over it."""
        self.case, self.beside, self.overlaid = scan_id, None, False


@dataclass(frozen=True, slots=True)
class At:
    """Who looks at what, for one request.

    Attributes:
        actor: who asks.
        condition: that is open, as it stands now, or None.
        screen: one of `SCREENS`.
        desk: of the tab.
        jobs: of the open condition that are not over, newest first.
    """

    actor: Actor
    condition: ConditionInfo | None
    screen: str
    desk: Desk
    jobs: tuple[JobInfo, ...] = ()

    @property
    def opened(self) -> ConditionInfo:
        """The open condition, for screens that exist only with one."""
        if self.condition is None:
            raise LookupError("no condition is open")
        return self.condition

    def job(self, kind: str) -> JobInfo | None:
        """The newest unfinished job of a kind, or None."""
        return next((job for job in self.jobs if job.kind == kind), None)


@dataclass(frozen=True, slots=True)
class Action:
    """Something pressed inside an HTML component.

    Attributes:
        name: its ``data-action``.
        value: its ``data-value``.
        fields: what the form around it holds, by field name; unchecked boxes are not in it.
    """

    name: str
    value: str = ""
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A field's value without blanks around it, empty where there is none."""
        held = self.fields.get(name, ())
        return held[0].strip() if held else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """All values of a field that occurs more than once, in order."""
        return tuple(one.strip() for one in self.fields.get(name, ()))

    def ticked(self, name: str) -> bool:
        """Whether a box is ticked."""
        return name in self.fields


class Desks:
    """The desks of all tabs; the one untouched for longest makes room."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, str], Desk] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, actor: Actor, tab: str) -> Desk:
        """The desk of a person's tab, new where there is none."""
        with self._lock:
            desk = self._held.setdefault((actor.user_id, tab), Desk())
            self._held.move_to_end((actor.user_id, tab))
            while len(self._held) > _MOST_DESKS:
                self._held.popitem(last=False)
            return desk
