"""Where text from files and people becomes HTML, and the small parts every screen is made of."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from html import escape as _escape

from ui.theme import ASSETS
from workbench.imaging.scan import Finding, Severity
from workbench.service.kinds import ClassInfo, JobInfo, Refusal

_SIGNS = {
    "ok": '<path d="M3.5 8.5l3 3 6-7"/>',
    "info": '<path d="M8 7.2v4.3M8 4.4v.3"/>',
    "warning": '<path d="M8 4v5M8 11.8v.3"/>',
    "refused": '<path d="M4.5 4.5l7 7M11.5 4.5l-7 7"/>',
}
_SPOKEN = {"ok": "Fine", "info": "Note", "warning": "Warning", "refused": "Refused"}
_STATES = {Severity.ERROR: "refused", Severity.WARNING: "warning", Severity.INFO: "info"}
_WORST_FIRST = tuple(_STATES)
_UNITS = ((3600.0, 60.0, "minute"), (86400.0, 3600.0, "hour"), (7 * 86400.0, 86400.0, "day"))
_DRAWN = re.findall(
    r'<g id="(\w+)">(.*?)</g>', (ASSETS / "symbols.svg").read_text(encoding="utf-8"), re.DOTALL
)
_SYMBOLS: dict[str, str] = {str(name): str(drawing) for name, drawing in _DRAWN}


def esc(text: object) -> str:
    """Text made safe inside HTML, in content and in quoted attributes."""
    return _escape(str(text), quote=True)


def icon(state: str) -> str:
    """A small sign whose shape, colour and spoken name all tell the state.

    Args:
        state: ``ok``, ``info``, ``warning`` or ``refused``.
    """
    return (
        f'<span class="wb-sign wb-{state}" role="img" aria-label="{_SPOKEN[state]}">'
        f'<svg viewBox="0 0 16 16" aria-hidden="true">{_SIGNS[state]}</svg></span>'
    )


def symbol(name: str) -> str:
    """A line drawing beside a label; says nothing to a screen reader."""
    return f'<svg class="wb-symbol" viewBox="0 0 24 24" aria-hidden="true">{_SYMBOLS[name]}</svg>'


def button(
    label: str,
    action: str,
    value: object = "",
    kind: str = "quiet",
    spoken: str = "",
    confirm: str = "",
    disabled: bool = False,
) -> str:
    """A button inside an HTML component; the screen's `wire` listens for its action.

    Args:
        label: HTML shown.
        action: what to do.
        value: to what.
        kind: ``main`` (one a screen), ``quiet``, ``bare``, ``sign`` (a symbol alone) or ``danger``.
        spoken: name for screen readers where the label is only a symbol.
        confirm: question to be answered before it is done.
        disabled: cannot be pressed now.
    """
    named = f' aria-label="{esc(spoken)}" title="{esc(spoken)}"' if spoken else ""
    asked = f' data-confirm="{esc(confirm)}"' if confirm else ""
    shut = " disabled" if disabled else ""
    return (
        f'<button type="button" class="wb-button wb-{kind}" data-action="{esc(action)}" '
        f'data-value="{esc(value)}"{named}{asked}{shut}>{label}</button>'
    )


def notice(state: str, text: str) -> str:
    """A line that says something about what stands around it, or nothing."""
    if not text:
        return ""
    role = "alert" if state in ("warning", "refused") else "status"
    return f'<div class="wb-notice wb-{state}" role="{role}">{icon(state)}<span>{esc(text)}</span></div>'


def findings(items: Iterable[Finding]) -> str:
    """Findings of a scan as list items, worst first: what a person should know, and the fix."""
    return "".join(
        f"<li>{icon(_STATES[item.severity])}<span>{esc(item.message)}{_fix(item.fix)}</span></li>"
        for item in worst_first(items)
    )


def worst_first(items: Iterable[Finding]) -> list[Finding]:
    """Findings, worst first."""
    return sorted(items, key=lambda item: _WORST_FIRST.index(item.severity))


def refusals(items: Iterable[Refusal]) -> str:
    """Files that could not be read as list items: name, reason and fix."""
    return "".join(
        f'<li>{icon("refused")}<span><b title="{esc(item.name)}">{esc(short(item.name))}</b> '
        f"{esc(item.reason)}{_fix(item.fix)}</span></li>"
        for item in items
    )


def short(name: str, most: int = 40) -> str:
    """A name that fits a line; the middle of a long one is left out."""
    return name if len(name) <= most else f"{name[: most // 2 - 2]}…{name[-most // 2 :]}"


def plural(count: int, noun: str) -> str:
    """``1 scan``, ``2 scans``."""
    ending = "" if count == 1 else ("es" if noun.endswith("ss") else "s")
    return f"{count} {noun}{ending}"


def ago(then: float, now: float | None = None) -> str:
    """How long ago, as people say it."""
    seconds = max((time.time() if now is None else now) - then, 0.0)
    for most, unit, name in (
        (3600.0, 60.0, "minute"),
        (86400.0, 3600.0, "hour"),
        (7 * 86400.0, 86400.0, "day"),
    ):
        if seconds < most:
            return "just now" if seconds < 60 else f"{plural(int(seconds // unit), name)} ago"
    return time.strftime("%d %b %Y", time.localtime(then)).lstrip("0")


def progress(job: JobInfo, cancel: bool = True) -> str:
    """What a job is doing, how far it is, and a way to stop it; nothing once it is over."""
    if job.over:
        return ""
    said = job.said or ("Waiting for its turn" if job.state == "queued" else "Working")
    known = f' value="{job.done}" max="{job.total}"' if job.total else ""
    count = f"{job.done} of {job.total}" if job.total else ""
    stop = button("Cancel", "cancel", job.id, "bare", f"Cancel: {said}") if cancel else ""
    return (
        f'<div class="wb-progress"><span class="wb-progress-said" role="status">{esc(said)}</span>'
        f'<span class="wb-progress-count">{count}</span>{stop}'
        f'<progress{known} aria-label="{esc(said)}"></progress></div>'
    )


def swatch(index: int) -> str:
    """The colour of a class, by its place."""
    return f'<i class="wb-swatch wb-class-{index}" aria-hidden="true"></i>'


def shares(classes: Iterable[ClassInfo]) -> str:
    """How many patients of each class are labelled, as a bar and in figures."""
    listed = tuple(classes)
    total = sum(one.patients for one in listed)
    said = ", ".join(f"{one.name}: {plural(one.patients, 'patient')}" for one in listed)
    parts = "".join(
        f'<i class="wb-class-{i}" style="flex-grow:{one.patients}"></i>'
        for i, one in enumerate(listed)
        if one.patients
    )
    figures = "".join(
        f'<span title="{esc(one.name)}">{swatch(i)}{one.patients}</span>' for i, one in enumerate(listed)
    )
    bar = f'<span class="wb-sharebar">{parts}</span>' if total else '<span class="wb-sharebar"></span>'
    return (
        f'<span class="wb-shares" role="img" aria-label="{esc(said)}">{bar}'
        f'<span class="wb-sharefigures">{figures}</span></span>'
    )


def heading(title: str, lead: str = "", tools: str = "") -> str:
    """The head of a screen: what it is, one line about it, and its buttons on the right.

    Args:
        title: text.
        lead: HTML.
        tools: HTML.
    """
    said = f'<p class="wb-lead">{lead}</p>' if lead else ""
    return (
        f'<div class="wb-head"><div><h2>{esc(title)}</h2>{said}</div>'
        f'<div class="wb-tools">{tools}</div></div>'
    )


def _fix(fix: str) -> str:
    return f' <em class="wb-fix">{esc(fix)}</em>' if fix else ""
