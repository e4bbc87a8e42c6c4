"""What a condition may be called and consist of, checked where somebody defines or edits one."""

from __future__ import annotations

from dataclasses import replace

from workbench.errors import SupportError
from workbench.service.kinds import Draft

MIN_CLASSES, MAX_CLASSES = 2, 8
MAX_NAME, MAX_TITLE, MAX_NOTE = 60, 120, 2000
MAX_CODE = 16
MAX_COST = 1000.0
_SUM = 1e-3


def checked(draft: Draft) -> Draft:
    """The draft in its plain form: blanks closed up, codes in capitals, shares that sum to one.

    Raises:
        SupportError: names the field and the fix.
    """
    title = _line(draft.title, MAX_TITLE)
    if not title:
        raise SupportError("The condition has no name. Give it one.")
    classes = tuple(_line(name, MAX_NAME) for name in draft.classes)
    if not MIN_CLASSES <= len(classes) <= MAX_CLASSES:
        raise SupportError(f"Name {MIN_CLASSES} to {MAX_CLASSES} classes.")
    for number, name in enumerate(classes, start=1):
        if not name:
            raise SupportError(f"Class {number} has no name. Name it, or remove it.")
    folded = [name.casefold() for name in classes]
    twice = [name for name in classes if folded.count(name.casefold()) > 1]
    if twice:
        raise SupportError(f"Two classes are called {twice[0]!r}. Give each its own name.")
    if not 0 < draft.miss_cost <= MAX_COST:
        raise SupportError(
            f"The cost of a miss lies above 0 and up to {MAX_COST:g}, not at {draft.miss_cost:g}."
        )
    return replace(
        draft,
        title=title,
        classes=classes,
        modality=_line(draft.modality, MAX_CODE).upper(),
        body_part=_line(draft.body_part, MAX_NAME).upper(),
        population=draft.population.strip()[:MAX_NOTE],
        prevalence=_shares(draft.prevalence, classes),
        method=known_method(draft.method),
    )


def _shares(given: tuple[float, ...] | None, classes: tuple[str, ...]) -> tuple[float, ...] | None:
    if given is None:
        return None
    if len(given) != len(classes):
        raise SupportError(
            "The expected shares and the classes differ in number. Give every class a share, or none."
        )
    for name, share in zip(classes, given, strict=True):
        if not 0 < share < 1:
            raise SupportError(f"The expected share of {name!r} must lie between 0 and 1, not at {share:g}.")
    total = sum(given)
    if abs(total - 1) > _SUM:
        raise SupportError(f"The expected shares sum to {100 * total:g} %, not to 100 %.")
    return tuple(share / total for share in given)


def known_method(name: str) -> str:
    """The method of that name; empty for none.

    Raises:
        SupportError: there is no such method.
    """
    if not name:
        return ""
    # Only here: it brings what computes, which the page's own process needs for nothing else.
    from workbench.learners import learners

    if name not in learners():
        raise SupportError("This method does not exist. Choose one of the list.")
    return name


def _line(text: str, most: int) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:most].strip()
