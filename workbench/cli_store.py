"""`workbench backup`, `restore`, `audit` and `store`: what whoever runs the workbench does with its data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from workbench.cli_output import bar, counted
from workbench.cli_ui import DatabaseOption, DataDirOption
from workbench.errors import StoreError

if TYPE_CHECKING:
    from workbench.store.audit import Verdict
    from workbench.store.database import Store

errors = Console(stderr=True, highlight=False)
SHOWN = 20
HeadOption = Annotated[
    str,
    typer.Option(
        help="Number and digest of a line, as `audit verify` or `backup` printed them earlier: that line "
        "must still be there. Shows a trail that was cut off or written anew.",
        show_default=False,
    ),
]
audit = typer.Typer(no_args_is_help=True, help="Verify or export the trail of who did what when.")
store = typer.Typer(no_args_is_help=True, help="Look the stored data over.")


def backup(
    file: Annotated[Path, typer.Argument(help="File to write (.zip); must not exist.")],
    data_dir: DataDirOption = None,
    database: DatabaseOption = "",
) -> None:
    """Write everything that is stored to one file, while people work.

    It holds conditions, de-identified scans, labels, models, readings, people with their password hashes, the
    audit trail and the site's signing key; not who is signed in, and no upload that is not imported yet. Keep
    it as safe as the data itself. The key that patients' pseudonyms are made with is in your configuration
    folder, not here: keep a copy of that elsewhere, or later scans of a patient will count as another's.

    Examples:

        workbench backup monday.zip
        WORKBENCH_DATABASE=postgresql://... workbench backup monday.zip --data-dir /srv/workbench
    """
    from workbench.store.backup import backup as write

    with _open(data_dir, database) as opened, bar("Copying files", errors) as progress:
        made = write(opened, file, progress)
    print(f"Written: {file}: {counted(made.rows, 'row')}, {counted(made.blobs, 'file')}.")
    print(f"Audit trail, to be noted elsewhere: {made.audit}")
    if made.lacking:
        _list("Missing or damaged, so not in the backup", made.lacking)
        raise typer.Exit(1)


def restore(
    file: Annotated[Path, typer.Argument(help="Backup, written by `workbench backup`.")],
    data_dir: DataDirOption = None,
    database: DatabaseOption = "",
) -> None:
    """Make a new data folder of a backup; nothing that exists is changed.

    The folder must be empty or missing, and so must the database's tables. A backup of SQLite restores to
    PostgreSQL and the other way round. Everything is compared with the checksums in the backup. Work that
    was under way when it was made is done again; people sign in again.

    Examples:

        workbench restore monday.zip --data-dir /srv/workbench-restored
        workbench restore monday.zip --data-dir /srv/new --database postgresql://user:password@host/name
    """
    from workbench.store.database import default_data_dir
    from workbench.store.restore import restore as bring

    place = data_dir or default_data_dir()
    with bar("Restoring files", errors) as progress:
        made = bring(file, place, database or None, progress)
    print(f"Restored to {place}: {counted(made.rows, 'row')}, {counted(made.blobs, 'file')}.")
    print("Look it over with `workbench store check`.")
    if made.lacking:
        _list("Missing when the backup was made, so missing now", made.lacking)
        raise typer.Exit(1)


@audit.command()
def verify(data_dir: DataDirOption = None, database: DatabaseOption = "", head: HeadOption = "") -> None:
    """Follow the chain of digests from the first line, and name the first that does not hold.

    Lines changed, removed or put in are found. Whoever may write the whole database could write a new chain
    that holds; so note the printed head elsewhere (on paper, in an e-mail) and give it back with --head.

    Examples:

        workbench audit verify
        workbench audit verify --head 1042:5f70bf18a08660e5...
    """
    from workbench.store.audit import verify as follow

    with _open(data_dir, database) as opened:
        verdict = follow(opened, head)
    _print_trail(verdict)
    if verdict.broken is not None:
        raise typer.Exit(1)


@audit.command("export")
def export_trail(
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write (.jsonl); must not exist.")],
    data_dir: DataDirOption = None,
    database: DatabaseOption = "",
) -> None:
    """Write the trail as JSON lines, oldest first, each with its digest and the digest of the line before.

    A digest is the SHA-256 of the line without `digest`, as JSON with sorted keys, no spaces, in UTF-8: so
    anybody can verify the export without the workbench.

    Examples:

        workbench audit export --out audit.jsonl
    """
    import os

    from workbench.store.audit import export

    count = 0
    with _open(data_dir, database) as opened:
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as target:
            for line in export(opened):
                target.write(line + "\n")
                count += 1
    print(f"Written: {out}: {counted(count, 'line')}.")


@store.command()
def check(data_dir: DataDirOption = None, database: DatabaseOption = "", head: HeadOption = "") -> None:
    """Read everything that is stored once: database, files by their digests, audit trail.

    Examples:

        workbench store check
    """
    from workbench.store.check import check as look

    with _open(data_dir, database) as opened, bar("Reading files", errors) as progress:
        health = look(opened, head, progress)
    print("Database: " + ("whole." if not health.database else "damaged."))
    for line in health.database[:SHOWN]:
        print(f"  {line}")
    print(f"Files: {counted(health.files, 'file')}, {len(health.damaged)} missing or damaged.")
    for digest in health.damaged[:SHOWN]:
        print(f"  {digest}")
    _print_trail(health.trail)
    if not health.well:
        print("Restore a backup into a new folder: `workbench restore`.")
        raise typer.Exit(1)


@store.callback()
def _store() -> None:
    """Keeps `check` a command of its own."""


def _print_trail(verdict: Verdict) -> None:
    if verdict.broken is None:
        print(f"Audit trail: whole, {counted(verdict.lines, 'line')}. Its head, to be noted elsewhere:")
        print(f"  {verdict.head}")
    else:
        print(f"{verdict.reason} The {verdict.lines} lines before line {verdict.broken} hold.")


def _list(title: str, digests: tuple[str, ...]) -> None:
    print(f"{title}: {counted(len(digests), 'file')}.")
    for digest in digests[:SHOWN]:
        print(f"  {digest}")


@contextmanager
def _open(data_dir: Path | None, database: str) -> Iterator[Store]:
    """The store that is there; a mistyped folder must not become a new, empty one."""
    from workbench.store.database import DATABASE_FILE, Store, default_data_dir

    place = data_dir or default_data_dir()
    if not (place / ("blobs" if database else DATABASE_FILE)).exists():
        raise StoreError("There is no workbench in that data directory. Name the right one with --data-dir.")
    opened = Store.open(place, database or None)
    try:
        yield opened
    finally:
        opened.close()
