"""``workbench benchmark``: whole tables from one plan each, resumable, one command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.evaluation.plaintext import NOTICE

app = typer.Typer(
    help="Run a benchmark from its plan, or render what has been measured so far.", no_args_is_help=True
)
FAILED = 1


@app.callback()
def _main() -> None:
    pass


@app.command()
def medical(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Run folder: encoders, finished methods and measured cells.")
    ],
    tables: Annotated[
        Path | None, typer.Option(help="Folder for the tables and the plot; the run folder by default.")
    ] = None,
    rows: Annotated[str, typer.Option(help="Labels of rows, separated by commas; all by default.")] = "",
    folds: Annotated[str, typer.Option(help="Numbers of folds, from 1.")] = "",
    conditions: Annotated[str, typer.Option(help="Held-out conditions to measure.")] = "",
    shots: Annotated[str, typer.Option(help="Labelled patients per class to measure.")] = "",
    episodes: Annotated[int, typer.Option(min=0, help="Of each cell; 0 for what the plan says.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of arithmetic in each process.")] = 1,
    render: Annotated[bool, typer.Option("--render", help="Only write the tables of what is there.")] = False,
    plan: Annotated[
        Path | None, typer.Option(help="Another plan (YAML) than the one that comes with the workbench.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", envvar="WORKBENCH_DATA", help="Folder searched for datasets."),
    ] = None,
) -> None:
    """Every method on 28 held-out imaging conditions, at 1, 5 and 10 labelled patients per class.

    Run the same command again to go on after an interruption: encoders, finished methods and measured cells
    are kept in the run folder, and a method whose source has changed is computed again.

    Example:

        workbench benchmark medical --out runs/medical --jobs 2 --tables docs/benchmarks
    """
    from workbench.benchmark.medical import Asked, Run, run_all
    from workbench.benchmark.medical_plan import packaged_plan, read_medical
    from workbench.benchmark.render import write_tables

    chosen = read_medical(plan) if plan else packaged_plan()
    run = Run(chosen, out.resolve(), data, threads)
    asked = Asked(
        rows=_split(rows),
        folds=_numbers(folds, "--folds"),
        conditions=_split(conditions),
        shots=_numbers(shots, "--shots"),
        episodes=episodes,
    )
    failures = () if render else run_all(run, asked, jobs, _say)
    for path in write_tables(run, tables or out, asked):
        print(f"Written: {path}")
    for failure in failures:
        _say(f"Not done: {failure.what}: {failure.reason}")
    print(NOTICE)
    if failures:
        raise typer.Exit(FAILED)


@app.command()
def omniglot(
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder: weights and measured cells.")],
    tables: Annotated[
        Path | None, typer.Option(help="Folder for the tables; the run folder by default.")
    ] = None,
    rows: Annotated[str, typer.Option(help="Labels of rows, separated by commas; all by default.")] = "",
    shots: Annotated[str, typer.Option(help="Images per class in the support to measure.")] = "",
    episodes: Annotated[int, typer.Option(min=0, help="Of each cell; 0 for what the plan says.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of arithmetic.")] = 1,
    render: Annotated[bool, typer.Option("--render", help="Only write the tables of what is there.")] = False,
    plan: Annotated[
        Path | None, typer.Option(help="Another plan (YAML) than the one that comes with the workbench.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", envvar="WORKBENCH_DATA", help="Folder searched for datasets."),
    ] = None,
) -> None:
    """Every method on Omniglot (Vinyals split, rotations, Conv-4), beside what its paper reports.

    Run the same command again to go on after an interruption: weights and measured cells are kept in the run
    folder. Some hours on two cores.

    Example:

        workbench benchmark omniglot --out runs/omniglot --tables docs/benchmarks
    """
    from workbench.benchmark.omniglot import read_omniglot, run_all
    from workbench.benchmark.omniglot_table import write_tables
    from workbench.benchmark.results import Results

    chosen = read_omniglot(plan)
    if not render:
        run_all(chosen, out, _split(rows), _numbers(shots, "--shots"), episodes, data, threads, _say)
    for path in write_tables(chosen, Results(out / "cells"), tables or out):
        print(f"Written: {path}")
    print(NOTICE)


@app.command()
def querying(
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder: measured curves.")],
    tables: Annotated[
        Path | None, typer.Option(help="Folder for the tables and plots; the run folder by default.")
    ] = None,
    strategies: Annotated[
        str, typer.Option(help="Query strategies, separated by commas; all by default.")
    ] = "",
    batches: Annotated[
        str, typer.Option(help="Labels asked for at a time; all of the plan by default.")
    ] = "",
    episodes: Annotated[int, typer.Option(min=0, help="Of each condition; 0 for what the plan says.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    render: Annotated[bool, typer.Option("--render", help="Only write the tables of what is there.")] = False,
    plan: Annotated[
        Path | None, typer.Option(help="Another plan (YAML) than the one that comes with the workbench.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", envvar="WORKBENCH_DATA", help="Folder searched for datasets."),
    ] = None,
) -> None:
    """Which scan to label next: accuracy against labels for every query strategy, on held-out conditions.

    Run the same command again to go on after an interruption: measured curves are kept in the run folder.
    About an hour on one quiet core.

    Example:

        workbench benchmark querying --out runs/querying --jobs 2 --tables docs/benchmarks
    """
    from workbench.benchmark.querying import QueryingRun, run_all
    from workbench.benchmark.querying_page import write_tables
    from workbench.benchmark.querying_plan import read_querying

    run = QueryingRun(read_querying(plan), out.resolve(), data, episodes)
    if not render:
        run_all(run, _split(strategies), _numbers(batches, "--batches"), jobs, _say)
    for path in write_tables(run, tables or out):
        print(f"Written: {path}")
    print(NOTICE)


@app.command()
def volumes(
    plan: Annotated[
        Path, typer.Argument(help="Plan of the benchmark (YAML); the training plans it names lie beside it.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder: the encoders that it trains.")],
    tables: Annotated[
        Path | None, typer.Option(help="Folder for the tables; the run folder by default.")
    ] = None,
    episodes: Annotated[int, typer.Option(min=0, help="Of each row; 0 for what the plan says.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of arithmetic while training.")] = 1,
    data: Annotated[
        Path | None,
        typer.Option("--data", envvar="WORKBENCH_DATA", help="Folder searched for datasets."),
    ] = None,
) -> None:
    """How volumes are best read from a few patients: the middle slice, pooled slices, or a 3-D encoder.

    Run the same command again to go on after an interruption: encoders and episodes are kept.

    Example:

        workbench benchmark volumes benchmarks/plans/volumes-benchmark.yaml --out runs/volumes
    """
    from rich.console import Console

    from workbench.benchmark.volumes import read_volumes_plan, run_volumes
    from workbench.benchmark.volumes_table import as_markdown, write_volumes
    from workbench.cli_output import moving_bar

    chosen = read_volumes_plan(plan)
    with moving_bar(Console(stderr=True)) as progress:
        rows = run_volumes(chosen, plan.parent, out, episodes, data, threads, progress)
    print(as_markdown(chosen, rows))
    for path in write_volumes(chosen, plan.parent, rows, tables or out):
        print(f"Written: {path}")


@app.command()
def reading(
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder: readings of every episode.")],
    tables: Annotated[
        Path | None, typer.Option(help="Folder for the page and the plot; the run folder by default.")
    ] = None,
    episodes: Annotated[
        int, typer.Option(min=2, help="Of each condition at 5 patients per class; a third of them at 10.")
    ] = 32,
    fit: Annotated[
        Path | None,
        typer.Option(
            help="Only learn from the meta-validation conditions what readings need to know beforehand, and "
            "write it to this file."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", envvar="WORKBENCH_DATA", help="Folder searched for datasets."),
    ] = None,
) -> None:
    """Can what surrounds a reading be believed? Calibration, sets, shift and forecasts on 16 real conditions.

    Nine conditions held out from the shipped encoder, and seven that only chose its checkpoint, each read
    with what was learned elsewhere. Run the same command again to go on after an interruption. About a
    quarter of an hour on one core.

    Examples:

        workbench benchmark reading --out runs/reading --tables docs/benchmarks
        workbench benchmark reading --out runs/reading \
            --fit workbench/adaptation/experiences/general.safetensors
    """
    from workbench.benchmark.reading import Bench, Settings
    from workbench.benchmark.reading_run import learn, run

    bench = Bench(Settings(out.resolve(), data, episodes), _say)
    written = (learn(bench, fit),) if fit is not None else run(bench, tables or out)
    for path in written:
        print(f"Written: {path}")
    print(NOTICE)


@app.command()
def continual(
    tables: Annotated[Path, typer.Option("--tables", "-t", help="Folder for the table, figures and plot.")],
    runs: Annotated[int, typer.Option(min=2, help="Orders of the conditions.")] = 5,
    conditions: Annotated[
        str, typer.Option(help="Conditions, separated by commas; the nine held-out ones by default.")
    ] = "",
    shots: Annotated[int, typer.Option(min=1, help="Labelled patients per class.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Threads of arithmetic.")] = 1,
    data: Annotated[
        Path | None,
        typer.Option("--data", envvar="WORKBENCH_DATA", help="Folder searched for datasets."),
    ] = None,
) -> None:
    """Conditions learned one after another: who forgets what.

    Fine-tuning (plain, EWC, LwF, replay), OML and prototypes on cached embeddings of the shipped encoder,
    over conditions it has not seen. Some ten minutes on one core.

    Example:

        workbench benchmark continual --tables docs/benchmarks
    """
    import torch

    from workbench.benchmark.continual import ContinualPlan, run_continual
    from workbench.benchmark.continual_page import write_page

    torch.set_num_threads(threads)
    plan = ContinualPlan(conditions=_split(conditions) or ContinualPlan().conditions, runs=runs, shots=shots)
    for path in write_page(run_continual(plan, data, _say), tables):
        print(f"Written: {path}")
    print(NOTICE)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())


def _numbers(text: str, option: str) -> tuple[int, ...]:
    try:
        return tuple(int(name) for name in _split(text))
    except ValueError as error:
        raise typer.BadParameter("numbers separated by commas", param_hint=option) from error
