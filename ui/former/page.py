"""The page: the four screens in their frame, and what happens when something is pressed.

Handlers find their session by the cookie of the request, change it through `ui.work`, and answer with what
the screens then show. Nothing of a session is kept in the page itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import gradio as gr
from gradio.blocks import Block

from ui.former import work
from ui.former.progress import Done, Report, watch
from ui.former.render import chrome, tray
from ui.former.render.markup import notice
from ui.former.server import read_cookie
from ui.former.session import MAX_CLASSES, MIN_CLASSES, Session, Sessions
from ui.former.views.adapt import AdaptView
from ui.former.views.base import Updates, View, html, text
from ui.former.views.condition import ConditionView
from ui.former.views.read import AS_STORED, CUSTOM, ReadView, presets
from ui.former.views.scans import ScansView
from ui.former.work import Engine
from workbench.errors import WorkbenchError
from workbench.imaging.display import WINDOW_PRESETS

_SLOW_AT_ONCE = 2
_ENDED = "The session has ended. Reload the page to begin again."

# Gradio's events are untyped: what a component hands to its handler is known only to who wires the two.
Listen = Callable[..., object]
Handler = Callable[..., Updates]
SlowHandler = Callable[..., Iterator[Updates]]


class Page:
    """Builds the Gradio application.

    Args:
        engine: adapts and reads.
        sessions: of all browsers.
        cookie: name of the cookie that holds a session's id.
    """

    def __init__(self, engine: Engine, sessions: Sessions, cookie: str) -> None:
        self._engine = engine
        self._sessions = sessions
        self._cookie = cookie
        with gr.Blocks(
            title="Few-shot diagnosis workbench", analytics_enabled=False, delete_cache=(3600, 3600)
        ) as self.blocks:
            text("wb-banner", chrome.banner())
            self.header = text("wb-top")
            self.steps = html("wb-nav")
            self.notice = text("wb-said")
            self.condition, self.scans = ConditionView(), ScansView()
            self.adapt, self.read = AdaptView(engine), ReadView()
            text(value=chrome.keys())
            self.views: tuple[View, ...] = (self.condition, self.scans, self.adapt, self.read)
            self._wire()
        self.blocks.queue(default_concurrency_limit=8, max_size=64)

    @property
    def _outputs(self) -> list[Block]:
        parts: list[Block] = [self.header, self.steps, self.notice]
        for view in self.views:
            parts += [view.column, *view.components()]
        return parts

    def show(self, session: Session) -> Updates:
        """Everything on the screen the session is at."""
        frame: dict[Block, object] = {
            self.header: chrome.header(session),
            self.steps: chrome.steps(session),
            self.notice: notice("warning", session.notice),
        }
        columns: dict[Block, object] = {
            view.column: gr.Column(visible=i == session.step) for i, view in enumerate(self.views)
        }
        return {**frame, **columns, **self.views[session.step].show(session)}

    def _session(self, request: gr.Request) -> Session | None:
        return self._sessions.find(read_cookie(request.headers.get("cookie", ""), self._cookie))

    def _on(self, listen: Listen, handler: Handler, inputs: Sequence[Block] = (), last: bool = False) -> None:
        """Listen to an event; errors become a line on the screen.

        Args:
            listen: the component's event.
            handler: gets the session, then the inputs' values.
            inputs: whose values it gets.
            last: with a slider the last position counts, not every one on the way.
        """

        def handle(request: gr.Request, *given: object) -> Updates:
            session = self._session(request)
            if session is None:
                return {self.notice: notice("warning", _ENDED)}
            session.notice = ""
            try:
                return handler(session, *given)
            except WorkbenchError as error:
                session.notice = str(error)
                return {self.notice: notice("warning", str(error))}

        mode = "always_last" if last else "multiple"
        listen(
            handle,
            list(inputs),
            self._outputs,
            show_progress="hidden",
            api_visibility="private",
            trigger_mode=mode,
        )

    def _on_html(self, component: gr.HTML, handler: Callable[[Session, str, str], Updates]) -> None:
        """Listen to the buttons inside an HTML component; the handler gets action and value."""

        def handle(event: gr.EventData, request: gr.Request) -> Updates:
            session = self._session(request)
            if session is None:
                return {self.notice: notice("warning", _ENDED)}
            return handler(session, str(event._data.get("action", "")), str(event._data.get("value", "")))

        component.click(
            handle,
            None,
            self._outputs,
            show_progress="hidden",
            api_visibility="private",
            trigger_mode="multiple",
        )

    def _on_slow(
        self, listen: Listen, handler: SlowHandler, inputs: Sequence[Block] = (), files: bool = False
    ) -> None:
        """Listen to an event whose handler yields what the screen shows on the way; see `_on`.

        Args:
            listen, handler, inputs: see `_on`.
            files: hand over what the page says about its uploads as it stands, unchecked by Gradio; the
                session knows which of them are its own.
        """

        def handle(request: gr.Request, *given: object) -> Iterator[Updates]:
            session = self._session(request)
            if session is None:
                yield {self.notice: notice("warning", _ENDED)}
                return
            session.notice = ""
            try:
                yield from handler(session, *given)
            except WorkbenchError as error:
                session.notice = str(error)
                yield self.show(session)

        listen(
            handle,
            list(inputs),
            self._outputs,
            show_progress="hidden",
            api_visibility="private",
            preprocess=not files,
            concurrency_limit=_SLOW_AT_ONCE,
        )

    def _wire(self) -> None:
        condition, scans, adapt, read = self.condition, self.scans, self.adapt, self.read
        self._on(self.blocks.load, self.show)
        self._on_html(self.steps, self._go)

        named = [condition.title, *condition.names]
        for listen in (condition.forward.click, condition.title.submit, *(b.submit for b in condition.names)):
            self._on(listen, self._name, named)
        self._on(condition.more.click, partial(self._resize, 1), named)
        self._on(condition.fewer.click, partial(self._resize, -1), named)
        self._on_slow(condition.demo.click, self._demo)
        self._on(condition.reset.click, self._reset)

        for index in range(MAX_CLASSES):
            drop = scans.drops[index]
            inputs = [drop, *scans.regions[index]]
            self._on_slow(drop.upload, partial(self._label, index), inputs, files=True)
            self._on_html(scans.heads[index], self._edit_tray)
            self._on_html(scans.trays[index], self._edit_tray)
        self._on(scans.forward.click, partial(self._step, 2))

        self._on_slow(adapt.adapt.click, self._adapt, [adapt.method])
        self._on(adapt.forward.click, partial(self._step, 3))

        self._on_slow(read.drop.upload, self._read, [read.drop, *read.region], files=True)
        self._on_slow(read.offer.click, self._read_offered)
        self._on_html(read.worklist, self._select)
        self._on_html(read.reading, self._compare)
        self._on(read.slice.input, self._slice, [read.slice], last=True)
        self._on(read.preset.input, self._preset, [read.preset], last=True)
        for slider in (read.centre, read.width):
            self._on(slider.input, self._window, [read.centre, read.width], last=True)

    def _go(self, session: Session, action: str, value: str) -> Updates:
        return self._step(int(value), session) if value.isdecimal() else self.show(session)

    def _step(self, number: int, session: Session) -> Updates:
        session.notice = ""
        session.step = min(number, chrome.reachable(session), len(self.views) - 1)
        return self.show(session)

    def _name(self, session: Session, title: str, *names: str) -> Updates:
        count = len(session.trays)
        if not title.strip():
            return {self.condition.said: notice("warning", "Name the condition.")}
        try:
            work.describe_condition(session, title, names[:count])
        except WorkbenchError as error:
            return {self.condition.said: notice("warning", str(error))}
        return self._step(1, session)

    def _resize(self, change: int, session: Session, title: str, *names: str) -> Updates:
        count = min(max(len(session.trays) + change, MIN_CLASSES), MAX_CLASSES)
        work.resize(session, count)
        boxes: dict[Block, object] = {
            box: gr.Textbox(visible=i < count) for i, box in enumerate(self.condition.names)
        }
        return {
            **boxes,
            **self.condition.counts(count),
            self.condition.said: "",
            self.steps: chrome.steps(session),
        }

    def _reset(self, session: Session) -> Updates:
        with session.lock:
            session.clear()
        return self.show(session)

    def _demo(self, session: Session) -> Iterator[Updates]:
        said = self.condition.demo_said
        for event in watch(partial(work.load_demo, session, self._engine)):
            if not isinstance(event, Done):
                yield {
                    said: tray.reading(event.done, event.total),
                    self.condition.demo: gr.Button(interactive=False),
                }
        session.step = 2
        yield {**self.show(session), self.condition.demo: gr.Button(interactive=True), said: ""}

    def _label(
        self, index: int, session: Session, files: object, slices: str | None, box: str | None
    ) -> Iterator[Updates]:
        yield {self.scans.drops[index]: None, self.notice: ""}
        own = work.take_uploads(session, _paths(files))
        task = partial(
            work.label_files, session, self._engine, index, own, region=work.region(own, slices, box)
        )
        for event in watch(task):
            if not isinstance(event, Done):
                shown = tray.reading(event.done, event.total) + tray.body(session.trays[index])
                yield {self.scans.trays[index]: shown}
        yield {
            **self.scans.tray(session, index),
            **self.scans.footer(session),
            self.steps: chrome.steps(session),
        }

    def _edit_tray(self, session: Session, action: str, value: str) -> Updates:
        if action == "remove":
            work.remove_scan(session, value)
        elif action == "clear" and value.isdecimal():
            work.clear_tray(session, int(value))
        return self.show(session)

    def _adapt(self, session: Session, method: str) -> Iterator[Updates]:
        view = self.adapt
        for event in watch(partial(work.adapt, session, self._engine, method)):
            if not isinstance(event, Done):
                said = _adapting(event.done, event.total)
                yield {view.said: said, view.adapt: gr.Button(interactive=False)}
        yield self.show(session)

    def _read(
        self, session: Session, files: object, slices: str | None, box: str | None
    ) -> Iterator[Updates]:
        yield {self.read.drop: None}
        own = work.take_uploads(session, _paths(files))
        task = partial(work.read_new, session, own, region=work.region(own, slices, box))
        yield from self._reading(session, task)

    def _read_offered(self, session: Session) -> Iterator[Updates]:
        yield {self.read.offer: gr.Button(visible=False)}
        yield from self._reading(session, partial(work.read_offered, session))

    def _reading(self, session: Session, task: Callable[[Report], None]) -> Iterator[Updates]:
        for event in watch(task):
            if not isinstance(event, Done):
                yield {self.read.said: tray.reading(event.done, event.total)}
        yield self.show(session)

    def _select(self, session: Session, action: str, value: str) -> Updates:
        if action == "select" and value.isdecimal():
            session.selected = min(int(value), max(len(session.cases) - 1, 0))
        return self.show(session)

    def _compare(self, session: Session, action: str, value: str) -> Updates:
        case = session.case
        if action == "compare" and case is not None:
            wanted = int(value) if value.isdecimal() else None
            work.look(session, lambda c: replace(c, compared=None if wanted == c.compared else wanted))
        if action == "evidence":
            work.explain(session)
        return {**self.read.image(session), self.read.reading: self.read.show(session)[self.read.reading]}

    def _slice(self, session: Session, number: float) -> Updates:
        work.look(session, lambda c: replace(c, slice_index=int(number) - 1))
        return self.read.image(session)

    def _preset(self, session: Session, name: str) -> Updates:
        # The choice may have been made for the case before: its presets are not this one's.
        if session.case is None or name == CUSTOM or name not in presets(session.case):
            return self.read.image(session)
        window = None if name == AS_STORED else WINDOW_PRESETS[name]
        work.look(session, lambda c: replace(c, window=window))
        return {**self.read.image(session), **self.read.window(session.case)}

    def _window(self, session: Session, centre: float, width: float) -> Updates:
        window = (float(centre), max(float(width), 1e-6))
        work.look(session, lambda c: replace(c, window=window))
        return {**self.read.image(session), self.read.preset: CUSTOM}


def _adapting(done: int, total: int) -> str:
    """While the estimate is being made."""
    said = f"Leaving out patient {done} of {total}" if total else "Adapting"
    share = f"{100 * done / total:.0f}" if total else "0"
    return (
        f'<div class="wb-progress" role="status"><span>{said}</span>'
        f'<progress max="100" value="{share}" aria-label="{said}"></progress></div>'
    )


def _paths(files: object) -> list[str]:
    """Paths in what the page says it uploaded."""
    listed = files if isinstance(files, list) else [files] if files else []
    return [str(one["path"]) for one in listed if isinstance(one, dict) and "path" in one]
