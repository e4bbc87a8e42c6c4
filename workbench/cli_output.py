"""What the `workbench` command prints: tables, CSV, JSON, progress bars."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from workbench.errors import ScanRefused, WorkbenchError
from workbench.evaluation.plaintext import NOTICE, csv_cell

if TYPE_CHECKING:
    from workbench.adaptation.estimate import Estimate
    from workbench.adaptation.model import AdaptedModel
    from workbench.adaptation.predict import CaseResult, Seen
    from workbench.adaptation.support_quality import SupportFindings
    from workbench.evaluation.cohorts import CohortResult
    from workbench.evaluation.compare import Row
    from workbench.evaluation.performance import Performance
    from workbench.evaluation.trust import CohortTrust
    from workbench.imaging.scan import Finding, Scan
    from workbench.learners.reading import CaseReading


class Format(StrEnum):
    """How readings are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@contextmanager
def bar(title: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, removed when done; call the result with (done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def moving_bar(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar whose title changes; call the result with (title, done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def update(title: str, done: int, total: int) -> None:
            if title not in tasks:
                for task in tasks.values():
                    progress.update(task, visible=False)
                tasks[title] = progress.add_task(title)
            progress.update(tasks[title], completed=done, total=total)

        yield update


def listed(refused: Sequence[ScanRefused], console: Console, most: int = 20) -> None:
    """Name the files that were left out."""
    for refusal in refused[:most]:
        console.print(f"Left out: {refusal}", style="yellow", markup=False, soft_wrap=True)
    if len(refused) > most:
        console.print(f"... and {len(refused) - most} more files.", style="yellow")


def print_findings(
    names: Sequence[str], findings: Sequence[Sequence[Finding]], console: Console, most: int = 3
) -> None:
    """Warnings about labelled scans, each kind once with the scans it concerns."""
    from workbench.imaging.scan import Severity

    found: dict[tuple[str, str], list[tuple[str, Finding]]] = {}
    for name, several in zip(names, findings, strict=True):
        for one in several:
            if one.severity is not Severity.INFO:
                found.setdefault((one.code, one.fix), []).append((name, one))
    for concerned in found.values():
        who = ", ".join(name for name, _ in concerned[:most])
        more = f" and {len(concerned) - most} more" if len(concerned) > most else ""
        one = concerned[0][1]
        text = f"{one.code}: {who}{more}. {one.message} {one.fix}".strip()
        console.print(text, style="yellow", markup=False, soft_wrap=True)


def check_place(path: Path) -> None:
    """Say before the work is done that its result could not be written.

    Raises:
        WorkbenchError: the place is a folder, lies below a file, or may not be written.
    """
    if path.is_dir():
        raise WorkbenchError(f"{path}: is a folder. Name a file in it.")
    above = next(place for place in path.absolute().parents if place.exists())
    if not above.is_dir():
        raise WorkbenchError(
            f"{path}: cannot be written, as {above.name} is not a folder. Choose another place."
        )
    if not os.access(above, os.W_OK):
        raise WorkbenchError(f"{path}: the folder {above} may not be written. Choose another place.")


def counted(number: int, what: str) -> str:
    """``1 patient``, ``2 patients``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def print_support(model: AdaptedModel) -> None:
    """The classes and how many patients taught each."""
    record = model.record
    print(f"Adapted with {record.method} from the weights {record.learner or '(untitled)'!r}.")
    for name, shots in zip(record.classes, record.shots, strict=True):
        print(f"  {name}: {counted(shots, 'patient')}")
    if record.choice:
        print(record.choice)


def print_outlook(model: AdaptedModel) -> None:
    """What can be said of the model as a whole, a sentence a line."""
    if model.outlook is not None:
        print("\nHow far to trust a reading:")
        for statement in model.outlook.statements:
            print(f"  {statement}")


def shares(text: str) -> dict[str, float] | None:
    """Shares by class of ``a=0.9,b=0.1``; None of an empty text.

    Raises:
        WorkbenchError: it is written otherwise.
    """
    if not text.strip():
        return None
    found: dict[str, float] = {}
    for part in text.split(","):
        name, sign, number = part.rpartition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            sign = ""
        if not sign or not name.strip():
            raise WorkbenchError(f"Prevalence: {part.strip()!r} is not CLASS=SHARE. Write a=0.9,b=0.1.")
    return found


def print_estimate(estimate: Estimate) -> None:
    """The leave-one-patient-out estimate."""
    print("\nEstimate, leaving out one patient after the other (same source as the support):")
    print_performance(estimate.performance)


def print_support_findings(found: SupportFindings) -> None:
    """What is doubtful about the labelled scans; a line that nothing was found says what was looked for."""
    print("\nThe labelled scans:")
    for finding in found.findings:
        print(f"  {finding.severity.value}: {finding.message} {finding.fix}".rstrip())
    if not found.findings:
        print("  nothing doubtful found (labels, copies, acquisition).")
    for note in found.limits:
        print(f"  {note}")


def print_performance(found: Performance) -> None:
    """Figures by patient, each with its 95 % interval and n."""
    from workbench.evaluation.performance import said, said_in_percent

    print(f"  accuracy            {said(found.accuracy)}")
    print(f"  balanced accuracy   {said_in_percent(found.balanced_accuracy)}")
    print(f"  AUROC               {said(found.auroc)}")
    for name, value in zip(found.classes, found.sensitivities, strict=True):
        print(f"  sensitivity, {name}: {said(value)}")
    print("  (by patient, scans of unknown patients counted one by one; 95 % intervals)")


def print_trust(found: CohortTrust) -> None:
    """Whether what surrounded the readings of a cohort held."""
    print("Whether the readings could be trusted:")
    for statement in found.statements:
        print(f"  {statement}")


def print_rows(rows: Sequence[Row]) -> None:
    """A comparison as a table, one section for each condition."""
    from workbench.evaluation.tables import gain_text, interval_text

    table = Table(show_edge=False)
    for heading in (
        "condition",
        "way",
        "encoder",
        "method",
        "accuracy %",
        "balanced %",
        "AUROC %",
        "minus raw pixels",
    ):
        table.add_column(heading, overflow="fold")
    last = ""
    for row in rows:
        if last and row.condition != last:
            table.add_section()
        name = f"{row.condition}{' (seen)' if row.seen else ''}" if row.condition != last or row.seen else ""
        last = row.condition
        figures = [interval_text(v) for v in (row.accuracy, row.balanced_accuracy, row.auroc)]
        table.add_row(Text(name), str(row.way), row.encoder, row.method, *figures, gain_text(row.gain))
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)
    if rows:
        print(
            f"{rows[0].shot} labelled patients per class, {rows[0].episodes} episodes; mean (95 % interval)"
        )


def print_case_table(result: CohortResult) -> None:
    """Each case of a cohort with its label and reading."""
    classes = result.record.classes
    table = Table(show_edge=False)
    for heading in ("case", "label", "reading", *(f"p({name})" for name in classes)):
        table.add_column(Text(heading), overflow="fold")
    for case in sorted(result.cases, key=lambda case: case.name.rsplit("/", 1)[-1]):
        best = max(range(len(classes)), key=lambda k: case.probabilities[k])
        style = "" if best == case.truth else "yellow"
        numbers = [f"{p:.3f}" for p in case.probabilities]
        name = case.name.rsplit("/", 1)[-1]
        table.add_row(Text(name), Text(classes[case.truth]), Text(classes[best]), *numbers, style=style)
    Console(width=None if sys.stdout.isatty() else 120, highlight=False).print(table)


def overlay_writer(model: AdaptedModel, folder: Path) -> Seen:
    """Writes a scan with the evidence for the class it was read as, named after the number of its case."""
    from PIL import Image

    from workbench.adaptation.overlay import captioned, overlay
    from workbench.adaptation.saliency import check_explainable, saliency

    check_explainable(model.classifier)
    folder.mkdir(parents=True, exist_ok=True)

    def write(number: int, scan: Scan, reading: CaseReading) -> None:
        found = saliency(model.classifier, scan, reading.classes.index(reading.label))
        picture = captioned(overlay(scan, found), found)
        Image.fromarray(picture).save(folder / f"case-{number:04d}.png")

    return write


def render_cases(cases: Sequence[CaseResult], classes: Sequence[str], form: Format, names: bool) -> str:
    """Readings as text in the form asked for.

    Args:
        cases: what was read.
        classes: of the model.
        form: see `Format`.
        names: whether to name files; they may identify patients, so an export has numbers instead.
    """
    return {Format.TABLE: _table, Format.CSV: _csv, Format.JSON: _json}[form](cases, classes, names)


def print_names(cases: Sequence[CaseResult], console: Console, most: int = 50) -> None:
    """Which file each case number stands for."""
    for case in cases[:most]:
        console.print(f"Case {case.number}: {case.name}", markup=False, soft_wrap=True)
    if len(cases) > most:
        console.print(f"... and {len(cases) - most} more; --names writes the names as well.")


def _table(cases: Sequence[CaseResult], classes: Sequence[str], names: bool) -> str:
    table = Table(show_edge=False)
    appraised = any(case.reading and case.reading.set for case in cases)
    around = ("set", "like the labelled") if appraised else ()
    for heading in ("case", *(("file",) if names else ()), "reading", *classes, *around, "findings"):
        table.add_column(Text(heading), overflow="fold")
    for case in cases:
        who = [Text(str(case.number)), *([Text(case.name)] if names else [])]
        if case.reading is None:
            blank = ["-"] * (1 + len(classes) + len(around))
            table.add_row(*who, *blank, Text(_error(case, names)))
            continue
        findings = " ".join(f.message for f in case.reading.findings)
        numbers = [f"{p:.3f}" for p in case.reading.probabilities]
        said = [Text(_set(case.reading)), Text(_familiar(case.reading))] if appraised else []
        table.add_row(*who, Text(case.reading.label), *numbers, *said, Text(findings))
    width = None if sys.stdout.isatty() else 160
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(table)
    first = next((case.reading for case in cases if case.reading), None)
    console.print(f"{_about(first)} {NOTICE}" if first else NOTICE, markup=False)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def _about(reading: CaseReading) -> str:
    """What holds for all readings of a model."""
    calibrated = "Probabilities are calibrated" if reading.calibrated else "Probabilities are the model's own"
    if reading.prevalence is not None:
        told = zip(reading.classes, reading.prevalence, strict=True)
        calibrated += f", for {', '.join(f'{100 * share:g} % {name}' for name, share in told)}"
    return f"{calibrated}. {reading.set.promise.statement}" if reading.set else f"{calibrated}."


def _set(reading: CaseReading) -> str:
    if reading.set is None:
        return ""
    return ", ".join(reading.set.classes) or "none of these"


def _familiar(reading: CaseReading) -> str:
    found = reading.familiarity
    if found is None or found.usual != found.usual:
        return "too few to say" if found is not None else ""
    return "no" if found.unlike else "yes"


def _csv(cases: Sequence[CaseResult], classes: Sequence[str], names: bool) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    around = ("calibrated", "set", "coverage", "none_of_these")
    headings = (
        *("case", *(("file",) if names else ()), "scan", "patient", "label"),
        *(f"p({name})" for name in classes),
        *(*around, "findings", "error"),
    )
    writer.writerow([csv_cell(h) for h in headings])
    for case in cases:
        who = [str(case.number), *([csv_cell(case.name)] if names else []), case.scan, case.patient]
        if case.reading is None:
            blank = [""] * (1 + len(classes) + len(around) + 1)
            writer.writerow([*who, *blank, csv_cell(_error(case, names))])
            continue
        reading = case.reading
        numbers = [f"{p:.6f}" for p in reading.probabilities]
        said = [
            str(reading.calibrated).lower(),
            csv_cell("; ".join(reading.set.classes)) if reading.set else "",
            f"{reading.set.promise.given:.3f}" if reading.set else "",
            str(reading.none_of_these).lower() if reading.set else "",
        ]
        findings = "; ".join(f.code for f in reading.findings)
        writer.writerow([*who, csv_cell(reading.label), *numbers, *said, csv_cell(findings), ""])
    return out.getvalue()


def _json(cases: Sequence[CaseResult], classes: Sequence[str], names: bool) -> str:
    from workbench.adaptation.plain import as_plain

    objects: list[dict[str, object]] = []
    for case in cases:
        who: dict[str, object] = {"case": case.number, **({"file": case.name} if names else {})}
        if case.reading is None:
            objects.append({**who, "error": _error(case, names)})
            continue
        objects.append({**who, "scan": case.scan, "patient": case.patient, **as_plain(case.reading)})
    return json.dumps(objects, indent=2, ensure_ascii=False) + "\n"


def _error(case: CaseResult, names: bool) -> str:
    if case.refusal is None:
        return ""
    return f"{case.refusal.told if names else case.refusal.reason} {case.refusal.fix}".strip()
