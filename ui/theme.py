"""The page's own styles and scripts, and the colours of what little Gradio draws itself.

Everything a designer changes is in ``assets`` (see its README.md). System fonts only: web fonts would be
asked from another machine.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

ASSETS = Path(__file__).parent / "assets"
STYLES = ("base", "components", "worklist", "define", "scans", "label", "adapt", "read", "evaluate", "admin")
SCRIPTS = ("frame", "viewer", "uploads", "archive", "tray", "read")
_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """Gradio's ground and type, by the custom properties of ``base.css``."""
    made = gr.themes.Base(font=list(_SANS), font_mono=list(_MONO))
    colours = {
        "body_background_fill": "var(--wb-ground)",
        "body_text_color": "var(--wb-text)",
        "body_text_color_subdued": "var(--wb-muted)",
        "background_fill_primary": "var(--wb-surface)",
        "background_fill_secondary": "var(--wb-raised)",
        "block_background_fill": "transparent",
        "border_color_primary": "var(--wb-line)",
        "color_accent": "var(--wb-accent)",
        "link_text_color": "var(--wb-accent)",
    }
    dark = {f"{name}_dark": value for name, value in colours.items() if hasattr(made, f"{name}_dark")}
    return made.set(**colours, **dark, block_border_width="0px", block_shadow="none", shadow_drop="none")


def head() -> str:
    """Goes into the page's head, before anything is drawn.

    Gradio's own way for styles prefixes every rule and breaks those inside ``@media``; here they stay as
    written. ``viewer.css`` is kept aside for the viewer, which has its own tree (see ``viewer.js``).
    """
    styles = "\n".join(_read(f"{name}.css") for name in STYLES)
    scripts = "\n".join(_read(f"{name}.js") for name in SCRIPTS)
    return (
        f"<style>{styles}</style><style id='wb-viewer-styles' media='not all'>{_read('viewer.css')}</style>"
        f"<script>{scripts}</script>"
    )


def _read(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
