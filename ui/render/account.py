"""One's own tokens for the HTTP interface."""

from __future__ import annotations

from ui.render.markup import esc
from ui.render.words import day, moment
from workbench.service.accounts import TokenInfo


def tokens(held: tuple[TokenInfo, ...], fresh: str) -> str:
    """Tokens for programs; a new one is shown once.

    Args:
        held: the actor's own.
        fresh: value of the one just made, or empty.
    """
    rows = "".join(
        f"<li><span><b>{esc(one.name)}</b><small>made {moment(one.created)}, used {moment(one.used)}, "
        f"{_until(one.expires)}</small></span>"
        f'<button type="button" class="wb-button wb-quiet" data-action="revoke" data-value="{esc(one.id)}" '
        'data-confirm="Revoke this token? Programs that use it stop at once.">Revoke<span '
        'class="wb-hidden"> '
        f"{esc(one.name)}</span></button></li>"
        for one in held
    )
    listed = f'<ul class="wb-offers">{rows}</ul>' if rows else '<p class="wb-aside">None yet.</p>'
    shown = (
        '<div class="wb-notice wb-ok" role="status"><div><p>Copy it now: it is not shown again.</p>'
        f'<code class="wb-print">{esc(fresh)}</code></div></div>'
        if fresh
        else ""
    )
    return (
        '<section class="wb-card wb-site" aria-label="Tokens"><h3>Tokens <small>for programs that use '
        "/api/v1</small>"
        f"</h3>{shown}{listed}"
        '<form class="wb-form" data-submit="token"><label>What it is for<input name="name" required '
        'maxlength="120" '
        'autocomplete="off"></label><label>Days<input name="days" inputmode="numeric" value="90" '
        'maxlength="4"></label>'
        '<button type="submit" class="wb-button wb-quiet">Make a token</button></form></section>'
    )


def _until(expires: float | None) -> str:
    return "never expires" if expires is None else f"expires {day(expires)}"
