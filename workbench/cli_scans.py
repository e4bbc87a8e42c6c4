"""``workbench scans``: what files are before they are used; and options about reading that commands share."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from workbench.cli_output import bar, check_place
from workbench.evaluation.plaintext import csv_cell

if TYPE_CHECKING:
    from workbench.imaging.inventory import Row
    from workbench.imaging.options import ReadOptions

app = typer.Typer(help="Look at files before they are used.", no_args_is_help=True)
NOTHING_READ = 1


class Remedies(StrEnum):
    """Names of `workbench.imaging.options.Remedy`, spelled out so that ``--help`` imports nothing."""

    LARGEST_REGULAR_BLOCK = "largest-regular-block"
    RESAMPLE_TILT = "resample-tilt"
    KEEP_FIRST_DUPLICATE = "keep-first-duplicate"


class TableFormat(StrEnum):
    """How the table is printed."""

    MD = "md"
    CSV = "csv"


RemedyOption = Annotated[
    list[Remedies] | None,
    typer.Option(
        "--remedy",
        help="What to do about a series that makes no regular volume; may be repeated. Without, it is "
        "reported and left as it is (slices at one place are refused).",
    ),
]
VolumeOption = Annotated[
    int | None,
    typer.Option(
        "--volume",
        min=0,
        help="Which volume of files that hold several (4-D NIfTI, echoes, b-values), from 0; without, the "
        "first, with a warning.",
    ),
]
NoPreambleOption = Annotated[
    bool,
    typer.Option("--allow-no-preamble", help="Read DICOM files without their header, guessing the encoding."),
]


def read_options(remedies: list[Remedies] | None, volume: int | None, allow_no_preamble: bool) -> ReadOptions:
    """What a person chose on the command line."""
    from workbench.imaging.options import ReadOptions, Remedy

    chosen = frozenset(Remedy(remedy) for remedy in remedies or ())
    return ReadOptions(chosen, volume, allow_no_preamble)


@app.callback()
def _main() -> None:
    pass


@app.command()
def check(
    folders: Annotated[list[Path], typer.Argument(help="Folders (with subfolders) or files to look at.")],
    form: Annotated[
        TableFormat, typer.Option("--format", "-f", help="md is short; csv has every column.")
    ] = TableFormat.MD,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead.")] = None,
    remedy: RemedyOption = None,
    volume: VolumeOption = None,
    allow_no_preamble: NoPreambleOption = False,
) -> None:
    """Say of every file how it is encoded, and how it is read or why it is refused.

    Each file is looked at on its own; slices of a series are not put together. Nothing is changed. The
    command fails only if no file could be read.

    Examples:

        workbench scans check incoming/
        workbench scans check incoming/ --format csv --out incoming.csv
        workbench scans check old_disc/ new_disc/ --allow-no-preamble
    """
    from workbench.imaging.inventory import as_markdown, inventory

    options = read_options(remedy, volume, allow_no_preamble)

    if out is not None:
        check_place(out)
    if absent := [folder.name for folder in folders if not folder.exists()]:
        raise typer.BadParameter(f"there is no {', '.join(absent)}", param_hint="FOLDERS")
    console = Console(stderr=True, highlight=False)
    tables: dict[str, tuple[Row, ...]] = {}
    for folder in folders:
        with bar(f"Looking at {folder.name}", console) as progress:
            tables[folder.name] = tuple(inventory(folder, options, progress))
    text = _csv(tables) if form is TableFormat.CSV else as_markdown(tables)
    if out is None:
        sys.stdout.write(text)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8", newline="")
        console.print(f"Written: {out}", markup=False, soft_wrap=True)
    if not any(row.outcome == "read" for rows in tables.values() for row in rows):
        raise typer.Exit(NOTHING_READ)


def _csv(tables: Mapping[str, Sequence[Row]]) -> str:
    from workbench.imaging.inventory import Row

    names = [field.name for field in fields(Row)]
    rows = [row for table in tables.values() for row in table]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([csv_cell(getattr(row, name)) for name in names] for row in rows)
    return out.getvalue()
