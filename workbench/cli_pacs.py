"""``workbench pacs``: find, retrieve and send images, and receive what an archive sends."""

from __future__ import annotations

import json
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workbench.cli_output import bar, counted
from workbench.errors import PacsError
from workbench.pacs.archive import Archive, Failure, Limits, Query, Selection, SeriesMatch, StudyMatch
from workbench.pacs.config import archives_path, read_archives
from workbench.pacs.connect import open_archive, warning_of

INCOMPLETE = 3
_GIB = 2**30
errors = Console(stderr=True, highlight=False)

app = typer.Typer(
    no_args_is_help=True,
    help="""Find, retrieve and send images in an archive (PACS), by DICOMweb or DIMSE.

Archives are described in a small TOML file, `archives.toml` in your configuration folder or where
WORKBENCH_ARCHIVES says; docs/pacs.md explains every field. Credentials never stand in it: it names an
environment variable or an entry of the system's keyring.

    [archives.main]
    kind = "dicomweb"
    url = "https://pacs.example.org/dicom-web"
    auth = "basic"
    secret = "keyring:main"

    [archives.old]
    kind = "dimse"
    host = "pacs.example.org"
    port = 2762
    called = "PACS"

A first session:

    workbench pacs echo main
    workbench pacs find main --accession 4711
    workbench pacs retrieve main STUDY --out study/
    workbench predict my_condition.safetensors study/""",
)

Name = Annotated[str, typer.Argument(help="Name of the archive in the archives file.")]


class Form(StrEnum):
    """How matches are printed."""

    TABLE = "table"
    JSON = "json"


@app.command()
def echo(
    archive: Annotated[
        str | None, typer.Argument(help="Name of the archive; all of them by default.")
    ] = None,
) -> None:
    """Ask whether an archive answers and lets us in.

    Exit code 3 if one of several does not.

    Examples:

        workbench pacs echo
        workbench pacs echo main
    """
    file = read_archives()
    if archive is not None:
        _opened(archive).echo()
        print(f"{archive}: answers.")
        return
    if not file.archives:
        errors.print(f"{archives_path().name} describes no archive.", style="yellow")
    failed = False
    for name in file.archives:
        try:
            _opened(name).echo()
            print(f"{name}: answers.")
        except PacsError as error:
            failed = True
            errors.print(str(error), style="red", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(INCOMPLETE)


@app.command()
def find(
    archive: Name,
    patient: Annotated[
        str,
        typer.Option(help="Patient ID, whole; `-` asks for it, so that it is not in your shell's history."),
    ] = "",
    accession: Annotated[str, typer.Option(help="Accession number, whole; `-` asks for it.")] = "",
    since: Annotated[str, typer.Option(help="First study date, e.g. 2026-01-31.")] = "",
    until: Annotated[str, typer.Option(help="Last study date.")] = "",
    modality: Annotated[str, typer.Option(help="CT, MR, DX, US, ...")] = "",
    description: Annotated[
        str, typer.Option(help="Of the study (of the series with --study); `*` stands for any characters.")
    ] = "",
    study: Annotated[str, typer.Option(help="List the series of this study (its UID).")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Matches shown, at most.")] = 100,
    form: Annotated[Form, typer.Option("--format", "-f", help="How to print the matches.")] = Form.TABLE,
) -> None:
    """List studies, or the series of one study.

    At least one criterion is needed. All that are given must match. Many archives compare descriptions with
    regard to case.

    Examples:

        workbench pacs find main --patient - --modality CT
        workbench pacs find main --since 2026-01-01 --description "Chest*"
        workbench pacs find main --study 1.2.840.113619.2.55.3
    """
    query = Query(
        patient=_asked(patient, "Patient ID"),
        accession=_asked(accession, "Accession number"),
        since=since.replace("-", ""),
        until=until.replace("-", ""),
        modality=modality,
        description=description,
        study=study,
        limit=limit,
    )
    if query == Query(limit=limit):
        raise typer.BadParameter("give at least one criterion; nobody needs a list of all patients")
    opened = _opened(archive)
    if query.study:
        _print_series(opened.find_series(query), form)
    else:
        _print_studies(opened.find_studies(query), limit, form)


@app.command()
def retrieve(
    archive: Name,
    study: Annotated[str, typer.Argument(help="UID of the study, from `workbench pacs find`.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the files; new or empty, made private (0700).")
    ],
    series: Annotated[str, typer.Option(help="Only this series (its UID).")] = "",
    most: Annotated[int, typer.Option("--max-instances", min=1, help="Most files.")] = Limits().instances,
    gib: Annotated[float, typer.Option("--max-gib", min=0.001, help="Most GiB in all.")] = Limits().bytes
    / _GIB,
) -> None:
    """Copy a study or series into a private folder, as it is stored.

    Files are numbered. What does not arrive is named and the rest is kept (exit code 3). The folder then goes
    where any folder of scans goes.

    Examples:

        workbench pacs retrieve main 1.2.840.113619.2.55.3 --out study/
        workbench predict my_condition.safetensors study/
    """
    limits = Limits(most, int(gib * _GIB))
    opened = _opened(archive)
    with bar("Retrieving", errors) as progress:
        found = opened.retrieve(Selection(study, series), out, limits, progress)
    print(f"{counted(len(found.files), 'file')} ({found.bytes / 1e6:,.1f} MB) in {out}")
    _incomplete("Not retrieved", found.failed)


@app.command()
def send(
    archive: Name,
    files: Annotated[list[Path], typer.Argument(help="DICOM files, and folders of them.")],
) -> None:
    """Store DICOM files in an archive, byte for byte as they are.

    What is refused is named with the reason and the rest is stored (exit code 3). Nothing is de-identified
    here: an archive gets what the files hold.

    Examples:

        workbench pacs send main results/0001-report.dcm
        workbench pacs send main study/
    """
    paths = [file for path in files for file in _files(path)]
    opened = _opened(archive)
    with bar("Sending", errors) as progress:
        stored = opened.store(paths, progress)
    print(f"{stored.count} of {counted(len(paths), 'file')} stored in {archive}.")
    _incomplete("Not stored", stored.failed)


@app.command()
def listen(
    out: Annotated[Path, typer.Argument(help="Folder for what arrives; new or empty, made private (0700).")],
) -> None:
    """Receive what an archive or a modality sends (C-STORE), until you press Ctrl+C.

    This is the destination for an archive that only moves images (C-MOVE). Who may send, where to listen and
    how much is taken stands in the archives file:

        [receiver]
        title = "WORKBENCH"          # our AE title, which callers must use
        calling = ["PACS"]           # titles that may send
        host = "127.0.0.1"           # this machine only; name an address to be reached from outside
        port = 11112
        certificate = "us.pem"       # TLS; `tls = false` turns it off
        key = "us.key"

    Example:

        workbench pacs listen incoming/
    """
    from workbench.pacs.receiver import listening
    from workbench.pacs.tls import plain_warning

    settings = read_archives().receiver
    if settings is None:
        raise PacsError(
            archives_path().name, "It has no [receiver].", "`workbench pacs listen --help` shows one."
        )
    if warning := plain_warning(settings.host, settings.tls):
        errors.print(warning, style="yellow", soft_wrap=True)
    with listening(settings, out, _told) as receiver:
        print(
            f"{settings.title} listens on {settings.host}, port {settings.port}. Ctrl+C ends it.", flush=True
        )
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            pass
    print(f"\n{counted(len(receiver.inbox.files), 'file')} received, {receiver.refused} refused.")


def _told(files: int) -> None:
    print(f"\r{counted(files, 'file')} received", end="", file=sys.stderr, flush=True)


def _opened(name: str) -> Archive:
    file = read_archives()
    if warning := warning_of(file.archive(name)):
        errors.print(f"{name}: {warning}", style="yellow", markup=False, soft_wrap=True)
    return open_archive(name, file)


def _asked(value: str, what: str) -> str:
    return str(typer.prompt(what, hide_input=True)) if value == "-" else value


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))


def _incomplete(title: str, failed: tuple[Failure, ...], most: int = 20) -> None:
    for failure in failed[:most]:
        errors.print(
            f"{title}: {failure.what}: {failure.reason}", style="yellow", markup=False, soft_wrap=True
        )
    if len(failed) > most:
        errors.print(f"... and {len(failed) - most} more.", style="yellow")
    if failed:
        raise typer.Exit(INCOMPLETE)


def _print_studies(found: tuple[StudyMatch, ...], limit: int, form: Form) -> None:
    rows = [
        {
            "date": one.date,
            "modalities": " ".join(one.modalities),
            "description": one.description,
            "patient": one.patient,
            "accession": one.accession,
            "instances": one.instances,
            "study": one.uid,
        }
        for one in found
    ]
    _print(rows, form)
    if len(found) == limit:
        errors.print(f"The first {limit} are shown; there may be more (--limit).", style="yellow")


def _print_series(found: tuple[SeriesMatch, ...], form: Form) -> None:
    rows = [
        {
            "number": one.number,
            "modality": one.modality,
            "description": one.description,
            "instances": one.instances,
            "series": one.uid,
        }
        for one in found
    ]
    _print(rows, form)


def _print(rows: list[dict[str, str | int | None]], form: Form) -> None:
    if form is Form.JSON:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    if not rows:
        print("Nothing matches.")
        return
    table = Table(show_edge=False)
    for heading in rows[0]:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(table)
