"""The medical benchmark: cross-validation over the origins of 28 real conditions.

For each fold an encoder is trained on all other conditions (`encoder_file`); every meta-learned row trains a
layer on it with the same budget (`finished_file`); every row adapts to the same episodes of the conditions
held out (`measure`). All of it is kept in one run folder: ``foldN/`` holds the encoder's run and, below
``finished/``, those of the rows; ``cells/`` the scores (`workbench.benchmark.results`). Called by `workbench
benchmark medical`.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import yaml

from workbench.backbones import BackboneSpec
from workbench.backbones.neck import Necked
from workbench.benchmark.cells import compute_cell
from workbench.benchmark.medical_plan import Base, MedicalPlan, RowPlan
from workbench.benchmark.results import Cell, Decided, Key, Results, backbone_source, digest, method_source
from workbench.data.catalogue import get_card
from workbench.data.cohort import Cohort, load_cohort
from workbench.data.episodes import EpisodeSampler
from workbench.errors import CohortError, ModelFileError, WorkbenchError
from workbench.evaluation.compare import why_seen
from workbench.evaluation.contestants import Contestant, fresh
from workbench.evaluation.memory import cohort_digest, features_of
from workbench.imaging.recipe import Recipe
from workbench.learners.files import LoadedLearner, create, load_learner
from workbench.training.plan import Plan, parse_plan
from workbench.training.run import train
from workbench.training.validation import reduced

Said = Callable[[str], None]
"""Called with one line about what was done."""


@dataclass(frozen=True, slots=True)
class Run:
    """A benchmark on this machine.

    Attributes:
        plan: what to do.
        folder: where everything is kept.
        data: data folder; see `workbench.data.catalogue.find_data`.
        threads: of arithmetic, in each process.
    """

    plan: MedicalPlan
    folder: Path
    data: Path | None = None
    threads: int = 1

    @property
    def results(self) -> Results:
        """The cells measured so far."""
        return Results(self.folder / "cells")


@dataclass(frozen=True, slots=True)
class Asked:
    """A part of the benchmark; empty means all.

    Attributes:
        rows: labels.
        folds: numbers from 1.
        conditions: names.
        shots: numbers.
        episodes: of each cell; 0 for what the plan says.
    """

    rows: tuple[str, ...] = ()
    folds: tuple[int, ...] = ()
    conditions: tuple[str, ...] = ()
    shots: tuple[int, ...] = ()
    episodes: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """One row on one fold: what a process does at a time."""

    row: RowPlan
    fold: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Work that could not be done; the rest goes on without it.

    Attributes:
        what: title of the work.
        reason: message, or traceback of a defect.
    """

    what: str
    reason: str


def works(plan: MedicalPlan, asked: Asked) -> tuple[Work, ...]:
    """What there is to do, cheap rows first: those that need training later, slow adaptations last."""
    # A row that the plan leaves out is computed if it is asked for by name.
    rows = [plan.row(label) for label in asked.rows] or [row for row in plan.rows if not row.left_out]
    rows.sort(key=lambda row: (row.episodes > 0, row.base is Base.NECK))
    return tuple(
        Work(row, fold)
        for row in rows
        for fold in range(1, len(plan.folds) + 1)
        if (not asked.folds or fold in asked.folds) and _conditions(plan, fold, asked)
    )


def run_all(run: Run, asked: Asked, jobs: int, said: Said) -> tuple[Failure, ...]:
    """Do everything that is asked and not yet done.

    Args:
        run, asked: see there.
        jobs: processes.
        said: told about each piece of work that ended.

    Returns:
        What failed.
    """
    todo = works(run.plan, asked)
    folds = sorted({w.fold for w in todo if w.row.base.of_fold})
    failures: list[Failure] = []
    with _pool(jobs) as submit:
        for title, failure in submit([(f"encoder of fold {f}", _encode, (run, f)) for f in folds]):
            failures += [failure] if failure else []
            said(f"{title}: {'failed' if failure else 'ready'}")
        pieces = [(f"{w.row.label}, fold {w.fold}", _work, (run, w, asked)) for w in todo]
        for number, (title, failure) in enumerate(submit(pieces), start=1):
            failures += [failure] if failure else []
            said(f"[{number}/{len(pieces)}] {title}: {failure.reason if failure else 'done'}")
    return tuple(failures)


def encoder_file(run: Run, fold: int) -> Path:
    """Weights of a fold's encoder, trained if they are not there."""
    plan, folder = run.plan.encoder_plan(fold), run.folder / f"fold{fold}"
    path = folder / f"{plan.name}.safetensors"
    return (
        path if _made_by(path, plan) else train(plan, folder, run.data, threads=run.threads, progress=False)
    )


def finished_file(run: Run, row: RowPlan, fold: int) -> Path:
    """Weights of a meta-learned row on a fold, trained if they are not there."""
    start = encoder_file(run, fold)
    encoder = _loaded(start)
    plan = run.plan.finishing_plan(row, fold, f"{encoder.record.title} (SHA-256 {encoder.sha256[:12]})")
    made = digest([method_source(row.method), run.plan.finishes(row, fold), encoder.sha256])[:12]
    folder = run.folder / f"fold{fold}" / "finished" / f"{Key(row.label, '', 0).row_slug}-{made}"
    path = folder / f"{plan.name}.safetensors"
    if _made_by(path, plan):
        return path
    cohorts = _training(plan.data.meta_train, plan.recipe, run.data, plan.data.limit, plan.seed)
    return train(plan, folder, run.data, threads=run.threads, progress=False, start=start, conditions=cohorts)


def contestant(run: Run, row: RowPlan, fold: int) -> Contestant:
    """What adapts in the cells of a row on a fold.

    Raises:
        CohortError: if a condition of the fold took part in making the weights.
    """
    if not row.base.of_fold:
        return _baseline(run, row)
    encoder = _loaded(encoder_file(run, fold))
    if row.base is Base.NECK:
        found = load_learner(finished_file(run, row, fold))
    elif row.base is Base.FRESH_NECK:
        found = _with_neck(run, row, encoder)
    else:
        found = load_learner(encoder_file(run, fold), row.method, row.options)
    for name in run.plan.folds[fold - 1]:
        for record in (encoder.record, found.record):
            if (reason := why_seen(record, name)) is not None:
                raise CohortError(f"{row.label}: not held out: {reason}.")
    return Contestant(found.record.title, found.learner, found.sha256, found.record)


def measure(run: Run, work: Work, asked: Asked, said: Said) -> None:
    """Compute the missing cells of a row on a fold; a condition too small for so many shots is left out."""
    entrant = contestant(run, work.row, work.fold)
    code = digest([method_source(work.row.method), backbone_source(entrant.learner.spec.name)])
    for name in _conditions(run.plan, work.fold, asked):
        cohort, images = _held_out(name, run.plan.recipe, run.data)
        inputs = digest([entrant.identity if work.row.base.of_fold else "", images])
        features = cache(partial(features_of, entrant, cohort, images))
        for shot in asked.shots or run.plan.evaluation.shots:
            way = classes_with(cohort, shot)
            if way < 2:
                continue
            cell = compute_cell(
                run.results,
                Key(work.row.label, name, shot),
                Decided(run.plan.decides(work.row, name, shot), code, inputs),
                entrant.learner,
                features,
                EpisodeSampler([cohort], run.plan.spec(way, shot)),
                asked.episodes or run.plan.episodes_of(work.row),
            )
            said(_line(cell))


def classes_with(cohort: Cohort, shot: int) -> int:
    """Number of classes with more patients than a support of `shot` takes."""
    return sum(len(np.unique(cohort.patients[cohort.labels == k])) > shot for k in range(len(cohort.classes)))


def _line(cell: Cell) -> str:
    return (
        f"  {cell.key.row}: {cell.key.condition}, {cell.way}-way {cell.key.shot}-shot, "
        f"{cell.episodes} episodes: balanced accuracy {100 * np.mean(cell.balanced_accuracy):.1f} %, "
        f"{cell.adapt_milliseconds:.2f} ms per adaptation"
    )


def _conditions(plan: MedicalPlan, fold: int, asked: Asked) -> tuple[str, ...]:
    return tuple(n for n in plan.folds[fold - 1] if not asked.conditions or n in asked.conditions)


def _made_by(path: Path, plan: Plan) -> bool:
    """Whether weights are there and were made by this plan; checksums are found out by a run."""
    try:
        stored = parse_plan(yaml.safe_load(_loaded(path).record.plan), path.name)
    except ModelFileError:
        return False
    return _unsummed(stored) == _unsummed(plan)


def _unsummed(plan: Plan) -> Plan:
    return plan.model_copy(update={"data": plan.data.model_copy(update={"checksums": {}})})


@lru_cache(maxsize=4)
def _loaded(path: Path) -> LoadedLearner:
    return load_learner(path)


def _baseline(run: Run, row: RowPlan) -> Contestant:
    recipe, base = run.plan.recipe, run.plan.encoder_plan(1).backbone
    spec = {
        Base.RAW_PIXELS: replace(base, name="raw-pixels", width=0),
        Base.CLASSICAL: replace(base, name="classical", width=0),
        Base.RANDOM: base,
        Base.UNTRAINED: BackboneSpec(row.backbone.name, base.channels, base.size, row.backbone.width),
    }[row.base]
    return fresh(row.base.value, row.method, row.options, spec, recipe, run.plan.evaluation.seed)


def _with_neck(run: Run, row: RowPlan, encoder: LoadedLearner) -> LoadedLearner:
    """The finishing's network before any finishing: the layer adds nothing yet."""
    source = encoder.learner
    hidden = run.plan.finishing_plan(row, 1, "").backbone.neck
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.plan.evaluation.seed)
        learner = create(row.method, replace(source.spec, neck=hidden), source.recipe, None, row.options)
    assert isinstance(learner.backbone, Necked)
    learner.backbone.trunk.load_state_dict(source.backbone.state_dict())
    learner.eval()
    return LoadedLearner(learner, encoder.record, encoder.sha256)


def _cohort(name: str, recipe: Recipe, data: Path | None) -> Cohort:
    return load_cohort(get_card(name), recipe, data, progress=False)


@lru_cache(maxsize=8)
def _held_out(name: str, recipe: Recipe, data: Path | None) -> tuple[Cohort, str]:
    cohort = _cohort(name, recipe, data)
    return cohort, cohort_digest(cohort)


@lru_cache(maxsize=1)
def _training(
    names: tuple[str, ...], recipe: Recipe, data: Path | None, limit: int, seed: int
) -> tuple[Cohort, ...]:
    """What the finishing of every row on a fold draws episodes from."""
    return tuple(reduced(_cohort(name, recipe, data), limit, seed) for name in names)


def _encode(run: Run, fold: int) -> None:
    torch.set_num_threads(run.threads)
    encoder_file(run, fold)


def _work(run: Run, work: Work, asked: Asked) -> None:
    torch.set_num_threads(run.threads)
    measure(run, work, asked, _to_errors)


def _to_errors(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


_Piece = tuple[str, Callable[..., None], tuple[object, ...]]
_Ended = Iterator[tuple[str, Failure | None]]


@contextmanager
def _pool(jobs: int) -> Iterator[Callable[[Sequence[_Piece]], _Ended]]:
    """A way to do pieces of work, in this process or in several."""

    def here(pieces: Sequence[_Piece]) -> _Ended:
        for title, do, arguments in pieces:
            yield title, _attempt(title, do, arguments)

    if jobs == 1:
        yield here
        return
    # A forked process would inherit the locks of torch's threads.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:

        def there(pieces: Sequence[_Piece]) -> _Ended:
            waiting = {pool.submit(_attempt, *piece): piece[0] for piece in pieces}
            for done in as_completed(waiting):
                yield waiting[done], done.result()

        yield there


def _attempt(title: str, do: Callable[..., None], arguments: tuple[object, ...]) -> Failure | None:
    try:
        do(*arguments)
    except WorkbenchError as error:
        return Failure(title, str(error))
    except Exception:
        # One method's defect must not cost the night's work of all others.
        return Failure(title, traceback.format_exc())
    return None
