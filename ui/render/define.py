"""The define screen: one form for a condition, and who it is shared with."""

from __future__ import annotations

import math

from ui.render.markup import button, esc, heading, plural, swatch, symbol
from workbench.service.kinds import ConditionInfo, Draft, Level

MIN_CLASSES, MAX_CLASSES = 2, 8
_MODALITIES = (
    ("", "Any"),
    ("CR", "CR · computed radiography"),
    ("CT", "CT"),
    ("DX", "DX · digital radiography"),
    ("ES", "ES · endoscopy"),
    ("GM", "GM · microscopy"),
    ("MG", "MG · mammography"),
    ("MR", "MR"),
    ("NM", "NM · nuclear medicine"),
    ("OP", "OP · ophthalmic photography"),
    ("OPT", "OPT · ophthalmic tomography"),
    ("PT", "PT · PET"),
    ("SM", "SM · slide microscopy"),
    ("US", "US"),
    ("XA", "XA · angiography"),
    ("XC", "XC · photography"),
)
_PARTS = (
    "ABDOMEN",
    "BRAIN",
    "BREAST",
    "CHEST",
    "HAND",
    "HIP",
    "KNEE",
    "LIVER",
    "LUNG",
    "PELVIS",
    "RETINA",
    "SPINE",
)
_MAY = {"read": "looks and labels", "edit": "edits"}
_COST_STEPS = 5
"""The slider of a miss's cost goes from 2^-5 to 2^5 false alarms."""


def page(
    draft: Draft,
    condition: ConditionInfo | None,
    parent: ConditionInfo | None,
    revision: int = 0,
    stale: bool = False,
) -> str:
    """The whole screen.

    Args:
        draft: what the fields hold.
        condition: that is edited, or None for a new one.
        parent: that a new one extends, or None.
        revision: of the condition that the fields were filled from.
        stale: whether somebody else has saved since.
    """
    may = condition is None or condition.level is not Level.READ
    key = (
        f"{condition.id}:{condition.revision}"
        if condition is not None
        else f"new:{parent.id if parent else ''}"
    )
    return (
        f"{_head(condition, parent)}"
        f'<form class="wb-define" data-submit="save" data-form="{esc(key)}" autocomplete="off">'
        f'<fieldset{"" if may else " disabled"}><legend class="wb-hidden">Condition</legend>'
        f'<input type="hidden" name="revision" value="{revision}">{_stale() if stale else ""}'
        '<div class="wb-define-grid">'
        f'<div class="wb-stack">{_what(draft, condition)}{_classes(draft, condition)}{_whose(draft)}</div>'
        f'<div class="wb-stack">{_expected(draft)}{_cost(draft)}</div></div>'
        f"{_foot(condition, may)}</fieldset></form>"
    )


def sharing(condition: ConditionInfo) -> str:
    """Who else may open it, and what the owner may do with it as a whole."""
    if condition.level is not Level.OWN:
        return ""
    rows = "".join(
        f"<li><span>{esc(who)}</span><span class='wb-tag'>{_MAY.get(level, level)}</span>"
        f"{button('End', 'unshare', who, 'bare', f'End sharing with {who}')}</li>"
        for who, level in condition.shared
    )
    listed = f'<ul class="wb-people">{rows}</ul>' if rows else '<p class="wb-aside">Only you can open it.</p>'
    away = "Restore" if condition.archived else "Archive"
    asked = (
        f"Delete “{condition.draft.title}” with its scans, labels, versions and readings? This cannot be "
        "undone."
    )
    return (
        '<div class="wb-define-grid wb-define-more">'
        f'<section class="wb-card"><h3>Shared with</h3>{listed}'
        '<form class="wb-share" data-submit="share" data-form="'
        + esc(f"{condition.id}:{len(condition.shared)}")
        + '">'
        '<div class="wb-field"><label for="wb-share-name">Name they sign in with</label>'
        '<input id="wb-share-name" name="who" maxlength="120" placeholder="Name, or * for everybody"></div>'
        '<div class="wb-field"><label for="wb-share-level">May</label><select id="wb-share-level" '
        'name="level">'
        '<option value="read">look and label</option><option value="edit">edit</option></select></div>'
        '<button class="wb-button wb-quiet">Share</button></form></section>'
        '<section class="wb-card"><h3>As a whole</h3>'
        '<p class="wb-aside">Extend it to another population or scanner, or by a class: a new condition '
        "begins with "
        "copies of these labelled scans, and this one stays as it is.</p>"
        f'<div class="wb-line wb-define-whole">{button("Extend", "extend", condition.id)}'
        f"{button(away, away.lower(), condition.id)}"
        f"{button('Delete', 'delete', condition.id, 'danger', confirm=asked)}</div></section></div>"
    )


def _stale() -> str:
    return (
        '<div class="wb-notice wb-warning wb-stale" role="alert"><span>Somebody else saved this condition '
        "while "
        "you were editing. Nothing of theirs was changed, and what you typed is still here.</span>"
        f'<div class="wb-line">{button("See theirs", "theirs")}{button("Save mine over it", "mine")}</div>'
        "</div>"
    )


def _head(condition: ConditionInfo | None, parent: ConditionInfo | None) -> str:
    if condition is not None:
        lead = "What you are looking for, and in whom. A class keeps its labels when it is renamed."
        if condition.level is Level.READ:
            lead = f"Shared with you by {esc(condition.owner)} to look at and to label."
        return heading("Define", lead)
    if parent is not None:
        lead = (
            f"Begins with copies of the labelled scans of “{esc(parent.draft.title)}”, which stays as it is."
        )
        return heading("Extend to a new population or class", lead)
    lead = "A name is enough to begin; everything else can wait, and be changed later."
    return heading("What are you looking for?", lead)


def _what(draft: Draft, condition: ConditionInfo | None) -> str:
    focus = " data-focus" if condition is None else ""
    return (
        '<section class="wb-card"><div class="wb-field wb-title-field"><label for="wb-title">Condition'
        "</label>"
        f'<input id="wb-title" name="title" value="{esc(draft.title)}" maxlength="200" required{focus} '
        'placeholder="e.g. osteoporosis on knee radiographs"></div></section>'
    )


def _classes(draft: Draft, condition: ConditionInfo | None) -> str:
    counts = {one.name: one for one in condition.classes} if condition is not None else {}
    rows = []
    for index, name in enumerate(draft.classes):
        held = counts.get(name)
        count = (
            f"<small>{plural(held.scans, 'scan')}</small>"
            if held is not None and held.scans
            else "<small></small>"
        )
        shut = len(draft.classes) <= MIN_CLASSES
        spoken = f"Remove class {index + 1}"
        first = "the finding looked for" if index == 0 else f"class {index + 1}"
        rows.append(
            f'<li><kbd aria-hidden="true">{index + 1}</kbd>{swatch(index)}'
            f'<input name="class" value="{esc(name)}" maxlength="60" aria-label="Name of {first}">'
            f"{count}{button(symbol('bin'), 'remove-class', index, 'sign', spoken, disabled=shut)}</li>"
        )
    more = button(f"{symbol('plus')}Add a class", "add-class", disabled=len(draft.classes) >= MAX_CLASSES)
    return (
        '<section class="wb-card"><h3>Classes <small>the first is the finding looked for; the number is '
        "its key</small>"
        f'</h3><ol class="wb-classes">{"".join(rows)}</ol>{more}</section>'
    )


def _whose(draft: Draft) -> str:
    options = "".join(
        f'<option value="{code}"{" selected" if code == draft.modality else ""}>{esc(label)}</option>'
        for code, label in _modalities(draft.modality)
    )
    parts = "".join(f'<option value="{part}">' for part in _PARTS)
    return (
        '<section class="wb-card wb-whose"><div class="wb-field"><label for="wb-modality">Modality</label>'
        f'<select id="wb-modality" name="modality" data-chosen="{esc(draft.modality)}">{options}</select>'
        "</div>"
        '<div class="wb-field"><label for="wb-part">Body part</label>'
        f'<input id="wb-part" name="body_part" value="{esc(draft.body_part)}" maxlength="64" list="wb-parts">'
        f'<datalist id="wb-parts">{parts}</datalist></div>'
        '<div class="wb-field wb-whole"><label for="wb-population">Population</label>'
        '<textarea id="wb-population" name="population" maxlength="2000" placeholder="e.g. women over 60 '
        "seen in an "
        f'outpatient clinic, one scanner">{esc(draft.population)}</textarea>'
        "<small>Kept with the model, so that others know for whom it was made.</small></div></section>"
    )


def _modalities(held: str) -> tuple[tuple[str, str], ...]:
    known = {code for code, _ in _MODALITIES}
    return _MODALITIES if held in known else (*_MODALITIES, (held, held))


def _expected(draft: Draft) -> str:
    shares = draft.prevalence or (None,) * len(draft.classes)
    rows = "".join(
        f'<li>{swatch(index)}<label for="wb-share-{index}">{esc(name or f"Class {index + 1}")}</label>'
        f'<span class="wb-percent"><input id="wb-share-{index}" name="prevalence" inputmode="decimal" '
        'maxlength="6" '
        f'value="{"" if share is None or share < 0 else f"{100 * share:g}"}" placeholder="–"><span>%</span>'
        "</span></li>"
        for index, (name, share) in enumerate(
            zip(draft.classes, _padded(shares, len(draft.classes)), strict=True)
        )
    )
    return (
        '<section class="wb-card"><h3>Expected share among those to be read</h3>'
        '<p class="wb-aside">Ten labelled scans are rarely as mixed as the clinic. With the shares you '
        "expect, "
        "probabilities are stated for your patients. Leave empty if you do not know.</p>"
        f'<ul class="wb-prevalence">{rows}</ul></section>'
    )


def _padded(shares: tuple[float | None, ...], count: int) -> tuple[float | None, ...]:
    return (*shares, *(None,) * count)[:count]


def _cost(draft: Draft) -> str:
    step = max(-_COST_STEPS, min(_COST_STEPS, round(math.log2(draft.miss_cost) * 2) / 2))
    cost = draft.miss_cost
    shown = f"{cost:g}" if cost >= 1 else f"1/{round(1 / cost)}"
    alarms = f"{shown} false alarm{'' if shown == '1' else 's'}"
    finding = esc(draft.classes[0] or "the finding")
    return (
        '<section class="wb-card"><h3 id="wb-cost-title">A miss against a false alarm</h3>'
        f'<input type="range" name="miss_cost" min="-{_COST_STEPS}" max="{_COST_STEPS}" step="0.5" '
        f'value="{step:g}" '
        'data-says="wb-cost-said" aria-labelledby="wb-cost-title" aria-describedby="wb-cost-said">'
        '<div class="wb-ends" aria-hidden="true"><span>false alarms are worse</span><span>misses are worse'
        "</span></div>"
        f'<p id="wb-cost-said" class="wb-cost">Missing one patient with <b>{finding}</b> weighs as much as '
        f"<b data-cost>{alarms}</b>, so it is the better call from a probability of "
        f"<b data-from>{100 / (1 + cost):.0f} %</b> on.</p></section>"
    )


def _foot(condition: ConditionInfo | None, may: bool) -> str:
    if not may:
        return ""
    label = "Save" if condition is not None else "Continue to scans"
    back = button("Cancel", "back", kind="quiet")
    return f'<div class="wb-foot">{back}<button class="wb-button wb-main">{label}</button></div>'
