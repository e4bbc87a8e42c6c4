"""Plain pages: HTML that works without JavaScript, in the colours of ui/assets/base.css."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from fastapi.responses import HTMLResponse
from markupsafe import Markup, escape

from workbench.evaluation.plaintext import NOTICE

_COLOURS = Path(__file__).parent / "assets" / "base.css"
# Own rules, on the custom properties that the page itself uses.
_LAYOUT = """
*{box-sizing:border-box}
html{color-scheme:dark light}
body{margin:0;min-height:100vh;display:flex;flex-direction:column;background:var(--wb-ground);color:var(--wb-text);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.banner{background:var(--wb-warning-soft);color:var(--wb-warning);text-align:center;font-size:12.5px;font-weight:600;
padding:5px 24px}
main{flex:1;display:grid;place-items:center;padding:32px 16px}
.card{width:100%;max-width:400px;background:var(--wb-surface);border:1px solid var(--wb-line);
border-radius:10px;padding:28px 30px 30px}
.card.wide{max-width:680px}
.brand{display:flex;align-items:center;gap:10px;font-weight:600;margin:0 0 22px}
.brand svg{width:26px;height:26px;fill:none;stroke:var(--wb-accent);stroke-width:1.5;flex:none}
.brand .dot{fill:var(--wb-accent);stroke:none}
h1{font-size:20px;font-weight:600;margin:0 0 18px}
h2{font-size:15px;font-weight:600;margin:30px 0 12px;padding-top:22px;border-top:1px solid var(--wb-line)}
p{margin:0 0 14px}
label{display:block;font-size:13px;color:var(--wb-muted);margin:14px 0 5px}
input{width:100%;font:inherit;color:var(--wb-text);background:var(--wb-field);border:1px solid var(--wb-edge);
border-radius:6px;padding:9px 11px}
button,.button{display:block;width:100%;margin-top:20px;font:inherit;font-weight:600;text-align:center;cursor:pointer;
color:#fff;background:var(--wb-primary);border:1px solid transparent;border-radius:6px;padding:10px 14px;
text-decoration:none}
button:hover,.button:hover{background:var(--wb-primary-hover)}
.quiet{color:var(--wb-text);background:var(--wb-raised);border-color:var(--wb-edge)}
.quiet:hover{background:var(--wb-hover)}
.row{display:flex;gap:12px}.row>*{flex:1}
td .quiet{margin:0;padding:4px 10px;font-weight:400;width:auto}
:focus-visible{outline:2px solid var(--wb-accent);outline-offset:2px}
.said{border-radius:6px;padding:10px 12px;margin:0 0 16px;font-size:14px}
.wrong{background:var(--wb-refused-soft);color:var(--wb-refused)}
.good{background:var(--wb-accent-soft);color:var(--wb-text)}
.small{font-size:13px;color:var(--wb-muted);margin:18px 0 0}
code{font-family:ui-monospace,SFMono-Regular,Menlo,monospace;font-size:.92em;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;padding:7px 12px 7px 0;border-bottom:1px solid var(--wb-line)}
th{font-weight:400;color:var(--wb-muted)}
a{color:var(--wb-accent)}
"""
_MARK = (
    '<svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="9.2"/>'
    '<path d="M12 2.8v4M12 17.2v4M2.8 12h4M17.2 12h4"/><circle cx="12" cy="12" r="2.4" class="dot"/></svg>'
)


def page(title: str, body: Markup, status: int = 200, wide: bool = False) -> HTMLResponse:
    """A whole page around `body`."""
    card = "card wide" if wide else "card"
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} - Few-shot diagnosis workbench</title><style>{_styles()}</style></head>"
        f'<body><header class="banner">{escape(NOTICE)}</header><main><div class="{card}">'
        f'<p class="brand">{_MARK}Few-shot diagnosis workbench</p><h1>{escape(title)}</h1>{body}'
        f"</div></main></body></html>",
        status_code=status,
    )


def said(text: str, good: bool = False) -> Markup:
    """A line over a form; announced by screen readers. Empty for nothing."""
    if not text:
        return Markup()
    kind, role = ("good", "status") if good else ("wrong", "alert")
    return Markup('<p class="said {}" role="{}">{}</p>').format(kind, role, text)


def field(name: str, label: str, kind: str = "text", complete: str = "off", value: str = "") -> Markup:
    """A required input with its label."""
    return Markup(
        '<label for="{0}">{1}</label>'
        '<input id="{0}" name="{0}" type="{2}" autocomplete="{3}" value="{4}" required>'
    ).format(name, label, kind, complete, value)


def onwards() -> HTMLResponse:
    """Sends the browser on to the page by a step of our own.

    After a step from another site the strict cookie is not sent; after this one it is.
    """
    response = page("One moment", Markup('<p><a class="button" href="/">Go on to the workbench</a></p>'))
    response.headers["refresh"] = "0; url=/"
    return response


@cache
def _styles() -> str:
    """The light and dark colours of the page, by what the system prefers, with the rules above."""
    css = _COLOURS.read_text(encoding="utf-8")
    light, dark = _block(css, r":root"), _block(css, r"\.dark")
    return f":root{{{light} {dark}}}@media (prefers-color-scheme: light){{:root{{{light}}}}}{_LAYOUT}"


def _block(css: str, selector: str) -> str:
    found = re.search(rf"(?m)^\s*{selector}\s*\{{([^}}]*)\}}", css)
    return "" if found is None else " ".join(found.group(1).split())
