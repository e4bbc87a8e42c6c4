"""``workbench data``: list the catalogue, download sets, look them over."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from workbench.data.card import Card
from workbench.data.catalogue import cards, find_data, get_card, same_origin
from workbench.data.check import CheckReport, Group, check
from workbench.data.fetch import fetch, files_to_fetch
from workbench.errors import FetchError, WorkbenchError

app = typer.Typer(
    help="Find out which datasets there are, download them, and look them over before believing a number.",
    no_args_is_help=True,
)

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", envvar="WORKBENCH_DATA", help="Folder searched for datasets before the user cache."
    ),
]
Cards = Annotated[
    Path | None,
    typer.Option("--cards", help="Folder with further dataset cards (YAML), e.g. of your hospital."),
]
_SHOWN = 5


@app.command("list")
def list_cards(
    data: Data = None,
    folder: Cards = None,
    here: Annotated[bool, typer.Option("--here", help="Only sets that are on this machine.")] = False,
    shippable: Annotated[
        bool, typer.Option("--shippable", help="Only sets whose licence lets trained weights be shipped.")
    ] = False,
) -> None:
    """List the datasets of the catalogue.

    "Weights" says whether weights trained on the set may be passed on ("same licence": only under its own
    terms). "Here" is the folder the files were found in; a set without one is downloaded with
    `workbench data fetch NAME`.
    """
    table = Table(title="Datasets", title_justify="left")
    for column in ("Name", "Title", "Modality", "Classes", "Licence", "Weights", "Here"):
        table.add_column(column, overflow="fold")
    for name, card in _cards(folder).items():
        place = _place(card, data)
        if (here and not place) or (shippable and not card.licence.weights_may_be_shipped):
            continue
        table.add_row(
            name, card.title, card.modality, _classes(card), card.licence.id, _weights(card), place or "-"
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@app.command("fetch")
def fetch_sets(
    names: Annotated[list[str], typer.Argument(help="Names from `workbench data list`.")],
    size: Annotated[
        int | None,
        typer.Option(
            help="Image side in pixels, for sets published in several (MedMNIST: 28, 64, 128, 224)."
        ),
    ] = None,
    folder: Cards = None,
) -> None:
    """Download datasets into the user cache.

    Each file is checked against the checksum its publisher gives and appears only when it is whole; run the
    command again after a broken connection. The rest go on when one cannot be had.
    """
    console, failed = Console(), 0
    for name in names:
        try:
            card = get_card(name, folder)
            known = sum(file.size or 0 for file in files_to_fetch(card, size))
            volume = f", {known / 1e6:.1f} MB" if known else ""
            console.print(f"[bold]{name}[/bold]: {card.licence.id}{volume}. {card.licence.text}")
            found = fetch(card, size)
            if found.unverified:
                files = ", ".join(found.unverified)
                console.print(f"  No checksum is published for {files}: the download cannot be verified.")
            console.print(f"  ready in {found.folder}")
        except WorkbenchError as error:
            failed += 1
            Console(stderr=True).print(f"[red]{error}[/red]", highlight=False)
    if failed:
        raise typer.Exit(1)


@app.command("check")
def check_sets(
    names: Annotated[list[str], typer.Argument(help="Names from `workbench data list`.")],
    data: Data = None,
    folder: Cards = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with an error if anything serious is found.")
    ] = False,
) -> None:
    """Look datasets over: counts, exact and near duplicates, leaks, unreadable files.

    Serious are identical images under two labels or in two official splits, patients in two splits, files
    that cannot be used, and classes too small for five-shot episodes.
    """
    console, serious = Console(), False
    for name in names:
        try:
            card = get_card(name, folder)
            report = check(card, data, progress=sys.stderr.isatty())
        except WorkbenchError as error:
            Console(stderr=True).print(f"[red]{error}[/red]", highlight=False)
            raise typer.Exit(2) from error
        _print_report(console, card, report, folder)
        serious |= bool(report.serious)
    if strict and serious:
        raise typer.Exit(1)


def _print_report(console: Console, card: Card, report: CheckReport, folder: Path | None) -> None:
    splits = sorted({split for count in report.counts for split, _ in count.splits})
    table = Table(title=f"{card.name}: {card.title}", title_justify="left")
    table.add_column("Class")
    for column in ("Images", "Patients", *splits):
        table.add_column(column, justify="right")
    for count in report.counts if len(report.counts) <= 60 else ():
        of_split = dict(count.splits)
        row = [count.name, str(count.images), str(count.patients)]
        table.add_row(*row, *(str(of_split.get(split, 0)) for split in splits))
    table.add_row(f"all {len(report.counts)} classes", str(report.images), "", style="bold")
    console.print(table)
    _print_groups(console, f"{report.copies} exact copies", report.duplicates)
    if report.near is None:
        console.print("near-duplicates: not looked for, the set is too large to compare every pair")
    else:
        alike = sum(len(group.names) for group in report.near)
        _print_groups(console, f"{alike} images in {len(report.near)} groups of near-duplicates", report.near)
    for refusal in report.refused[:_SHOWN]:
        console.print(f"  cannot be used: {refusal}", highlight=False, markup=False)
    for flaw in card.flaws:
        console.print(f"known: {flaw}", highlight=False)
    if others := sorted(same_origin([card.name], folder) - {card.name}):
        console.print(f"same origin (never train on one and test on another): {', '.join(others)}")
    for sentence in report.serious:
        console.print(f"[red]serious:[/red] {sentence}", highlight=False)
    if not report.serious:
        console.print("[green]nothing serious found[/green]")


def _print_groups(console: Console, title: str, groups: tuple[Group, ...]) -> None:
    across = sum(len(group.classes) > 1 for group in groups)
    leaks = sum(len(group.splits) > 1 for group in groups)
    console.print(f"{title}: {across} groups across classes, {leaks} across splits", highlight=False)
    worst = sorted(groups, key=lambda group: (len(group.classes), len(group.splits)), reverse=True)
    for group in worst[:_SHOWN]:
        more = f" and {len(group.names) - 3} more" if len(group.names) > 3 else ""
        console.print(f"  {', '.join(group.names[:3])}{more}", highlight=False, markup=False)


def _cards(folder: Path | None) -> dict[str, Card]:
    try:
        return cards(folder)
    except WorkbenchError as error:
        Console(stderr=True).print(f"[red]{error}[/red]", highlight=False)
        raise typer.Exit(2) from error


def _place(card: Card, data: Path | None) -> str:
    try:
        return str(find_data(card, data))
    except FetchError:
        return ""


def _classes(card: Card) -> str:
    if not card.classes:
        return "many"
    names = ", ".join(one.name for one in card.classes[:3])
    return f"{len(card.classes)}: {names}" + (", ..." if len(card.classes) > 3 else "")


def _weights(card: Card) -> str:
    if not card.licence.weights_may_be_shipped:
        return "no"
    return "same licence" if card.licence.share_alike else "yes"
