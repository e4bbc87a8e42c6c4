"""``workbench retention``: what goes after how many days."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli_ui import DatabaseOption, DataDirOption

if TYPE_CHECKING:
    from workbench.store.database import Store

app = typer.Typer(
    no_args_is_help=True,
    help="""What of the workbench's data goes after how many days; 0 keeps it.

By default only what failed imports leave in their private folders goes, after 7 days. A worker of
`workbench ui` applies the rules once a day; each removal is a line of the audit trail.

Examples:

    workbench retention show
    workbench retention set --cases 90 --artefacts 90
    workbench retention run""",
)
Days = Annotated[int | None, typer.Option(min=0, help="Days; 0 keeps. As it was where not given.")]


@app.command()
def show(data_dir: DataDirOption = None, database: DatabaseOption = "") -> None:
    """Print the rules, and how much they would remove now; nothing is removed."""
    from dataclasses import asdict

    from workbench.service import retention
    from workbench.service.accounts.people import CONSOLE

    with _opened(data_dir, database) as store:
        waiting = {one.rule: one.count for one in retention.preview(store, CONSOLE)}
        for rule, days in asdict(retention.rules(store, CONSOLE)).items():
            said = f"after {days} days; {waiting[rule]} now" if days else "kept"
            print(f"{rule:<12}{said}")


@app.command("set")
def set_(
    spools: Days = None,
    cases: Days = None,
    removed: Days = None,
    conditions: Days = None,
    versions: Days = None,
    artefacts: Days = None,
    data_dir: DataDirOption = None,
    database: DatabaseOption = "",
) -> None:
    """Change rules; the others stay as they are.

    spools: raw uploads of failed imports. cases: cases with readings and opinions, and bundles that hold
    them. removed: scans that somebody took out. conditions: archived conditions, whole. versions: versions
    not in use. artefacts: reports, tables and bundles.
    """
    from dataclasses import replace

    from workbench.service import retention
    from workbench.service.accounts.people import CONSOLE

    given = {
        "spools": spools,
        "cases": cases,
        "removed": removed,
        "conditions": conditions,
        "versions": versions,
        "artefacts": artefacts,
    }
    with _opened(data_dir, database) as store:
        wanted = {rule: days for rule, days in given.items() if days is not None}
        retention.set_rules(store, CONSOLE, replace(retention.rules(store, CONSOLE), **wanted))
    show(data_dir, database)


@app.command()
def run(data_dir: DataDirOption = None, database: DatabaseOption = "") -> None:
    """Apply the rules now; `show` says beforehand how much would go."""
    from workbench.service import retention

    with _opened(data_dir, database) as store:
        for one in retention.apply(store):
            print(f"{one.rule:<12}{one.count} removed (older than {one.days} days)")


def _opened(data_dir: Path | None, database: str) -> AbstractContextManager[Store]:
    from workbench.store.database import Store, default_data_dir

    return closing(Store.open(data_dir or default_data_dir(), database or None))
