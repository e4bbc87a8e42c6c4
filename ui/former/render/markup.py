"""The one place where text from files and people becomes HTML."""

from __future__ import annotations

from html import escape as _escape

from workbench.errors import ScanRefused
from workbench.imaging.scan import Finding, Severity

_ICONS = {
    "ok": '<path d="M3.5 8.5l3 3 6-7"/>',
    "info": '<path d="M8 7.2v4.3M8 4.4v.3"/>',
    "warning": '<path d="M8 4v5M8 11.8v.3"/>',
    "refused": '<path d="M4.5 4.5l7 7M11.5 4.5l-7 7"/>',
}
_STATES = {Severity.ERROR: "refused", Severity.WARNING: "warning", Severity.INFO: "info"}
_WORST_FIRST = tuple(_STATES)
_SPOKEN = {"ok": "Read", "info": "Note", "warning": "Warning", "refused": "Refused"}


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
        f'<svg viewBox="0 0 16 16" aria-hidden="true">{_ICONS[state]}</svg></span>'
    )


def button(label: str, action: str, value: object = "", kind: str = "quiet", spoken: str = "") -> str:
    """A button inside an HTML component; `ui.page` listens for its action.

    Args:
        label: HTML shown.
        action: what to do.
        value: to what.
        kind: ``quiet``, ``bare`` or ``chip``.
        spoken: name for screen readers where the label is only a sign.
    """
    named = f' aria-label="{esc(spoken)}" title="{esc(spoken)}"' if spoken else ""
    return (
        f'<button type="button" class="wb-button wb-{kind}" data-action="{esc(action)}" '
        f'data-value="{esc(value)}"{named}>{label}</button>'
    )


def notice(state: str, text: str) -> str:
    """A line that says something about the whole screen, or nothing."""
    if not text:
        return ""
    role = "alert" if state in ("warning", "refused") else "status"
    return f'<div class="wb-notice wb-{state}" role="{role}">{icon(state)}<span>{esc(text)}</span></div>'


def findings(items: tuple[Finding, ...]) -> str:
    """Findings of a scan as a list: what a person should know, and the fix."""
    return "".join(
        f"<li>{icon(_STATES[item.severity])}<span>{esc(item.message)}{_fix(item.fix)}</span></li>"
        for item in sorted(items, key=lambda item: _WORST_FIRST.index(item.severity))
    )


def refusals(items: list[ScanRefused]) -> str:
    """Files that could not be read: name, reason and fix."""
    return "".join(
        f'<li>{icon("refused")}<span><b title="{esc(item.source)}">{esc(short(item.source))}</b> '
        f"{esc(item.told)}{_fix(item.fix)}</span></li>"
        for item in items
    )


def short(name: str) -> str:
    """A file's name that fits a line; the middle of a long one is left out."""
    return name if len(name) <= 40 else f"{name[:18]}…{name[-20:]}"


def state_of(items: tuple[Finding, ...]) -> str:
    """Traffic light of a scan that was read."""
    worst = min(items, key=lambda item: _WORST_FIRST.index(item.severity), default=None)
    return "ok" if worst is None or worst.severity is Severity.INFO else _STATES[worst.severity]


def plural(count: int, noun: str) -> str:
    """``1 scan``, ``2 scans``."""
    ending = "" if count == 1 else ("es" if noun.endswith("ss") else "s")
    return f"{count} {noun}{ending}"


def _fix(fix: str) -> str:
    return f' <em class="wb-fix">{esc(fix)}</em>' if fix else ""
