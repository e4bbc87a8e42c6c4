"""How volumes are best read from a few labelled patients: the middle slice, pooled slices, or a 3-D encoder.

Run by ``workbench benchmark volumes``. Every row adapts to the same episodes of one official split, so that
differences are paired. Encoders that the plan trains are trained on first use and kept in the run folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workbench.backbones import BackboneSpec
from workbench.backbones.raw_pixels import raw_backbone
from workbench.data.catalogue import get_card
from workbench.data.cohort import Cohort, load_cohort, only_split
from workbench.data.episodes import EpisodeSampler, EpisodeSpec
from workbench.errors import PlanError
from workbench.evaluation.compare import episode_scores, why_seen
from workbench.evaluation.contestants import PIXEL_METHODS, PIXELS, UNTRAINED, Contestant, contestants, fresh
from workbench.evaluation.memory import cohort_digest
from workbench.evaluation.statistics import Interval, Values, mean_interval, paired_difference
from workbench.imaging.recipe import Recipe
from workbench.training.plan import read_plan
from workbench.training.run import train

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Entry(_Part):
    """Encoders that read the condition in one way.

    Attributes:
        label: what to call it.
        weights: name of one of the plan's encoders, or of shipped weights.
        pooled_slices: see `workbench.learners.files.load_learner`.
        backbone, recipe: of a freshly initialised network, in place of weights.
        baselines: add rows for its raw pixels (or voxels) and for the same network untrained.
    """

    label: str
    weights: str = ""
    pooled_slices: int = Field(default=0, ge=0)
    backbone: BackboneSpec | None = None
    recipe: Recipe | None = None
    baselines: bool = False

    @model_validator(mode="after")
    def _one_of_two(self) -> Entry:
        if bool(self.weights) == (self.backbone is not None) or (self.backbone is None) != (
            self.recipe is None
        ):
            raise ValueError("give either weights, or a backbone and a recipe")
        return self


class VolumesPlan(_Part):
    """The benchmark.

    Attributes:
        name: of the files written.
        condition, split: dataset card, and the official split that episodes are drawn from.
        shots, queries, episodes, seed: of the episodes; all classes take part.
        methods: of every row.
        encoders: name to file of a training plan, beside the benchmark's.
        reference: label of the row that the others are compared with.
        rows: see `Entry`.
    """

    name: str = Field(pattern=r"^[\w][\w.\-]*$")
    condition: str
    split: str
    shots: int = Field(ge=1)
    queries: int = Field(ge=1)
    episodes: int = Field(ge=2)
    seed: int
    methods: tuple[str, ...]
    encoders: dict[str, str] = {}
    reference: str
    rows: tuple[Entry, ...]

    @model_validator(mode="after")
    def _has_reference(self) -> VolumesPlan:
        if self.reference not in [row.label for row in self.rows]:
            raise ValueError(f"no row is called {self.reference!r}, the reference")
        return self


@dataclass(frozen=True, slots=True)
class VolumeRow:
    """One way to read the volumes, and one method.

    Attributes:
        label: how the volumes are read, and by what.
        method: name of the learner.
        seen: the encoder was made with the condition, or one of its origin: the row is not held out.
        accuracy, balanced_accuracy, auroc: means over episodes.
        gain: difference in balanced accuracy to the reference with the same method, on the same episodes;
            None for the reference, and where other files of the condition make other episodes.
    """

    label: str
    method: str
    seen: bool
    accuracy: Interval
    balanced_accuracy: Interval
    auroc: Interval
    gain: Interval | None


def read_volumes_plan(path: Path) -> VolumesPlan:
    """The benchmark's plan.

    Raises:
        PlanError: naming the file and the field.
    """
    try:
        return VolumesPlan.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise PlanError(f"{path.name}: there is no such file.") from error
    except yaml.YAMLError as error:
        raise PlanError(f"{path.name}: is not valid YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the plan"
        raise PlanError(f"{path.name}: {where}: {first['msg']}.") from error


def run_volumes(
    plan: VolumesPlan,
    plans: Path,
    folder: Path,
    episodes: int = 0,
    data: Path | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> tuple[VolumeRow, ...]:
    """Train what is not there yet, and measure every row.

    Args:
        plan: of the benchmark.
        plans: folder of the training plans it names.
        folder: run folder; each encoder has its own in it.
        episodes: instead of the plan's; 0 for those.
        data: folder searched for datasets.
        threads: of arithmetic while training.
        progress: see `Progress`.

    Raises:
        PlanError: a training plan contradicts itself.
        FetchError: a dataset is not on this machine.
    """
    made = {
        name: _trained(plans / file, folder / name, data, threads) for name, file in plan.encoders.items()
    }
    tables: list[tuple[str, Contestant, Values, Cohort]] = []
    for entry in plan.rows:
        entrants = _entrants(entry, plan, made)
        recipe = entrants[0][1].learner.recipe
        cohort = only_split(
            load_cohort(get_card(plan.condition), recipe, data, progress=progress is not None), plan.split
        )
        spec = EpisodeSpec(ways=len(cohort.classes), shots=plan.shots, queries=plan.queries, seed=plan.seed)
        sampler, digest = EpisodeSampler([cohort], spec), cohort_digest(cohort)
        for label, entrant in entrants:
            scores = episode_scores(
                entrant, cohort, sampler, digest, episodes or plan.episodes, False, progress
            )
            tables.append((label, entrant, scores, cohort))
    return _rows(plan, tables)


def _trained(plan: Path, folder: Path, data: Path | None, threads: int) -> Path:
    parsed = read_plan(plan)
    done = folder / f"{parsed.name}.safetensors"
    return done if done.is_file() else train(parsed, folder, data, threads=threads)


def _entrants(entry: Entry, plan: VolumesPlan, made: dict[str, Path]) -> list[tuple[str, Contestant]]:
    """Contestants with the label of their row."""
    if entry.backbone is not None and entry.recipe is not None:
        spec, recipe = entry.backbone, entry.recipe
        found = [fresh(UNTRAINED, name, {}, spec, recipe, plan.seed) for name in plan.methods]
        if entry.baselines:
            raw = BackboneSpec(raw_backbone(recipe.dims), spec.channels, spec.size)
            found += [fresh(PIXELS, name, {}, raw, recipe, plan.seed) for name in PIXEL_METHODS]
    else:
        names = [*plan.methods, *((PIXELS, UNTRAINED) if entry.baselines else ())]
        weights = made.get(entry.weights, entry.weights)
        found = list(contestants(weights, names, plan.seed, entry.pooled_slices))
    how = entry.label.partition(", ")[2]
    called = {PIXELS: f"raw values, {how}"}
    if entry.weights:
        called[UNTRAINED] = f"untrained, {how}"
    return [(called.get(one.encoder, entry.label), one) for one in found]


def _rows(
    plan: VolumesPlan, tables: Sequence[tuple[str, Contestant, Values, Cohort]]
) -> tuple[VolumeRow, ...]:
    references = {c.learner.name: (v, cohort) for label, c, v, cohort in tables if label == plan.reference}
    rows = []
    for label, entrant, scores, cohort in tables:
        compared = references.get(entrant.learner.name)
        gain = None
        if compared is not None and label != plan.reference and _same_episodes(compared[1], cohort):
            gain = paired_difference(scores[:, 2], compared[0][:, 2])
        seen = entrant.record is not None and why_seen(entrant.record, plan.condition) is not None
        accuracy, balanced, auroc = (mean_interval(scores[:, k], bounds=(0.0, 1.0)) for k in (1, 2, 3))
        rows.append(VolumeRow(label, entrant.learner.name, seen, accuracy, balanced, auroc, gain))
    return tuple(rows)


def _same_episodes(one: Cohort, other: Cohort) -> bool:
    return np.array_equal(one.labels, other.labels) and np.array_equal(one.patients, other.patients)
