"""Colours, type and spacing of Gradio's own components; everything else is in ``assets/workbench.css``.

System fonts only: a theme with web fonts would ask another machine for them.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

ASSETS = Path(__file__).parent / "assets"
STYLES = (ASSETS / "base.css", ASSETS / "components.css", ASSETS / "reader.css")
_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """The reading-room theme; its colours are the custom properties of ``base.css``, dark and light."""
    made = gr.themes.Base(
        font=list(_SANS), font_mono=list(_MONO), radius_size="sm", spacing_size="md", text_size="md"
    )
    colours = {
        "body_background_fill": "var(--wb-ground)",
        "body_text_color": "var(--wb-text)",
        "body_text_color_subdued": "var(--wb-muted)",
        "background_fill_primary": "var(--wb-surface)",
        "background_fill_secondary": "var(--wb-raised)",
        "block_background_fill": "transparent",
        "block_label_background_fill": "transparent",
        "block_label_text_color": "var(--wb-muted)",
        "block_title_text_color": "var(--wb-muted)",
        "block_title_background_fill": "transparent",
        "border_color_primary": "var(--wb-line)",
        "border_color_accent": "var(--wb-accent)",
        "color_accent": "var(--wb-accent)",
        "color_accent_soft": "var(--wb-accent-soft)",
        "input_background_fill": "var(--wb-field)",
        "input_border_color": "var(--wb-edge)",
        "input_border_color_focus": "var(--wb-accent)",
        "input_placeholder_color": "var(--wb-muted)",
        "button_primary_background_fill": "var(--wb-primary)",
        "button_primary_background_fill_hover": "var(--wb-primary-hover)",
        "button_primary_text_color": "#ffffff",
        "button_primary_border_color": "transparent",
        "button_secondary_background_fill": "var(--wb-raised)",
        "button_secondary_background_fill_hover": "var(--wb-hover)",
        "button_secondary_text_color": "var(--wb-text)",
        "button_secondary_border_color": "var(--wb-edge)",
        "checkbox_background_color": "var(--wb-field)",
        "checkbox_border_color": "var(--wb-edge)",
        "checkbox_background_color_selected": "var(--wb-primary)",
        "checkbox_label_background_fill": "transparent",
        "checkbox_label_background_fill_hover": "var(--wb-hover)",
        "checkbox_label_background_fill_selected": "var(--wb-accent-soft)",
        "checkbox_label_text_color": "var(--wb-text)",
        "checkbox_label_text_color_selected": "var(--wb-text)",
        "slider_color": "var(--wb-accent)",
        "link_text_color": "var(--wb-accent)",
    }
    dark = {f"{name}_dark": value for name, value in colours.items() if hasattr(made, f"{name}_dark")}
    return made.set(**colours, **dark, block_border_width="0px", block_shadow="none", shadow_drop="none")


def head() -> str:
    """Goes into the page's head: the page's own styles and script.

    Gradio's own way for styles prefixes every rule and breaks those inside ``@media``; here they stay as
    written, and stand before anything is drawn.
    """
    styles = "\n".join(path.read_text(encoding="utf-8") for path in STYLES)
    script = (ASSETS / "workbench.js").read_text(encoding="utf-8")
    return f"<style>{styles}</style><script>{script}</script>"
