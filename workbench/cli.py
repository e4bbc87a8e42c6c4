"""The `workbench` command.

Each command is a thin layer: it reads arguments, calls the library and prints. Heavy imports happen inside
the commands, so that ``--help`` answers at once; errors that are the input's fault become one message on
standard error and exit code 2.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from typer.core import TyperGroup

from workbench.cli_output import Format, bar, listed
from workbench.errors import WorkbenchError

NOTICE = "For research use. Not for diagnostic use."
INPUT_ERROR, NOTHING_READ = 2, 1
errors = Console(stderr=True, highlight=False)


class _Group(TyperGroup):
    """Turns errors that are the input's fault into a message without a traceback."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except WorkbenchError as error:
            errors.print(f"Error: {error}", style="red", markup=False, soft_wrap=True)
            raise typer.Exit(INPUT_ERROR) from error


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=f"""Adapt a model to a new imaging condition from a few labelled scans, and read new cases.

A first session:

    workbench demo
    workbench adapt my_condition/ --out my_condition.safetensors
    workbench predict my_condition.safetensors new_cases/

{NOTICE}""",
)

WeightsOption = Annotated[
    str,
    typer.Option(
        "--weights",
        "-w",
        envvar="WORKBENCH_WEIGHTS",
        help="Name of shipped weights (see `workbench weights`) or a .safetensors file of `workbench train`.",
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", envvar="WORKBENCH_DATA", help="Folder with datasets; the user cache is searched next."
    ),
]


@app.command()
def adapt(
    support: Annotated[
        Path,
        typer.Argument(
            help="Labelled scans: a folder with one subfolder per class, or a CSV with the columns "
            "file, label and (optional) patient."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write the adapted model to (.safetensors).")
    ],
    method: Annotated[
        str | None,
        typer.Option(
            "--method", "-m", help="How to adapt (see `workbench methods`); the weights' own by default."
        ),
    ] = None,
    weights: WeightsOption = "general",
    estimate: Annotated[
        bool, typer.Option(help="Estimate the accuracy by leaving out one patient after the other.")
    ] = True,
) -> None:
    """Adapt a model to a condition from a few labelled scans of each class.

    Five to twenty patients per class are a good start. The folder's layout:

        my_condition/benign/a.dcm              a scan; its patient is read from the DICOM file
        my_condition/benign/patient7/*.dcm     all scans of one patient
        my_condition/malignant/b.png           an image without a patient: counts as its own

    Examples:

        workbench adapt my_condition/ --out my_condition.safetensors
        workbench adapt labels.csv --out m.safetensors --method linear-probe
    """
    from workbench.adaptation.estimate import leave_one_patient_out
    from workbench.adaptation.model import adapt as adapt_to
    from workbench.adaptation.model import load_weights, save_model
    from workbench.cli_output import print_estimate, print_support
    from workbench.data.folders import read_examples

    if out.suffix != ".safetensors":
        raise typer.BadParameter("the file must end in .safetensors", param_hint="--out")
    loaded = load_weights(weights, method)
    with bar("Reading scans", errors) as progress:
        read = read_examples(support, progress)
    listed(read.refused, errors)
    model = adapt_to(loaded, read.examples, read.classes)
    save_model(model, out)
    print_support(model)
    if estimate and model.support is not None:
        with bar("Leaving out one patient after the other", errors) as progress:
            print_estimate(leave_one_patient_out(loaded.learner, model.support, progress))
    print(f"\nWritten: {out}\n{NOTICE}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Adapted model, written by `workbench adapt`.")],
    scans: Annotated[list[Path], typer.Argument(help="Files, folders (with subfolders) and zips to read.")],
    form: Annotated[Format, typer.Option("--format", "-f", help="How to print the readings.")] = Format.TABLE,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead.")] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            "-w",
            envvar="WORKBENCH_WEIGHTS",
            help="Weights the model was adapted from, unless they are among those shipped.",
        ),
    ] = None,
) -> None:
    """Read new scans with an adapted model.

    A file that cannot be read is reported and the others are read all the same; the command fails only if
    none could be. JSON is a list of objects with `file`, `label`, `probabilities` by class name and
    `findings`; a refused file has `error` instead.

    Examples:

        workbench predict my_condition.safetensors new_cases/
        workbench predict my_condition.safetensors a.dcm b.png --format json --out readings.json
    """
    from workbench.adaptation.model import load_model
    from workbench.adaptation.predict import read_cases
    from workbench.cli_output import render_cases

    adapted = load_model(model, weights)
    with bar("Reading scans", errors) as progress:
        cases = tuple(read_cases(adapted.classifier, scans, progress))
    text = render_cases(cases, adapted.record.classes, form)
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text, encoding="utf-8", newline="")
        errors.print(f"Written: {out}", markup=False, soft_wrap=True)
    if not any(case.reading for case in cases):
        listed([c.refusal for c in cases if c.refusal], errors)
        errors.print("No scan could be read.", style="red")
        raise typer.Exit(NOTHING_READ)


@app.command()
def methods() -> None:
    """List the methods a model can be adapted with."""
    from workbench.learners import learners

    for name, kind in learners().items():
        print(f"{name:22} {kind.citation}")


@app.command()
def weights() -> None:
    """List the weights that came with the workbench."""
    from workbench.learners.files import load_learner
    from workbench.weights import find_weights, shipped

    for name in shipped():
        loaded = load_learner(find_weights(name))
        record = loaded.record
        print(
            f"{name:22} {record.method} on {record.backbone.name}, {record.recipe.size} px, "
            f"{len(record.conditions)} conditions, SHA-256 {loaded.sha256[:12]}"
        )
    if not shipped():
        print("No weights came with this installation. Make some with `workbench train PLAN.yaml`.")


@app.command()
def train(
    plan: Annotated[
        Path, typer.Argument(help="Training plan (YAML): conditions, method, backbone, steps, seeds.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder: checkpoints, logs and the weights.")],
    data: DataOption = None,
    threads: Annotated[int | None, typer.Option(help="Threads of arithmetic; all cores by default.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that prepare batches.")] = 0,
) -> None:
    """Meta-train a learner on many conditions.

    Run the same command again to resume after an interruption: at most one checkpoint interval is lost and
    the sequence of episodes continues.

    Example:

        workbench train plan.yaml --out runs/mine --data datasets/
    """
    from workbench.training.plan import read_plan
    from workbench.training.run import train as run

    path = run(read_plan(plan), out, data, workers=workers, threads=threads, progress=sys.stderr.isatty())
    print(f"Written: {path}\n{NOTICE}")


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
def data(ctx: typer.Context) -> None:
    """Find out which datasets there are, download them, and look them over."""
    from workbench.cli_data import app as data_app

    # A group of its own, started here so that its imports do not slow down every other command.
    code = data_app(args=ctx.args or ["--help"], prog_name="workbench data", standalone_mode=False)
    if isinstance(code, int) and code:
        raise typer.Exit(code)


@app.command()
def ui(
    host: Annotated[
        str, typer.Option(help="Address to listen on; the default is this machine only.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; the next free one if it is taken.")] = 7860,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Where conditions and scans are kept while you work.")
    ] = None,
) -> None:
    """Start the web interface."""
    from ui.app import launch

    launch(host=host, port=port, data_dir=data_dir)


if __name__ == "__main__":
    app()
