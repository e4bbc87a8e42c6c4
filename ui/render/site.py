"""Administration of the site: people, room, what is kept how long, the trail, the workers."""

from __future__ import annotations

from ui.render import figures
from ui.render.markup import button, esc, heading, icon, notice, plural
from ui.render.words import moment, size, stamp
from workbench.service.kinds import Role, UserInfo
from workbench.service.oversight import Health, Trail
from workbench.service.retention import Removal, Rules
from workbench.store.audit import Verdict

_ROLES = {
    Role.READER: "Reader: looks, labels as a second reader, reads cases",
    Role.EDITOR: "Editor: makes conditions too",
    Role.ADMIN: "Administrator: people, room and the trail too",
}
_KEPT = {
    "cases": "Cases and what was read of them",
    "removed": "Scans taken out",
    "versions": "Versions not in use",
    "artefacts": "Reports and bundles",
    "conditions": "Archived conditions",
    "spools": "Uploads of failed imports",
}
_THINGS = {
    "cases": "case",
    "removed": "scan taken out",
    "versions": "version",
    "artefacts": "file",
    "conditions": "archived condition",
    "spools": "failed upload",
}
_GB = 1_000_000_000


def head(admin: bool) -> str:
    """What the screen is for."""
    if admin:
        said = "People, room, how long things are kept, and the trail. You see no scans of others here."
        return heading("Administer", said)
    return heading("Your tokens", "For programs that use the workbench in your name.")


def people(users: tuple[UserInfo, ...], own: str, open_form: str, default_quota: int, login: bool) -> str:
    """Everybody who may sign in, and a form for somebody new.

    Args:
        users: as they are listed.
        own: identifier of the actor.
        open_form: identifier of the user whose settings are open, ``new`` for the form, or empty.
        default_quota: bytes for who has no quota of their own.
        login: whether people sign in at all.
    """
    rows = "".join(_person(user, own, user.id == open_form, default_quota) for user in users)
    said = "Nobody signs in: the workbench serves this machine only. Start it with a login to let people in."
    note = "" if login else notice("info", said)
    return (
        '<section class="wb-card wb-site" aria-label="People"><div class="wb-site-head"><h3>People '
        f"<small>{plural(len(users), 'account')}</small></h3>"
        f"{_toggle('Add somebody', 'new', open_form == 'new')}"
        f"</div>{note}{_new_person() if open_form == 'new' else ''}"
        '<div class="wb-scroll" tabindex="0" role="region" aria-label="Accounts"><table class="wb-table '
        'wb-accounts">'
        '<thead><tr><th scope="col">Who</th><th scope="col">Role</th><th scope="col">Room used</th>'
        '<th scope="col">Signed in</th><th scope="col"><span '
        'class="wb-hidden">Change</span></th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _toggle(label: str, value: str, pressed: bool) -> str:
    return (
        f'<button type="button" class="wb-button wb-quiet" data-action="{"shut" if pressed else "form"}" '
        f'data-value="{esc(value)}" '
        f'aria-expanded="{str(pressed).lower()}">{"Close" if pressed else label}</button>'
    )


def _person(user: UserInfo, own: str, opened: bool, default_quota: int) -> str:
    room = user.quota if user.quota is not None else default_quota
    gauge = figures.gauge(user.used, room, f"{size(user.used)} of {size(room)} used")
    closed = "" if user.active else '<span class="wb-tag">closed</span>'
    you = '<span class="wb-tag wb-ok">you</span>' if user.id == own else ""
    tools = (
        f'<button type="button" class="wb-link" data-action="{"shut" if opened else "form"}" '
        f'data-value="{esc(user.id)}" '
        f'aria-expanded="{str(opened).lower()}">{"Close" if opened else "Change"}'
        f'<span class="wb-hidden"> {esc(user.name)}</span></button>'
    )
    row = (
        f'<tr class="{"" if user.active else "wb-shut"}"><th '
        f'scope="row"><div class="wb-person"><b>{esc(user.display or user.name)}</b>'
        f"<small>{esc(user.name)}</small>{you}{closed}</div></th><td>{user.role.value.capitalize()}</td>"
        f"<td>{gauge}<small>{size(user.used)} of {size(room)}</small></td><td>{moment(user.signed_in)}</td>"
        f"<td>{tools}</td></tr>"
    )
    return row + (
        f'<tr class="wb-person-form"><td colspan="5">{_settings(user, own)}</td></tr>' if opened else ""
    )


def _settings(user: UserInfo, own: str) -> str:
    uid = esc(user.id)
    quota = "" if user.quota is None else f"{user.quota / _GB:g}"
    close = (
        '<button type="button" class="wb-button wb-quiet" '
        f'data-action="{"close" if user.active else "reopen"}" '
        f'data-value="{uid}">{"Close the account" if user.active else "Open it again"}</button>'
        if user.id != own
        else '<span class="wb-aside">You cannot close your own account.</span>'
    )
    return (
        f'<form class="wb-form" data-submit="change-user" data-value="{uid}"><label>Role'
        '<select name="role" aria-label="Role of '
        f'{esc(user.name)}">{_role_options(user.role)}</select></label>'
        f'<label>Quota in GB, empty for the site’s<input name="quota" inputmode="decimal" value="{quota}" '
        'maxlength="12" autocomplete="off"></label>'
        '<button type="submit" class="wb-button wb-main">Save</button></form>'
        f'<form class="wb-form" data-submit="set-password" data-value="{uid}"><label>New password'
        '<input name="password" type="password" autocomplete="new-password" minlength="12" required></label>'
        '<button type="submit" class="wb-button wb-quiet">Set the password</button>'
        f"{close}</form>"
    )


def _role_options(chosen: Role) -> str:
    return "".join(
        f'<option value="{role.value}"{" selected" if role is chosen else ""}>{esc(said)}</option>'
        for role, said in _ROLES.items()
    )


def _new_person() -> str:
    return (
        '<form class="wb-form wb-form-new" data-submit="add-user"><label>Name to sign in with'
        '<input name="name" required maxlength="120" autocomplete="off" autocapitalize="none"></label>'
        '<label>Shown as<input name="display" maxlength="120" autocomplete="off" placeholder="Dr Maja '
        'Lind"></label>'
        f'<label>Role<select name="role">{_role_options(Role.READER)}</select></label>'
        '<label>First password<input name="password" type="password" required minlength="12" '
        'autocomplete="new-password"></label>'
        '<button type="submit" class="wb-button wb-main">Add</button></form>'
    )


def health(found: Health) -> str:
    """Whether the workers keep up, and how much room there is."""
    state = "warning" if found.stuck or (found.queued and not found.workers) else "ok"
    if found.workers:
        rows = "".join(
            f"<li><b>{esc(one.kind)}</b><span>{one.done} of {one.total or '?'}</span>"
            f"<small>since {moment(one.since)}</small></li>"
            for one in found.workers
        )
        busy = f'<ol class="wb-busy" aria-label="Jobs that run">{rows}</ol>'
    else:
        busy = '<p class="wb-aside">Nothing runs now.</p>'
    said = (
        f"{plural(found.queued, 'job')} waiting, {len(found.workers)} running"
        + (f", {found.stuck} without a sign of life" if found.stuck else "")
        + (f"; {plural(found.failed, 'job')} failed in a day" if found.failed else "")
    )
    parts = (
        ("Scans and files", found.blobs),
        ("Database", found.database),
        ("Uploads under way", found.spool),
    )
    room = "".join(f"<div><dt>{name}</dt><dd>{size(count)}</dd></div>" for name, count in parts)
    whole = found.free + found.blobs + found.database + found.spool
    used = figures.gauge(whole - found.free, whole, f"{size(found.free)} free on the disk")
    return (
        f'<section class="wb-card wb-site" aria-label="Workers and room"><h3>Workers and room</h3>'
        f'<p class="wb-state-line">{icon(state)}<span>{said}</span></p>{busy}'
        f'<dl class="wb-facts">{room}<div><dt>Free on the '
        f"disk</dt><dd>{size(found.free)}</dd></div></dl>{used}"
        "</section>"
    )


def retention(rules: Rules, found: tuple[Removal, ...] | None) -> str:
    """How long things are kept, and what the rules would remove now.

    Args:
        rules: in force.
        found: of a dry run that was asked for, or None.
    """
    fields = "".join(
        f'<label>{name}<input name="{rule}" inputmode="numeric" value="{getattr(rules, rule)}" maxlength="5" '
        f'aria-describedby="wb-keep"></label>'
        for rule, name in _KEPT.items()
    )
    return (
        '<section class="wb-card wb-site" aria-label="Retention"><h3>Kept for so many days '
        '<small id="wb-keep">0 keeps it</small></h3><form class="wb-form wb-keep" data-submit="keep">'
        f'{fields}<div class="wb-line"><button type="submit" class="wb-button wb-quiet">Save</button>'
        f"{button('What would go now?', 'dry-run')}</div></form>{_would_go(found)}</section>"
    )


def _would_go(found: tuple[Removal, ...] | None) -> str:
    if found is None:
        return ""
    told = [
        f"{plural(one.count, _THINGS[one.rule])} older than {one.days} days" for one in found if one.count
    ]
    said = f"Would go within a day: {'; '.join(told)}." if told else "Nothing would go now."
    return notice("warning" if told else "ok", f"{said} Nothing has been removed by looking.")


def trail(page: Trail, verdict: Verdict | None) -> str:
    """Lines of the audit trail, filtered, and whether it is whole."""
    rows = "".join(
        f'<tr><td class="wb-num">{line.seq}</td><td '
        f'class="wb-num">{stamp(line.at)}</td><td>{esc(line.who)}</td>'
        f"<td>{esc(line.action)}</td><td>{esc(line.kind)} <code>{esc(line.object_id[:8])}</code></td>"
        f'<td class="wb-detail">{esc(line.detail)}</td></tr>'
        for line in page.lines
    )
    if not rows:
        rows = '<tr><td colspan="6" class="wb-aside">No line fits the filter.</td></tr>'
    older = (
        '<button type="button" class="wb-button wb-quiet" data-action="older" '
        f'data-value="{page.lines[-1].seq}">'
        "Older lines</button>"
        if page.more and page.lines
        else ""
    )
    return (
        '<section class="wb-card wb-site wb-site-wide" aria-label="Audit trail"><form '
        'data-submit="filter-trail" '
        'role="search" aria-label="Filter the trail" class="wb-trail-form"><div '
        'class="wb-site-head"><h3>Audit trail '
        f"<small>{plural(page.total, 'line')}; UTC</small></h3>{button('Verify', 'verify-trail')}"
        '<a class="wb-button wb-quiet" href="/files/audit" download>Export</a></div>'
        f'{_whole(verdict)}<div class="wb-form wb-filter"><label>Action or object<input name="what" '
        f'value="{esc(page.what)}" placeholder="label, version, user" maxlength="64"></label><label>Who'
        f'<input name="who" value="{esc(page.who)}" maxlength="120"></label>'
        '<button type="submit" class="wb-button wb-quiet">Filter</button></div>'
        '<div class="wb-scroll wb-trail" tabindex="0" role="region" aria-label="Lines of the trail">'
        '<table class="wb-table"><thead><tr><th scope="col">No</th><th scope="col">When</th><th '
        'scope="col">Who</th>'
        '<th scope="col">Did</th><th scope="col">To</th><th scope="col">With</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{older}</form></section>"
    )


def _whole(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    if verdict.broken is None:
        return (
            f'<div class="wb-notice wb-ok" role="status">{icon("ok")}<span>Whole: '
            f"{plural(verdict.lines, 'line')} hold "
            f"together. Head, worth noting elsewhere: <code>{esc(verdict.head)}</code></span></div>"
        )
    return (
        f'<div class="wb-notice wb-refused" role="alert">{icon("refused")}<span><b>Broken at line '
        f"{verdict.broken}."
        f"</b> {esc(verdict.reason)}</span></div>"
    )
