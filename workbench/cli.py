"""The `workbench` command.

Each command is a thin layer: it reads arguments, calls the library and prints. Heavy imports happen inside
the commands, so that ``--help`` answers at once; errors that are the input's fault become one message on
standard error and exit code 2.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from typer.core import TyperGroup

from workbench.cli_deidentify import deidentify
from workbench.cli_output import Format, bar, check_place, listed
from workbench.cli_replay import replay
from workbench.cli_results import results
from workbench.cli_retention import app as retention
from workbench.cli_scans import NoPreambleOption, RemedyOption, VolumeOption, read_options
from workbench.cli_store import audit, backup, restore
from workbench.cli_store import store as stored
from workbench.cli_suggest import suggest, train_query_policy
from workbench.cli_ui import ui
from workbench.cli_users import tokens, users
from workbench.errors import WorkbenchError
from workbench.evaluation.plaintext import NOTICE

if TYPE_CHECKING:
    from workbench.adaptation.model import AdaptedModel
    from workbench.imaging.options import ReadOptions
    from workbench.imaging.region import Region

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
        except OSError as error:
            if error.filename is None:
                raise
            errors.print(
                f"Error: {error.filename}: {error.strerror}.", style="red", markup=False, soft_wrap=True
            )
            raise typer.Exit(INPUT_ERROR) from error


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    invoke_without_command=True,
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


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as installed

        try:
            print(installed("fewshot-workbench"))
        except PackageNotFoundError:
            print("a checkout that is not installed")
        raise typer.Exit


WeightsOption = Annotated[
    str,
    typer.Option(
        "--weights",
        "-w",
        envvar="WORKBENCH_WEIGHTS",
        help="Name of shipped weights (see `workbench weights`) or a .safetensors file of `workbench train`.",
    ),
]
PoolSlicesOption = Annotated[
    int,
    typer.Option(
        "--pool-slices",
        min=0,
        help="Read volumes by this many evenly spaced slices, whose embeddings are averaged, instead of by "
        "the middle one; for weights that read images.",
    ),
]
SlicesOption = Annotated[
    str,
    typer.Option(
        "--slices", help="Read only these slices of every volume: first:last, counted from 1, both included."
    ),
]
BoxOption = Annotated[
    str,
    typer.Option(
        "--box",
        help="Read only this box of every slice: rows,columns as 20:80,30:90 (counted from 1) or "
        "12.5mm:60mm,0mm:45mm.",
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", envvar="WORKBENCH_DATA", help="Folder with datasets; the user cache is searched next."
    ),
]

PrevalenceOption = Annotated[
    str,
    typer.Option(
        help="Share of each class among the patients to be read, e.g. 'benign=0.95,malignant=0.05'; the "
        "probabilities follow. Without it every class counts the same."
    ),
]
CoverageOption = Annotated[
    float | None,
    typer.Option(
        min=0.5,
        max=0.99,
        help="Share of patients whose set is to hold the truth; the model's own by default.",
    ),
]


@app.command()
def adapt(
    support: Annotated[
        Path,
        typer.Argument(
            help="Labelled scans: a folder with one subfolder per class, or a CSV with the columns "
            "file, label and (optional) patient, slices, box."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write the adapted model to (.safetensors).")
    ],
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            "-m",
            help="How to adapt (see `workbench methods`); `auto` on shipped weights, otherwise a file's own.",
        ),
    ] = None,
    weights: WeightsOption = "general",
    estimate: Annotated[
        bool,
        typer.Option(
            help="Estimate the accuracy by leaving out one patient after the other, and look for doubtful "
            "labels, copies and acquisition shortcuts among the labelled scans; without it no prediction set "
            "can be promised."
        ),
    ] = True,
    remedy: RemedyOption = None,
    volume: VolumeOption = None,
    allow_no_preamble: NoPreambleOption = False,
    pool_slices: PoolSlicesOption = 0,
    slices: SlicesOption = "",
    box: BoxOption = "",
    coverage: Annotated[
        float,
        typer.Option(min=0.5, max=0.99, help="Share of patients whose prediction set is to hold the truth."),
    ] = 0.9,
) -> None:
    """Adapt a model to a condition from a few labelled scans of each class.

    Five to twenty patients per class are a good start. The folder's layout:

        my_condition/benign/a.dcm              a scan; its patient is read from the DICOM file
        my_condition/benign/patient7/*.dcm     all scans of one patient
        my_condition/malignant/b.png           an image without a patient: counts as its own

    Examples:

        workbench adapt my_condition/ --out my_condition.safetensors
        workbench adapt labels.csv --out m.safetensors --method linear-probe
        workbench adapt volumes/ --out m.safetensors --pool-slices 16 --slices 10:40
    """
    from workbench.adaptation.appraising import appraised
    from workbench.adaptation.estimate import leave_one_patient_out
    from workbench.adaptation.model import adapt as adapt_to
    from workbench.adaptation.model import load_weights, save_model
    from workbench.adaptation.similar import embedding_findings
    from workbench.adaptation.support_quality import support_findings
    from workbench.cli_output import (
        print_estimate,
        print_findings,
        print_outlook,
        print_support,
        print_support_findings,
    )
    from workbench.data.advice import advice
    from workbench.data.folders import read_examples
    from workbench.data.quality import set_findings
    from workbench.imaging.region import parse_region

    if out.suffix != ".safetensors":
        raise typer.BadParameter("the file must end in .safetensors", param_hint="--out")
    check_place(out)
    region = parse_region(slices, box)
    loaded = load_weights(weights, method, pool_slices)
    with bar("Reading scans", errors) as progress:
        how = read_options(remedy, volume, allow_no_preamble)
        read = read_examples(support, progress, how, loaded.learner.recipe, region)
    listed(read.refused, errors)
    for text in advice(read):
        errors.print(text, style="yellow", markup=False, soft_wrap=True)
    beside = zip(set_findings(read.examples), read.examples, strict=True)
    print_findings(read.names, [(*e.scan.findings, *found) for found, e in beside], errors)
    model = adapt_to(loaded, read.examples, read.classes)
    if model.support is not None:
        print_findings(read.names, embedding_findings(model.classifier, model.support), errors)
    print_support(model)
    found = None
    if estimate and model.support is not None:
        with bar("Leaving out one patient after the other", errors) as progress:
            found = leave_one_patient_out(loaded.learner, model.support, progress)
        print_estimate(found)
        doubtful = support_findings(model.classifier, model.support, found, read.examples)
        print_support_findings(doubtful)
        model = model.with_doubts(doubtful.summary)
    model = appraised(model, found, coverage)
    save_model(model, out)
    print_outlook(model)
    print(f"\nWritten: {out}\n{NOTICE}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Adapted model, written by `workbench adapt`.")],
    scans: Annotated[list[Path], typer.Argument(help="Files, folders (with subfolders) and zips to read.")],
    form: Annotated[Format, typer.Option("--format", "-f", help="How to print the readings.")] = Format.TABLE,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead.")] = None,
    saliency: Annotated[
        Path | None,
        typer.Option(
            help="Folder for one picture of each scan (PNG) that shows where the evidence for the class read "
            "lies, by the model's own account. It proves nothing, and the picture says so."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            "-w",
            envvar="WORKBENCH_WEIGHTS",
            help="Weights the model was adapted from, unless they are among those shipped.",
        ),
    ] = None,
    remedy: RemedyOption = None,
    volume: VolumeOption = None,
    allow_no_preamble: NoPreambleOption = False,
    names: Annotated[
        bool,
        typer.Option(
            "--names", help="Name the files in what is written too; their names may identify patients."
        ),
    ] = False,
    slices: SlicesOption = "",
    box: BoxOption = "",
    prevalence: PrevalenceOption = "",
    coverage: CoverageOption = None,
) -> None:
    """Read new scans with an adapted model.

    A file that cannot be read is reported and the others are read all the same; the command fails only if
    none could be. JSON is a list of objects with `case`, `scan`, `patient`, `label`, `probabilities` by class
    name, `calibrated`, `set` (the classes the scan may plausibly be of, and what that promises),
    `familiarity` (how like the labelled scans it is), `none_of_these` and `findings`; a refused file has
    `case` and `error`. `scan` and `patient` are keyed hashes, the same for the same in one installation only.
    CSV, JSON and whatever goes into a file hold case numbers, not file names; which is which is printed on
    the screen. Whether the scans as a whole drift from the labelled ones is said on standard error.

    Examples:

        workbench predict my_condition.safetensors new_cases/
        workbench predict my_condition.safetensors new_cases/ --prevalence benign=0.95,malignant=0.05
        workbench predict my_condition.safetensors a.dcm b.png --format json --out readings.json
        workbench predict my_condition.safetensors new_cases/ --saliency evidence/
    """
    from workbench.adaptation.model import asking, load_model
    from workbench.adaptation.predict import read_cases, watch_of
    from workbench.cli_output import overlay_writer, print_names, render_cases, shares
    from workbench.imaging.region import parse_region

    if out is not None:
        check_place(out)
    region = parse_region(slices, box)
    adapted = asking(load_model(model, weights), coverage, shares(prevalence))
    if adapted.record.choice:
        errors.print(adapted.record.choice, markup=False, soft_wrap=True)
    options = read_options(remedy, volume, allow_no_preamble)
    watch = watch_of(adapted)
    with bar("Reading scans", errors) as progress:
        seen = overlay_writer(adapted, saliency) if saliency is not None else None
        cases = tuple(read_cases(adapted, scans, progress, options, region, watch, seen))
    if watch is not None:
        errors.print(watch.drift().statement, markup=False, soft_wrap=True)
    on_screen = out is None and form is Format.TABLE
    text = render_cases(cases, adapted.record.classes, form, names or on_screen)
    if not (names or on_screen):
        print_names(cases, errors)
    if out is None:
        sys.stdout.write(text)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8", newline="")
        errors.print(f"Written: {out}", markup=False, soft_wrap=True)
    if not any(case.reading for case in cases):
        listed([c.refusal for c in cases if c.refusal], errors)
        said = "No scan could be read." if cases else "There are no files in what was given."
        errors.print(said, style="red")
        raise typer.Exit(NOTHING_READ)


@app.command()
def evaluate(
    model: Annotated[
        Path | None, typer.Argument(help="Adapted model; with COHORT. Leave both out to compare methods.")
    ] = None,
    cohort: Annotated[
        Path | None,
        typer.Argument(help="Labelled cohort: class folders or a CSV, as for `adapt`."),
    ] = None,
    report: Annotated[
        list[Path] | None,
        typer.Option("--report", "-r", help="Report of the cohort: .html, .json or .csv; may be repeated."),
    ] = None,
    conditions: Annotated[
        str, typer.Option(help="Datasets, separated by commas; those the weights' plan holds out by default.")
    ] = "",
    methods: Annotated[
        str,
        typer.Option(
            help="Methods, separated by commas; raw-pixels and random-encoder are the baselines, "
            "the latter for every other method that leaves the encoder as it is."
        ),
    ] = "prototypical,linear-probe,maml,raw-pixels,random-encoder",
    shots: Annotated[int, typer.Option(min=1, help="Labelled patients per class.")] = 5,
    queries: Annotated[int, typer.Option(min=1, help="Scans per class to read in each episode.")] = 10,
    ways: Annotated[int, typer.Option(min=2, help="Classes per episode, at most.")] = 64,
    episodes: Annotated[int, typer.Option(min=2, help="Episodes per condition.")] = 600,
    seed: Annotated[int, typer.Option(help="Of the episodes and of the random encoder.")] = 0,
    out: Annotated[
        list[Path] | None,
        typer.Option("--out", "-o", help="Table of the comparison: .csv, .json or .md; may be repeated."),
    ] = None,
    weights: WeightsOption = "general",
    data: DataOption = None,
    allow_seen: Annotated[
        bool, typer.Option("--allow-seen", help="Take conditions the weights have seen, and mark them so.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute again what the cache holds.")] = False,
    remedy: RemedyOption = None,
    volume: VolumeOption = None,
    allow_no_preamble: NoPreambleOption = False,
    split: Annotated[
        str, typer.Option(help="Draw episodes from this official split of each dataset (train, val, test).")
    ] = "",
    pool_slices: PoolSlicesOption = 0,
    slices: SlicesOption = "",
    box: BoxOption = "",
    prevalence: PrevalenceOption = "",
    coverage: CoverageOption = None,
) -> None:
    """Measure: methods on episodes of held-out conditions, or one adapted model on a labelled cohort.

    Every figure comes with its 95 % interval. Methods adapt to the same episodes; conditions that the weights
    were made with, or that share an origin with one, are refused. What is done is kept: the same command
    goes on after an interruption.

    A cohort is read once. It is refused if it holds a scan or a patient the model was adapted on.

    Examples:

        workbench evaluate --conditions ham10000,knee_osteoporosis --shots 5 --episodes 600 --out table.md
        workbench evaluate my_condition.safetensors cohort/ --report report.html
    """
    if (model is None) != (cohort is None):
        raise typer.BadParameter("give both an adapted model and a cohort, or neither")
    if model is not None and cohort is not None:
        from workbench.adaptation.model import asking, load_model
        from workbench.cli_output import shares
        from workbench.imaging.region import parse_region

        options = read_options(remedy, volume, allow_no_preamble)
        adapted = load_model(model, None if weights == "general" else weights)
        adapted = asking(adapted, coverage, shares(prevalence))
        _evaluate_cohort(adapted, cohort, report or [], options, parse_region(slices, box))
        return
    from workbench.cli_output import moving_bar, print_rows
    from workbench.data.episodes import EpisodeSpec
    from workbench.evaluation.compare import compare, planned_conditions
    from workbench.evaluation.contestants import contestants
    from workbench.evaluation.tables import check_ending, write_rows
    from workbench.learners.files import load_learner
    from workbench.weights import find_weights

    for path in out or []:
        check_ending(path)
        check_place(path)
    names = _split(conditions) or planned_conditions(load_learner(find_weights(weights)).record)
    entrants = contestants(weights, _split(methods), seed, pool_slices)
    spec = EpisodeSpec(ways=ways, shots=shots, queries=queries, seed=seed)
    with moving_bar(errors) as progress:
        rows = compare(entrants, names, spec, episodes, data, allow_seen, fresh, progress, split)
    print_rows(rows)
    for path in out or []:
        write_rows(rows, path)
        print(f"Written: {path}")
    print(NOTICE)


def _evaluate_cohort(
    adapted: AdaptedModel,
    cohort: Path,
    reports: list[Path],
    options: ReadOptions,
    region: Region | None,
) -> None:
    from workbench.cli_output import counted, print_performance, print_trust
    from workbench.evaluation.cohorts import evaluate_cohort
    from workbench.evaluation.report import check_ending, write_report

    for path in reports:
        check_ending(path)
        check_place(path)
    if adapted.record.region and region is None and cohort.is_dir():
        said = (
            f"The model was adapted to marked parts of scans ({adapted.record.region}); these are read whole."
        )
        errors.print(said, style="yellow", markup=False, soft_wrap=True)
    with bar("Reading the cohort", errors) as progress:
        result = evaluate_cohort(adapted, cohort, progress, options, region)
    listed(result.refused, errors)
    found = result.performance
    print(
        f"{counted(found.patients, 'patient')}, {counted(found.scans, 'scan')} read, "
        f"{counted(len(result.refused), 'file')} left out"
    )
    print_performance(found)
    if result.trust is not None:
        print_trust(result.trust)
    for path in reports:
        write_report(result, path)
        print(f"Written: {path}")
    print(NOTICE)


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the scans, the adapted model and the report.")
    ] = Path("workbench-demo"),
    weights: WeightsOption = "general",
    method: Annotated[str | None, typer.Option("--method", "-m", help="How to adapt.")] = None,
    data: DataOption = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Download nothing: draw phantoms if no set is here.")
    ] = False,
) -> None:
    """Adapt to a demonstration condition, read its held-out cases, write the report.

    Ten labelled scans per class, twenty new cases per class. The condition is a small public set where one
    can be had, and otherwise phantoms drawn by the workbench as real DICOM files; the output says which.
    """
    from workbench.adaptation.model import load_weights, save_model
    from workbench.cli_output import (
        print_case_table,
        print_outlook,
        print_performance,
        print_support,
        print_trust,
    )
    from workbench.demo import run_demo
    from workbench.evaluation.report import Preface, write_report

    loaded = load_weights(weights, method)
    with bar("Reading the cases", errors) as progress:
        done = run_demo(loaded, out, data, not offline, progress)
    print(f"{done.condition.title}\n{done.condition.note}\n")
    print_support(done.model)
    print_case_table(done.result)
    print_performance(done.result.performance)
    if done.result.trust is not None:
        print_trust(done.result.trust)
    print_outlook(done.model)
    save_model(done.model, out / "model.safetensors")
    write_report(done.result, out / "report.html", Preface(done.condition.title, done.condition.note))
    print(f"\nWritten: {out / 'report.html'}, {out / 'model.safetensors'}\n{NOTICE}")


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


@app.command("import-encoder")
def import_encoder(
    source: Annotated[
        Path,
        typer.Argument(
            help="A .safetensors file, or a folder as published (config.json, model.safetensors)."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Weights file to write (.safetensors).")],
    size: Annotated[int, typer.Option(help="Side of the input in pixels, 28 to 224.")] = 224,
    embedding: Annotated[
        str,
        typer.Option(
            help="Of a transformer: cls (class token), mean (of patches), both, or projected (CLIP's space)."
        ),
    ] = "cls",
    unit_length: Annotated[
        bool, typer.Option("--unit-length/--raw", help="Bring embeddings to unit length, or leave them.")
    ] = True,
    mean: Annotated[
        str,
        typer.Option(help="Mean the encoder was trained with, e.g. 0.485,0.456,0.406; else as published."),
    ] = "",
    std: Annotated[str, typer.Option(help="Its standard deviation, the same way.")] = "",
    title: Annotated[str, typer.Option(help="What to call the weights; the source's name by default.")] = "",
    licence: Annotated[
        str, typer.Option(help="The encoder's terms, kept in the file; read from its README.md by default.")
    ] = "",
    trained_on: Annotated[
        str,
        typer.Option(
            "--trained-on",
            help="Datasets (names of `workbench data list`, separated by commas) among its training images: "
            "`evaluate` will not take them for held out.",
        ),
    ] = "",
) -> None:
    """Make weights from a public pre-trained encoder.

    Known are ResNet-50 under torchvision's names (RadImageNet), DINOv2 and RAD-DINO, CLIP, and the vision
    tower of BiomedCLIP. DINOv2 and CLIP need `pip install 'fewshot-workbench[pretrained]'`. Pickles (.pt,
    .pth, .bin) are refused; docs/pretrained.md has the line that converts one, and where to get each.

    Examples:

        workbench import-encoder rad-dino/ --out rad-dino.safetensors
        workbench import-encoder ResNet50.safetensors --out radimagenet.safetensors --licence "non-commercial"
        workbench adapt my_condition/ --weights rad-dino.safetensors --out my_condition.safetensors
    """
    from workbench.backbones.pretrained import EMBEDDINGS
    from workbench.imaging.recipe import MAX_SIZE, MIN_SIZE
    from workbench.weights.importing import import_encoder as make
    from workbench.weights.public import Wishes

    if out.suffix != ".safetensors":
        raise typer.BadParameter("the file must end in .safetensors", param_hint="--out")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise typer.BadParameter(f"must be {MIN_SIZE} to {MAX_SIZE}", param_hint="--size")
    if embedding not in EMBEDDINGS:
        raise typer.BadParameter(f"must be one of {', '.join(EMBEDDINGS)}", param_hint="--embedding")
    if bool(mean) != bool(std):
        raise typer.BadParameter("give both --mean and --std, or neither", param_hint="--mean")
    check_place(out)
    wishes = Wishes(size, embedding, unit_length, _three(mean, "--mean"), _three(std, "--std"))
    done = make(source, out, wishes, title, licence, _split(trained_on))
    record = done.record
    print(f"{record.title}: {record.backbone.name}, {done.dim} numbers for each image of {size} px.")
    if record.licence:
        print(f"Licence: {record.licence}")
    else:
        errors.print(
            "No licence was found. State it with --licence: it travels with the file.", style="yellow"
        )
    if not record.conditions:
        errors.print(
            "Public encoders are trained on public images. Name with --trained-on the datasets this one has "
            "seen, or a figure on them will be too good.",
            style="yellow",
            soft_wrap=True,
        )
    print(f"\nWritten: {out} ({done.bytes / 1e6:.1f} MB)\n{NOTICE}")


def _three(text: str, option: str) -> tuple[float, float, float] | None:
    if not text:
        return None
    try:
        first, second, third = (float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter("must be three numbers, separated by commas", param_hint=option) from error
    return first, second, third


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


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
def benchmark(ctx: typer.Context) -> None:
    """Run the workbench's own benchmarks, from training to the table."""
    from workbench.cli_benchmark import app as benchmark_app

    code = benchmark_app(args=ctx.args or ["--help"], prog_name="workbench benchmark", standalone_mode=False)
    if isinstance(code, int) and code:
        raise typer.Exit(code)


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
def pacs(ctx: typer.Context) -> None:
    """Find, retrieve and send images in an archive (PACS)."""
    from workbench.cli_pacs import app as pacs_app

    code = pacs_app(args=ctx.args or ["--help"], prog_name="workbench pacs", standalone_mode=False)
    if isinstance(code, int) and code:
        raise typer.Exit(code)


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
def continual(ctx: typer.Context) -> None:
    """Keep a memory of conditions; add classes, conditions or populations later, remove, undo."""
    from workbench.cli_continual import app as continual_app

    code = continual_app(args=ctx.args or ["--help"], prog_name="workbench continual", standalone_mode=False)
    if isinstance(code, int) and code:
        raise typer.Exit(code)


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
def scans(ctx: typer.Context) -> None:
    """Look at files before they are used: what each is, and how it is read or why it is refused."""
    from workbench.cli_scans import app as scans_app

    code = scans_app(args=ctx.args or ["--help"], prog_name="workbench scans", standalone_mode=False)
    if isinstance(code, int) and code:
        raise typer.Exit(code)


app.command()(deidentify)
app.command()(replay)


app.command()(ui)
app.command()(results)
app.command()(suggest)
app.command()(train_query_policy)
app.command()(backup)
app.command()(restore)
app.add_typer(audit, name="audit")
app.add_typer(stored, name="store")
app.add_typer(users, name="users")
app.add_typer(retention, name="retention")
app.add_typer(tokens, name="tokens")


if __name__ == "__main__":
    app()
