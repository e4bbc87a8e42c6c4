"""A class's tray: its scans as thumbnails, what was found about them, and the files that were refused."""

from __future__ import annotations

from ui.former.render.markup import button, esc, findings, icon, plural, refusals, short, state_of
from ui.former.session import HeldScan, Session, Tray
from workbench.imaging.scan import Finding

SHOWN_DIGITS = 6


def heading(tray: Tray, index: int) -> str:
    """Name of the class, and how many scans of how many patients it has."""
    if tray.scans:
        count = f"{plural(len(tray.scans), 'scan')} · {plural(tray.patients, 'patient')}"
    else:
        count = "no scans yet"
    empty = (
        button("Clear", "clear", index, "bare", f"Clear {tray.name}") if tray.scans or tray.refused else ""
    )
    return (
        f'<div class="wb-tray-head"><span class="wb-swatch wb-class-{index}"></span>'
        f'<h3>{esc(tray.name)}</h3><span class="wb-count">{count}</span>{empty}</div>'
    )


def body(tray: Tray) -> str:
    """Thumbnails first, then warnings and refusals in words."""
    cards = "".join(_card(held) for held in tray.scans)
    return (
        f'<div class="wb-thumbs">{cards}</div>{_warnings(tray)}{_refused(tray)}'
        if cards or tray.refused
        else ""
    )


def reading(done: int, total: int) -> str:
    """While files are being read."""
    share = f"{100 * done / total:.0f}" if total else "0"
    said = f"Reading {done} of {plural(total, 'file')}" if total else "Reading"
    return (
        f'<div class="wb-progress" role="status"><span>{said}</span>'
        f'<progress max="100" value="{share}" aria-label="{said}"></progress></div>'
    )


def summary(session: Session, missing: str) -> str:
    """One line under all trays."""
    patients = len({held.patient for tray in session.trays for held in tray.scans})
    scans = sum(len(tray.scans) for tray in session.trays)
    if missing:
        return f'<div class="wb-summary">{icon("info")}<span>{esc(missing)}</span></div>'
    few = [tray.name for tray in session.trays if tray.patients < 5]
    said = f"{plural(scans, 'scan')} of {plural(patients, 'patient')}, ready to adapt."
    advice = ""
    if few:
        advice = f" Fewer than five patients in {', '.join(map(esc, few))}: the estimate will be wide."
    return f'<div class="wb-summary">{icon("ok")}<span>{said}{advice}</span></div>'


def patient_name(held: HeldScan) -> str:
    """The pseudonym, short; a scan whose file names no patient says so."""
    return f"Patient {held.patient[:SHOWN_DIGITS]}" if held.scan.patient else "No patient ID"


def describe(held: HeldScan) -> str:
    """Format, modality and size of a scan, as one line of text."""
    slices, rows, columns, _ = held.scan.pixels.shape
    size = f"{columns} × {rows}" + (f" × {slices} slices" if slices > 1 else "")
    modality = "" if held.scan.modality == "OT" else f"{held.scan.modality} · "
    return f"{held.scan.provenance.format} · {modality}{size}"


def _card(held: HeldScan) -> str:
    name = held.scan.provenance.source
    state = state_of(held.shown)
    title = "\n".join([name, patient_name(held), describe(held), *(f.message for f in held.shown)])
    remove = button("×", "remove", held.key, "remove", f"Remove {name}")
    return (
        f'<figure class="wb-thumb wb-{state}" title="{esc(title)}">'
        f'<img src="{held.picture}" alt="{esc(name)}">{icon(state)}{remove}'
        f"<figcaption><b>{esc(name)}</b><span>{esc(patient_name(held))}</span></figcaption></figure>"
    )


def _warnings(tray: Tray) -> str:
    """Each kind of finding once, with the files it concerns."""
    found: dict[str, list[tuple[HeldScan, Finding]]] = {}
    for held in tray.scans:
        for finding in held.shown:
            found.setdefault(finding.code, []).append((held, finding))
    items = "".join(_concerned(pairs, len(tray.scans)) for pairs in found.values())
    return f'<ul class="wb-findings" aria-label="Findings">{items}</ul>' if items else ""


def _concerned(pairs: list[tuple[HeldScan, Finding]], total: int) -> str:
    held, finding = pairs[0]
    first = short(held.scan.provenance.source)
    if len(pairs) == 1:
        who = first
    else:
        count = f"All {total} scans" if len(pairs) == total else plural(len(pairs), "scan")
        same = len({one.message for _, one in pairs}) == 1
        who = count if same else f"{count}, e.g. {first}:"
    return findings((finding,)).replace("<span>", f"<span><b>{esc(who)}</b> ", 1)


def _refused(tray: Tray) -> str:
    if not tray.refused:
        return ""
    return f'<ul class="wb-findings" aria-label="Refused files">{refusals(tray.refused)}</ul>'
