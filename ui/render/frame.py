"""What frames every screen: research-use banner, header with the person's menu, rail, notices, keys."""

from __future__ import annotations

from ui.render.markup import button, esc, icon, plural, symbol
from ui.state import At, Notice
from workbench.service.kinds import ConditionInfo, Role

RESEARCH_USE = "For research use. Not for diagnostic use."
TITLES = {
    "worklist": "Worklist",
    "define": "Define",
    "scans": "Add scans",
    "label": "Label",
    "adapt": "Adapt",
    "read": "Read",
    "evaluate": "Evaluate",
    "admin": "Administer",
}
_STEPS = ("define", "scans", "label", "adapt", "read", "evaluate")
_KEYS = (
    (
        "Everywhere",
        (
            ("Shift 1 … 6", "Define, Add scans, Label, Adapt, Read, Evaluate"),
            ("Shift 0", "Worklist"),
            ("Ctrl Enter", "The main button of the screen"),
            ("T", "Dark or light"),
            ("?", "This list"),
        ),
    ),
    (
        "Label",
        (
            ("1 … 8", "This scan is of class 1 … 8; the next one comes up"),
            ("U", "Unsure"),
            ("Z", "Undo the last label"),
            ("← → ↑ ↓", "Other scan"),
            ("Enter", "Large view, and back"),
            ("C", "Keep this scan beside the next ones"),
        ),
    ),
    (
        "Read",
        (
            ("↑ ↓", "Other case"),
            ("1 … 8", "Your own reading, while it is asked for; then: that nearest scan beside the case"),
            ("0", "The case alone"),
            ("A D U", "Agree, disagree, unsure"),
            ("N", "Next case without your verdict"),
            ("E", "Where the evidence lies"),
        ),
    ),
    (
        "Image",
        (
            ("Drag", "Level (up, down) and width (left, right)"),
            ("Wheel [ ]", "Slices; Ctrl and wheel zooms"),
            ("Right drag", "Zoom; middle drag or Space and drag moves"),
            ("W", "Next window preset"),
            ("I", "Invert"),
            ("R", "As it was; so does a double click"),
        ),
    ),
)


def top(at: At, login: bool) -> str:
    """Banner and header: product, condition, running work, theme, keys, the person's menu."""
    return (
        f'<div class="wb-banner" role="note">{RESEARCH_USE}</div>'
        '<header class="wb-header">'
        '<button type="button" class="wb-brand" data-action="go" data-value="worklist" '
        'aria-label="Few-shot diagnosis workbench: to the worklist">'
        '<svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="9.2"/>'
        '<path d="M12 2.8v4M12 17.2v4M2.8 12h4M17.2 12h4"/>'
        '<circle cx="12" cy="12" r="2.4" class="wb-dot"/></svg>'
        "<span>Few-shot diagnosis <b>workbench</b></span></button>"
        f'<h1 class="wb-open">{_opened(at)}</h1>'
        f'<div class="wb-right">{_running(at)}'
        f'<button type="button" class="wb-button wb-sign" data-local="theme" title="Dark or light (T)" '
        f'aria-label="Switch between dark and light">{symbol("sun")}</button>'
        f'<button type="button" class="wb-button wb-sign" data-local="keys" title="Keyboard (?)" '
        f'aria-haspopup="dialog" aria-label="Keyboard">{symbol("keys")}</button>'
        f"{_menu(at, login)}</div></header>"
    )


def rail(at: At) -> str:
    """The screens, in the order of the work, with how each stands."""
    condition = at.condition
    worklist = _item(at, "worklist", "", True, "")
    steps = "".join(_step(at, number, name) for number, name in enumerate(_STEPS, start=1))
    group = esc(condition.draft.title) if condition is not None else "No condition open"
    admin = _item(at, "admin", "", True, "") if at.actor.role is Role.ADMIN else ""
    return (
        f'<nav class="wb-rail" aria-label="Screens"><ul>{worklist}</ul>'
        f'<p class="wb-rail-group" title="{group}">{group}</p><ol>{steps}</ol>'
        f'<ul class="wb-rail-end">{admin}</ul></nav>'
    )


def said(notice: Notice | None) -> str:
    """A line over the bottom of the screen, read out; it moves nothing."""
    if notice is None:
        return '<div class="wb-toast" role="status"></div>'
    role = "alert" if notice.state in ("warning", "refused") else "status"
    return (
        f'<div class="wb-toast wb-shown wb-{notice.state}" role="{role}">{icon(notice.state)}'
        f"<span>{esc(notice.text)}</span>{button('Close', 'close', kind='bare')}</div>"
    )


def keys() -> str:
    """The dialog that lists the shortcuts."""
    groups = "".join(
        f"<section><h3>{esc(title)}</h3><dl>"
        + "".join(f"<div><dt>{_caps(key)}</dt><dd>{esc(what)}</dd></div>" for key, what in rows)
        + "</dl></section>"
        for title, rows in _KEYS
    )
    return (
        '<dialog id="wb-keys" aria-labelledby="wb-keys-title"><h2 id="wb-keys-title">Keyboard and mouse</h2>'
        f'<div class="wb-keygroups">{groups}</div>'
        '<form method="dialog"><button class="wb-button wb-quiet">Close</button></form></dialog>'
    )


def _caps(keys: str) -> str:
    return " ".join(
        f"<kbd>{esc(key)}</kbd>" if key not in ("…", "and", "drag") else esc(key) for key in keys.split()
    )


def _opened(at: At) -> str:
    if at.condition is None:
        return esc(TITLES[at.screen] if at.screen != "define" else "New condition")
    draft = at.condition.draft
    about = " · ".join(part for part in (draft.modality, draft.body_part) if part)
    demo = '<span class="wb-tag">Demo</span>' if at.condition.demo else ""
    return f"<span>{esc(draft.title)}</span>{demo}<small>{esc(about)}</small>"


def _running(at: At) -> str:
    """A small sign that something runs, where another screen shows how far it is."""
    if not at.jobs:
        return ""
    job = at.jobs[0]
    share = f" {100 * job.done // job.total} %" if job.total else ""
    return f'<span class="wb-running" role="status">{esc(job.said or "Working")}{share}</span>'


def _menu(at: At, login: bool) -> str:
    actor = at.actor
    who = esc(actor.reader or actor.name)
    initials = "".join(part[0] for part in (actor.reader or actor.name).split()[:2]).upper() or "?"
    out = (
        '<div class="wb-line"><a class="wb-button wb-quiet" href="/account">Account</a>'
        '<form method="post" action="/logout"><button class="wb-button wb-quiet">Sign out</button></form>'
        "</div>"
        if login
        else '<p class="wb-aside">No sign-in: this page is served on this machine only.</p>'
    )
    return (
        f'<details class="wb-menu" id="wb-menu"><summary aria-label="You: {who}">'
        f'<span class="wb-initials" aria-hidden="true">{esc(initials)}</span></summary>'
        f'<div class="wb-menu-body"><p><b>{who}</b><small>{esc(actor.role.value)}</small></p>'
        '<form data-reader class="wb-field"><label for="wb-reader">Name on your labels</label>'
        f'<span class="wb-join"><input id="wb-reader" name="reader" value="{esc(actor.reader)}" '
        'maxlength="120" autocomplete="off"><button class="wb-button wb-quiet">Set</button></span></form>'
        f"{out}</div></details>"
    )


def _step(at: At, number: int, name: str) -> str:
    condition = at.condition
    if condition is None:
        new = name == "define"
        return _item(at, name, str(number), new and at.screen == "define", "")
    told, done = _standing(condition, name)
    return _item(at, name, "✓" if done else str(number), True, told)


def _standing(condition: ConditionInfo, name: str) -> tuple[str, bool]:
    """How a step stands in a word or two, and whether it is done."""
    labelled = condition.scans - condition.unlabelled - condition.unsure - condition.disputed
    if name == "define":
        return plural(len(condition.classes), "class"), True
    if name == "scans":
        return (plural(condition.scans, "scan") if condition.scans else ""), condition.scans > 0
    if name == "label":
        left = condition.unlabelled + condition.disputed
        if not condition.scans:
            return "", False
        return (f"{left} left" if left else f"{labelled} labelled"), not left
    if name == "adapt":
        if condition.status == "stale":
            return "labels changed", False
        return (f"version {condition.version}" if condition.version else ""), condition.version > 0
    if name == "read":
        if condition.unread:
            return f"{condition.unread} unread", False
        return (plural(condition.cases, "case") if condition.cases else ""), condition.cases > 0
    return "", False


def _item(at: At, name: str, mark: str, open_to: bool, told: str) -> str:
    here = ' aria-current="page"' if name == at.screen else ""
    shut = "" if open_to else " disabled"
    done = " wb-done" if mark == "✓" else ""
    sign = f'<span class="wb-mark{done}" aria-hidden="true">{mark}</span>' if mark else ""
    note = f"<small>{esc(told)}</small>" if told else ""
    return (
        f'<li><button type="button" class="wb-step" data-action="go" data-value="{name}"{here}{shut}>'
        f"{symbol(name)}<span>{TITLES[name]}</span>{note}{sign}</button></li>"
    )
