"""``workbench continual``: a memory of conditions that grows, without re-uploading what it knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from workbench.evaluation.plaintext import NOTICE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.adaptation.memory import ConditionMemory
    from workbench.adaptation.retention import Retained

errors = Console(stderr=True, highlight=False)
app = typer.Typer(
    help="""Keep conditions, and add classes, conditions or populations later.

A memory holds embeddings of labelled scans, never pixels. Adapting to one of its conditions needs no scan
again; adding a condition changes none of the others.

    workbench continual add memory.safetensors "lung nodule" nodules/
    workbench continual add memory.safetensors "lung nodule" other_site/ --population "site B"
    workbench continual model memory.safetensors "lung nodule" --out nodule.safetensors
    workbench continual undo memory.safetensors
""",
    no_args_is_help=True,
)
MemoryArgument = Annotated[Path, typer.Argument(help="Memory file (.safetensors).")]
NameArgument = Annotated[str, typer.Argument(help="Name of the condition.")]
WeightsOption = Annotated[
    str,
    typer.Option("--weights", "-w", envvar="WORKBENCH_WEIGHTS", help="Weights that embed; always the same."),
]
MethodOption = Annotated[
    str | None, typer.Option("--method", "-m", help="How to adapt: any method on frozen embeddings.")
]


@app.command()
def add(
    memory: MemoryArgument,
    condition: NameArgument,
    support: Annotated[Path, typer.Argument(help="Labelled scans: class folders or a CSV, as for `adapt`.")],
    population: Annotated[
        str, typer.Option(help="Site or scanner the scans are from, for a condition that is known already.")
    ] = "first",
    weights: WeightsOption = "general",
    method: MethodOption = None,
    report: Annotated[
        bool,
        typer.Option(help="Report all conditions and populations before and after, by left-out patients."),
    ] = True,
) -> None:
    """Remember labelled scans: a new condition, or classes, patients or a population of a known one.

    The file is made if it is not there. A folder with a single class is enough for a condition that is known.

    Examples:

        workbench continual add memory.safetensors "lung nodule" nodules/
        workbench continual add memory.safetensors "lung nodule" new_class/
        workbench continual add memory.safetensors "lung nodule" site_b/ --population "site B"
    """
    from workbench.adaptation.memory import ConditionMemory, load_memory, remember, save_memory
    from workbench.adaptation.model import load_weights
    from workbench.adaptation.retention import retention_report
    from workbench.cli_output import bar, check_place, listed
    from workbench.data.examples import Example
    from workbench.data.folders import iter_examples
    from workbench.errors import ScanRefused

    check_place(memory)
    loaded = load_weights(weights, method)
    before = load_memory(memory) if memory.exists() else ConditionMemory(loaded.record.title, loaded.sha256)
    with bar("Reading scans", errors) as progress:
        read = [one.outcome for one in iter_examples(support, progress)]
    listed([one for one in read if isinstance(one, ScanRefused)], errors)
    after = remember(before, loaded, condition, [e for e in read if isinstance(e, Example)], population)
    save_memory(after, memory)
    print(after.versions[-1].said)
    if report:
        with errors.status("Leaving out one patient after the other"):
            rows = retention_report(loaded.learner, before, after)
        _print_retained(rows)
    print(f"\nWritten: {memory}\n{NOTICE}")


@app.command()
def show(memory: MemoryArgument) -> None:
    """List the conditions of a memory and the changes that can be undone."""
    from workbench.adaptation.memory import load_memory

    _print_memory(load_memory(memory))


@app.command()
def remove(
    memory: MemoryArgument,
    condition: NameArgument,
    label: Annotated[str | None, typer.Option("--class", help="One class of it only.")] = None,
    for_good: Annotated[
        bool,
        typer.Option("--for-good", help="Take it out of the file as well: nothing can be undone."),
    ] = False,
) -> None:
    """Remove a condition or one of its classes; `undo` brings it back unless it was for good."""
    from workbench.adaptation.memory import load_memory, save_memory

    after = load_memory(memory).remove(condition, label)
    said = after.versions[-1].said
    save_memory(after.without_history() if for_good else after, memory)
    print(said)


@app.command()
def undo(memory: MemoryArgument) -> None:
    """Go back to the version before the last change."""
    from workbench.adaptation.memory import load_memory, save_memory

    before = load_memory(memory)
    save_memory(before.undo(), memory)
    print(f"Undone: {before.versions[-1].said}")


@app.command()
def model(
    memory: MemoryArgument,
    condition: NameArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="File for the adapted model (.safetensors).")],
    weights: WeightsOption = "general",
    method: MethodOption = None,
) -> None:
    """Adapt to a remembered condition and write the model, as `workbench adapt` does from scans."""
    from workbench.adaptation.memory import load_memory, recall
    from workbench.adaptation.model import load_weights, save_model
    from workbench.cli_output import check_place, print_support

    check_place(out)
    adapted = recall(load_memory(memory), condition, load_weights(weights, method))
    save_model(adapted, out)
    print_support(adapted)
    print(f"\nWritten: {out}\n{NOTICE}")


def _print_memory(memory: ConditionMemory) -> None:
    for condition in memory.conditions:
        counts = memory.counts(condition)
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        populations = ", ".join(memory.populations(condition))
        print(f"{condition} (scans: {listed}; populations: {populations})")
    print("Changes, the last can be undone:")
    for number, version in enumerate(memory.versions):
        print(f"  {number}: {version.said}")


def _print_retained(rows: Sequence[Retained]) -> None:
    from workbench.evaluation.performance import said

    print("\nAccuracy by patient before and after (95 % intervals; patients were left out or never seen):")
    for row in rows:
        before = "other classes or not there" if row.before is None else said(row.before.accuracy)
        new = ", a population new to the model before" if row.was_new and row.before is not None else ""
        same = " (identical)" if row.is_identical else ""
        print(f"  {row.condition}, {row.population}: {before} -> {said(row.after.accuracy)}{same}{new}")
