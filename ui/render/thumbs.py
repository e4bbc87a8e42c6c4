"""A scan as a small picture that opens something."""

from __future__ import annotations

from ui.render.markup import esc
from workbench.service.kinds import ScanInfo


def preview(scan_id: str) -> str:
    """Address of a scan's thumbnail."""
    return f"/files/preview/{esc(scan_id)}"


def thumb(
    scan: ScanInfo,
    action: str,
    *,
    caption: str = "",
    colour: int | None = None,
    pressed: bool | None = None,
    spoken: str = "",
    key: str = "",
) -> str:
    """A button with the scan's picture, its number and a line under it.

    Args:
        scan: shown.
        action: what a press does; its value is the scan's identifier.
        caption: one line under the number, plain text.
        colour: number of the class whose colour runs under the picture.
        pressed: for a button that stays down.
        spoken: what a press does, for screen readers.
        key: that presses it, where ``read.js`` listens.
    """
    held = "" if pressed is None else f' aria-pressed="{str(pressed).lower()}"'
    strip = "" if colour is None else f'<i class="wb-strip wb-class-{colour}"></i>'
    line = f"<small>{esc(caption)}</small>" if caption else ""
    pressed_by = f' data-key="{key}"' if key else ""
    name = f"Scan {scan.number}"
    told = esc(". ".join(part for part in (name, caption, spoken) if part))
    return (
        f'<button type="button" class="wb-mini" data-action="{esc(action)}" data-value="{esc(scan.id)}" '
        f'aria-label="{told}" title="{told}"{held}{pressed_by}>'
        f'<img src="{preview(scan.id)}" alt="" width="96" height="96" loading="lazy" decoding="async">'
        f"{strip}<span>{name}</span>{line}</button>"
    )
