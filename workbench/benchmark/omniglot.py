"""Omniglot as the papers use it, so that every method can be held against what was published.

Vinyals et al. 2016, section 4.1.1, with the split of Snell et al. 2017: 1,200 characters for training and 423
others for testing, each in four rotations that count as classes of their own, 28x28 pixels, Conv-4. The plan
(``omniglot.yaml``) says how each method is trained and what its paper reports; `train_run` makes its weights
and `evaluate_row` its cells, both resumable. Inductive and transductive readings are different rows.

Each image counts as a patient of its own, unlike everywhere else: the published protocol does not hold
drawers apart, and figures can be compared only under the same protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workbench.backbones import BackboneSpec
from workbench.benchmark.cells import compute_cell
from workbench.benchmark.results import Cell, Decided, Key, Results, digest, method_source
from workbench.data.catalogue import cards
from workbench.data.cohort import Cohort, load_cohort
from workbench.data.episodes import EpisodeSampler, EpisodeSpec
from workbench.data.examples import Features
from workbench.data.pool import Pool
from workbench.errors import PlanError
from workbench.evaluation.memory import cohort_digest
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Optimisation
from workbench.learners.files import LearnerRecord, load_learner, sha256_of
from workbench.training.plan import DataPlan, MethodPlan, Plan, ValidationPlan
from workbench.training.run import train

DATASET = "omniglot_vinyals"
RECIPE = Recipe(size=28, channels=1)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Run(_Part):
    """How one set of weights is made.

    Attributes:
        method, options: see `MethodPlan`.
        start: name of the run whose encoder training starts from; empty for a fresh network.
        transductive: whether normalisers take the statistics of whatever is read together, as in the figures
            published for MAML and its kin.
        ways, shots, queries: of the training episodes.
        batch: episodes (or labelled images) per step.
        steps: of the outer loop.
        learning_rate: of the outer loop.
        weight_decay: of the outer loop.
    """

    method: str
    options: dict[str, Any] = {}
    start: str = ""
    transductive: bool = False
    ways: int | tuple[int, int] = 60
    shots: int | tuple[int, int] = (1, 5)
    queries: Annotated[int, Field(ge=1)] = 5
    batch: Annotated[int, Field(ge=1)] = 1
    steps: Annotated[int, Field(ge=1)] = 3000
    learning_rate: Annotated[float, Field(gt=0)] = 0.002
    weight_decay: Annotated[float, Field(ge=0)] = 0.0001


class Published(_Part):
    """A figure to compare with.

    Attributes:
        way, shot: of the episodes.
        accuracy: per cent.
        source: where it is from.
    """

    way: int
    shot: int
    accuracy: float
    source: str


class Row(_Part):
    """A method in the table.

    Attributes:
        label: what it is called there.
        run: whose weights it uses.
        method: another method on that run's encoder; the run's own if empty.
        options: settings that replace those of the weights.
        ways: numbers of classes to evaluate at.
        published: figures under the same protocol, inductive or transductive like the row.
    """

    label: str
    run: str
    method: str = ""
    options: dict[str, Any] = {}
    ways: tuple[int, ...] = (5,)
    published: tuple[Published, ...] = ()


class OmniglotPlan(_Part):
    """The whole benchmark.

    Attributes:
        seed: of training and episodes.
        episodes: test episodes of each cell.
        queries: images per class that each of them reads.
        shots: support images per class.
        runs, rows: see there.
        looks: what was changed after test episodes had been seen.
    """

    seed: int = 0
    episodes: Annotated[int, Field(ge=1)] = 1000
    queries: Annotated[int, Field(ge=1)] = 15
    shots: tuple[int, ...] = (1, 5)
    runs: dict[str, Run]
    rows: tuple[Row, ...]
    looks: str = ""

    @model_validator(mode="after")
    def _names(self) -> OmniglotPlan:
        for name, run in self.runs.items():
            if run.start and run.start not in self.runs:
                raise ValueError(f"run {name!r} starts from {run.start!r}, which is not a run")
        for row in self.rows:
            if row.run not in self.runs:
                raise ValueError(f"row {row.label!r} uses {row.run!r}, which is not a run")
        labels = [self.key_label(row) for row in self.rows]
        if twice := {label for label in labels if labels.count(label) > 1}:
            raise ValueError(f"row {min(twice)!r} occurs twice")
        return self

    def is_transductive(self, row: Row) -> bool:
        """Whether a row reads its queries together."""
        return self.runs[row.run].transductive

    def key_label(self, row: Row) -> str:
        """The label under which a row's cells are kept."""
        return f"{row.label} (transductive)" if self.is_transductive(row) else row.label

    def keys(self, row: Row) -> Iterator[Key]:
        """The cells of a row."""
        for way in row.ways:
            for shot in self.shots:
                yield Key(self.key_label(row), DATASET, shot, way)


def read_omniglot(path: Path | None = None) -> OmniglotPlan:
    """The plan that comes with the package, or one from a file.

    Raises:
        PlanError: naming the file and the field.
    """
    text = (path or Path(str(resources.files(__package__)), "omniglot.yaml")).read_text(encoding="utf-8")
    try:
        return OmniglotPlan.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the plan"
        raise PlanError(f"{path.name if path else 'omniglot.yaml'}: {where}: {first['msg']}.") from error


@cache
def characters(splits: tuple[str, ...], data: Path | None = None) -> Cohort:
    """The characters of some splits, each image a patient of its own.

    Args:
        splits: of ``train``, ``val`` and ``test``.
        data: data folder; see `workbench.data.catalogue.find_data`.
    """
    whole = load_cohort(cards()[DATASET], RECIPE, data)
    rows = np.flatnonzero(np.isin(whole.splits, splits))
    used, labels = np.unique(whole.labels[rows], return_inverse=True)
    return replace(
        whole,
        images=whole.images[rows],
        labels=labels.astype(np.int64),
        classes=tuple(whole.classes[k] for k in used),
        patients=np.arange(len(rows), dtype=np.int64),
        names=tuple(whole.names[i] for i in rows),
        splits=tuple(whole.splits[i] for i in rows),
    )


def training_plan(plan: OmniglotPlan, name: str) -> Plan:
    """The complete training plan of one run."""
    run = plan.runs[name]
    return Plan(
        name=f"omniglot-{name}",
        seed=plan.seed,
        method=MethodPlan(name=run.method, options=run.options),
        backbone=BackboneSpec(
            "conv4", RECIPE.channels, RECIPE.size, 64, "transductive" if run.transductive else "batch"
        ),
        recipe=RECIPE,
        start=f"omniglot-{run.start}" if run.start else "",
        data=DataPlan(meta_train=(DATASET,)),
        episodes=EpisodeSpec(ways=run.ways, shots=run.shots, queries=run.queries),
        batch=run.batch,
        steps=run.steps,
        checkpoint_every=min(250, run.steps),
        optimisation=Optimisation(learning_rate=run.learning_rate, weight_decay=run.weight_decay),
        augmentation=None,
        validation=ValidationPlan(),
    )


def weights_file(plan: OmniglotPlan, name: str, folder: Path) -> Path:
    """Where a run's weights lie below the benchmark's folder."""
    return folder / name / f"{training_plan(plan, name).name}.safetensors"


def train_run(
    plan: OmniglotPlan,
    name: str,
    folder: Path,
    data: Path | None = None,
    threads: int | None = None,
    progress: bool = True,
) -> Path:
    """Make a run's weights, and first those it starts from; what is there already is not made again.

    Returns:
        The weights file.
    """
    path = weights_file(plan, name, folder)
    start = plan.runs[name].start
    if path.is_file() and made_by(load_learner(path).record, training_plan(plan, name)):
        return path
    source = train_run(plan, start, folder, data, threads, progress) if start else None
    return train(
        training_plan(plan, name),
        folder / name,
        data=data,
        threads=threads,
        progress=progress,
        start=source,
        conditions=[characters(("train", "val"), data)],
    )


def made_by(record: LearnerRecord, plan: Plan) -> bool:
    """Whether weights were made by this plan; checksums are filled in when a run starts."""
    stored = yaml.safe_load(record.plan)
    stored["data"]["checksums"] = {}
    return bool(Plan.model_validate(stored) == plan)


def plan_digest(plan: OmniglotPlan, row: Row) -> str:
    """Digest of all that the plan says about a row's cells, the training of its weights included."""
    return digest(
        [
            row.model_dump(mode="json", exclude={"label", "published", "ways"}),
            training_plan(plan, row.run).model_dump(mode="json"),
            plan.queries,
            plan.seed,
        ]
    )


def evaluate_row(
    plan: OmniglotPlan,
    row: Row,
    folder: Path,
    data: Path | None = None,
    episodes: int | None = None,
    shots: Sequence[int] | None = None,
) -> list[Cell]:
    """The cells of a row, computed where they are missing.

    Args:
        plan, row: see there.
        folder: of the benchmark; the row's run must have made its weights there.
        data: data folder.
        episodes: how many; those of the plan if None.
        shots: which numbers of shots; all if None.
    """
    weights = weights_file(plan, row.run, folder)
    learner = load_learner(weights, row.method or None, row.options).learner
    test = characters(("test",), data)
    decided = Decided(
        plan=plan_digest(plan, row),
        code=method_source(learner.name),
        inputs=digest([sha256_of(weights), _test_digest(data)]),
    )

    def features() -> Features:
        return Features(learner.features(Pool([test]).images))

    cells = []
    for key in plan.keys(row):
        if shots is None or key.shot in shots:
            sampler = EpisodeSampler([test], episodes_of(plan, key.way, key.shot))
            cells.append(
                compute_cell(
                    Results(folder / "cells"), key, decided, learner, cache(features), sampler,
                    episodes or plan.episodes,
                )
            )  # fmt: skip
    return cells


def run_all(
    plan: OmniglotPlan,
    folder: Path,
    rows: Sequence[str] = (),
    shots: Sequence[int] = (),
    episodes: int = 0,
    data: Path | None = None,
    threads: int | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Train and evaluate rows one after the other; what is there already is kept.

    Args:
        plan: see there.
        folder: of the benchmark.
        rows: labels; all of them if empty. A transductive row of the same label is one of them.
        shots: which numbers of shots; all if empty.
        episodes: of each cell; those of the plan if 0.
        data: data folder.
        threads: of torch.
        say: called with one line about each row.

    Raises:
        PlanError: for a label that is not in the plan.
    """
    known = [row.label for row in plan.rows]
    if unknown := [label for label in rows if label not in known]:
        raise PlanError(f"There is no row {unknown[0]!r}. Known: {', '.join(dict.fromkeys(known))}.")
    for row in plan.rows:
        if rows and row.label not in rows:
            continue
        say(f"{plan.key_label(row)}: training (or already trained)")
        train_run(plan, row.run, folder, data, threads, progress=False)
        for cell in evaluate_row(plan, row, folder, data, episodes or None, shots or None):
            mean = 100 * sum(cell.accuracy) / cell.episodes
            say(f"  {cell.key.way}-way {cell.key.shot}-shot: {mean:.2f} % ({cell.episodes} episodes)")


def episodes_of(plan: OmniglotPlan, way: int, shot: int) -> EpisodeSpec:
    """How a cell's episodes are drawn: another stream than that of training, the same for every row."""
    return EpisodeSpec(ways=way, shots=shot, queries=plan.queries, seed=plan.seed + 1)


@cache
def _test_digest(data: Path | None) -> str:
    return cohort_digest(characters(("test",), data))
