"""The worklist: conditions as rows, with how each stands and what comes next."""

from __future__ import annotations

from collections.abc import Mapping

from ui.render.markup import ago, button, esc, heading, plural, progress, shares, symbol
from workbench.service.kinds import ConditionInfo, JobInfo, Level, Role

_NEXT = {"define": "define", "scans": "scans", "label": "label", "ready": "adapt", "stale": "adapt"}
_STATUS = {
    "define": ("Being defined", ""),
    "scans": ("Needs scans", ""),
    "label": ("To be labelled", "accent"),
    "ready": ("Ready to adapt", "ok"),
    "adapted": ("Adapted", "ok"),
    "stale": ("Labels changed", "warning"),
}


def head(role: Role, archived: bool, count: int) -> str:
    """Title, search, and the ways to begin."""
    segments = "".join(
        f'<button type="button" data-action="archived" data-value="{value}" '
        f'aria-pressed="{str(archived == (value == "yes")).lower()}">{label}</button>'
        for value, label in (("no", "Active"), ("yes", "With archived"))
    )
    search = (
        '<input type="search" class="wb-input wb-search" placeholder="Find a condition" '
        'aria-label="Find a condition" data-filter=".wb-condition-row">'
        if count > 3
        else ""
    )
    new = "" if role is Role.READER else _new()
    tools = f'{search}<div class="wb-segments" role="group" aria-label="Show">{segments}</div>{new}'
    lead = "Conditions of yours, and those shared with you. Everything is kept; go on wherever you stopped."
    return heading("Worklist", lead, tools)


def rows(
    conditions: tuple[ConditionInfo, ...], running: Mapping[str, JobInfo], last: str | None, role: Role
) -> str:
    """The conditions, last edited first.

    Args:
        conditions: to be listed.
        running: the job that runs for a condition, by its identifier.
        last: identifier of the one that was open last, or None.
        role: of who looks.
    """
    if not conditions:
        return _empty(role)
    body = "".join(_row(one, running.get(one.id), one.id == last) for one in conditions)
    return (
        '<table class="wb-worklist"><thead><tr><th scope="col">Condition</th><th scope="col">Status</th>'
        '<th scope="col">Labelled patients</th><th scope="col">Cases</th>'
        '<th scope="col" class="wb-wide">Owner</th><th scope="col">Last edit</th>'
        f'<th scope="col"><span class="wb-hidden">Open</span></th></tr></thead><tbody>{body}</tbody></table>'
    )


def _new() -> str:
    return button("Try the demo", "demo") + button(f"{symbol('plus')}New condition", "new", kind="main")


def _empty(role: Role) -> str:
    if role is Role.READER:
        return (
            f'<div class="wb-empty">{symbol("worklist")}<h3>Nothing is shared with you yet</h3>'
            "<p>When somebody shares a condition with you, it appears here to be labelled and read.</p></div>"
        )
    steps = "".join(
        f"<li>{symbol(sign)}<b>{title}</b><span>{told}</span></li>"
        for sign, title, told in (
            (
                "scans",
                "Drop about ten scans",
                "DICOM, NIfTI or pictures; a folder for each class labels them.",
            ),
            ("label", "Label them", "One key for each scan. A second reader can check, blind to the first."),
            ("adapt", "Adapt", "One button. It says how often it was right on patients it had not seen."),
            ("read", "Read new cases", "A probability with its interval, or “none of these”."),
        )
    )
    return (
        f'<div class="wb-welcome"><h3>A model for your own condition, from ten labelled scans</h3>'
        f'<ol>{steps}</ol><div class="wb-line">{button(symbol("plus") + "New condition", "new", kind="big")}'
        f"{button(symbol('play') + 'Try the demo', 'demo', kind='big')}"
        '<span class="wb-aside">The demo needs no data.</span></div></div>'
    )


def _row(one: ConditionInfo, job: JobInfo | None, last: bool) -> str:
    draft = one.draft
    about = " · ".join(part for part in (draft.modality, draft.body_part, draft.population) if part)
    title, tone = _STATUS.get(one.status, (one.status, ""))
    tags = '<span class="wb-tag">Demo</span>' if one.demo else ""
    tags += '<span class="wb-tag">Archived</span>' if one.archived else ""
    state = (
        progress(job, cancel=False)
        if job is not None
        else f'<span class="wb-tag wb-{tone}">{esc(title)}</span>{_said(one, title)}'
    )
    cases = plural(one.cases, "case") if one.cases else "–"
    unread = f"<small>{one.unread} unread</small>" if one.unread else ""
    version = f"<small>version {one.version}</small>" if one.version and not one.unread else ""
    owner = "You" if one.level is Level.OWN else esc(one.owner)
    shared = f"<small>shared with {esc(_with(one))}</small>" if one.shared else ""
    where = _NEXT.get(one.status, "read")
    label = "Resume" if last else "Open"
    back = button("Restore", "restore", one.id, "bare") if one.archived and one.level is Level.OWN else ""
    here = " wb-last" if last else ""
    return (
        f'<tr class="wb-condition-row{here}"><th scope="row"><button type="button" class="wb-open-row" '
        f'data-action="open" data-value="{one.id}:{where}">{esc(draft.title)}</button>{tags}'
        f"<small>{esc(about)}</small></th><td>{state}</td><td>{shares(one.classes)}</td>"
        f'<td class="wb-number">{cases}{unread}{version}</td><td class="wb-wide">{owner}{shared}</td>'
        f'<td class="wb-number">{esc(ago(one.edited))}</td><td class="wb-row-tools">{back}'
        f"{button(label, 'open', one.id + ':' + ('' if last else where), 'quiet', f'{label} {draft.title}')}"
        "</td></tr>"
    )


def _said(one: ConditionInfo, title: str) -> str:
    """What the status line adds to its title."""
    said = one.said.removeprefix(f"{title}.").strip()
    return f"<small>{esc(said)}</small>" if said else ""


def _with(one: ConditionInfo) -> str:
    names = [who for who, _ in one.shared]
    return names[0] if len(names) == 1 else f"{len(names)} people"
