"""What frames every screen: header, research-use banner, steps, keyboard help."""

from __future__ import annotations

from ui.former.render.markup import esc
from ui.former.session import Session

RESEARCH_USE = "For research use. Not for diagnostic use."
STEPS = ("Condition", "Labelled scans", "Adapt", "Read new scans")

_KEYS = (
    ("Shift + 1 … 4", "Go to a step"),
    ("Enter", "Submit the field you are in; press the focused button"),
    ("Ctrl + Enter", "The main button of the screen"),
    ("↑ ↓", "Previous, next new scan (with the worklist or the image in focus)"),
    ("[ ]", "Previous, next slice"),
    ("1 … 4", "Compare with the nearest labelled scans; 0 to stop"),
    ("T", "Dark or light"),
    ("?", "This list"),
)


def header(session: Session) -> str:
    """Name of the product and of the condition, theme and help."""
    condition = esc(session.title) if session.title and session.step > 0 else ""
    return f"""
<div class="wb-header">
  <div class="wb-brand"><svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="9.2"/>
    <path d="M12 2.8v4M12 17.2v4M2.8 12h4M17.2 12h4"/><circle cx="12" cy="12" r="2.4" class="wb-dot"/></svg>
    <h1>Few-shot diagnosis workbench</h1></div>
  <div class="wb-condition">{condition}</div>
  <div class="wb-tools">
    <button type="button" class="wb-button wb-quiet" data-local="theme"
      aria-label="Switch between dark and light">
      <span class="wb-when-dark">Light</span><span class="wb-when-light">Dark</span></button>
    <button type="button" class="wb-button wb-quiet" data-local="keys"
      aria-haspopup="dialog">Keyboard</button>
  </div>
</div>"""


def banner() -> str:
    """Stands on every screen and cannot be closed."""
    return f'<div class="wb-banner" role="note">{RESEARCH_USE}</div>'


def keys() -> str:
    """The dialog that lists the shortcuts."""
    rows = "".join(f"<tr><th><kbd>{esc(key)}</kbd></th><td>{esc(what)}</td></tr>" for key, what in _KEYS)
    return f"""
<dialog id="wb-keys" aria-labelledby="wb-keys-title"><h2 id="wb-keys-title">Keyboard</h2><table>{rows}</table>
<form method="dialog"><button class="wb-button wb-quiet">Close</button></form></dialog>"""


def steps(session: Session) -> str:
    """Where the work stands; every step that can be opened is a button."""
    open_to = reachable(session)
    done = (bool(session.title), all(t.scans for t in session.trays), session.adapted is not None, False)
    items = []
    for number, name in enumerate(STEPS):
        here = number == session.step
        state = "here" if here else "done" if done[number] and number <= open_to else "open"
        current = ' aria-current="step"' if here else ""
        shut = "" if number <= open_to else " disabled"
        mark = "✓" if state == "done" else str(number + 1)
        items.append(
            f'<li><button type="button" class="wb-step wb-{state}" data-action="go" data-value="{number}"'
            f'{current}{shut}><span class="wb-mark">{mark}</span>{name}</button></li>'
        )
    return f'<nav aria-label="Steps"><ol class="wb-steps">{"".join(items)}</ol></nav>'


def reachable(session: Session) -> int:
    """The last step that can be opened now."""
    if not session.title:
        return 0
    if session.adapted is not None:
        return 3
    return 2 if all(tray.scans for tray in session.trays) else 1
