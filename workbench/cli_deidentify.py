"""The `workbench deidentify` command: copies of scans that name nobody."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from workbench.cli_output import bar, counted
from workbench.evaluation.plaintext import NOTICE

errors = Console(stderr=True, highlight=False)


class Dates(StrEnum):
    """What becomes of dates."""

    DROP = "drop"
    SHIFT = "shift"


def deidentify(
    scans: Annotated[list[Path], typer.Argument(help="Files, folders (with subfolders) and zips.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the copies and the report.")],
    reviewed: Annotated[
        bool,
        typer.Option(
            "--reviewed",
            help="A person has looked at the pixels of every file: no names, no faces. Only then do the "
            "copies say that identity was removed.",
        ),
    ] = False,
    keep_dates: Annotated[
        Dates,
        typer.Option(
            help="`drop` dates and times, or `shift` them by a secret number of days, the same for all files "
            "of a patient, so that intervals stay."
        ),
    ] = Dates.DROP,
) -> None:
    """Write de-identified copies of scans under pseudonymous names, with a report.

    Headers by allow-list (DICOM PS3.15 annex E): what is not known to be harmless is left out. Patient
    numbers and UIDs become keyed ones, so that one patient stays one patient. Pixels are not changed: text
    in them and faces in head volumes are reported for a person to look at.

    Examples:

        workbench deidentify study/ --out copies/
        workbench deidentify study.zip --out copies/ --reviewed --keep-dates shift
    """
    from workbench.imaging.deidentify import deidentify as make
    from workbench.imaging.deidentify_dicom import Wishes
    from workbench.imaging.deidentify_report import as_html, as_json

    with bar("De-identifying", errors) as progress:
        result = make(scans, out, Wishes(reviewed, keep_dates is Dates.SHIFT), lambda n: progress(n, n))
    for case, refusal in result.refused[:20]:
        errors.print(f"Not copied: case {case}, {refusal}", style="yellow", markup=False, soft_wrap=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_text(as_html(result, NOTICE), encoding="utf-8")
    (out / "report.json").write_text(as_json(result, NOTICE), encoding="utf-8")
    print(f"{counted(len(result.written), 'file')} copied, {counted(len(result.refused), 'file')} not.")
    looks = [look for one in result.written for look in one.looks]
    for look in dict.fromkeys(looks):
        print(f"  to be looked at: {counted(looks.count(look), 'file')}, {look.value}")
    if looks:
        print("Look at them, then run the command again with --reviewed.")
    print(f"Written: {out / 'report.html'}\n{NOTICE}")
    if not result.written:
        raise typer.Exit(1)
