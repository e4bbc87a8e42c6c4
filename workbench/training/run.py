"""Meta-training: a plan in, weights out.

`train` builds the cohorts, runs Lightning with a checkpoint after every stretch, watches held-out
conditions, and writes the best weights. Called by `workbench train`. Everything it makes lies in one run
folder: ``plan.yaml``, ``checkpoints/``, ``metrics/`` (CSV and TensorBoard) and ``NAME.safetensors``.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from workbench.backbones.pretrained import PUBLIC
from workbench.data.catalogue import cards, same_origin
from workbench.data.cohort import Cohort, load_cohort
from workbench.data.datamodule import EpisodeDataModule, Stream
from workbench.data.procedural import procedural_cohorts
from workbench.errors import PlanError
from workbench.evaluation.memory import prepared
from workbench.learners import learner_class
from workbench.learners.base import Diet, Learner
from workbench.learners.files import create, describe, load_learner, save_learner
from workbench.training.checkpoints import SafetensorsCheckpointIO, native_bfloat16
from workbench.training.memory import keep_freed_memory
from workbench.training.plan import Plan, read_plan, write_plan
from workbench.training.progress import Throughput
from workbench.training.validation import MONITOR, MetaValidation, reduced
from workbench.weights import find_weights


def train(
    plan: Plan,
    folder: Path,
    data: Path | None = None,
    workers: int = 0,
    threads: int | None = None,
    progress: bool = True,
    start: Path | None = None,
    conditions: Sequence[Cohort] | None = None,
) -> Path:
    """Meta-train after a plan, resuming if the folder holds a run of the same plan.

    Args:
        plan: what to do.
        folder: run folder; made if missing.
        data: data folder; see `workbench.data.catalogue.find_data`.
        workers: processes that prepare batches.
        threads: of torch; all cores if None.
        progress: show progress bars.
        start: file of the weights that the plan's `start` only names, for runs that belong together.
        conditions: meta-training cohorts that the caller has made, instead of reading those the plan names.

    Returns:
        The weights file, ``folder/NAME.safetensors``: the best checkpoint by meta-validation, or the last
        one where the plan has no meta-validation conditions.

    Raises:
        PlanError: if the plan contradicts itself or the run that lies in the folder.
        FetchError: if a dataset is missing.
    """
    if threads:
        torch.set_num_threads(threads)
    keep_freed_memory()
    check_method(plan)
    check_split(plan)
    plan = _with_public_config(plan, start)
    training = training_cohorts(plan, data, progress) if conditions is None else list(conditions)
    validation = [_cohort(name, plan, data, progress) for name in plan.data.meta_validation]
    plan = _with_checksums(plan, (*training, *validation))
    last = _prepare_folder(plan, folder)
    pl.seed_everything(plan.seed, verbose=False)
    learner = _initial(plan, training, start)
    # What a frozen network makes of the images is computed once, for training and for validation.
    training = [prepared(learner, cohort) for cohort in training]
    validation = [prepared(learner, cohort) for cohort in validation]
    module = EpisodeDataModule(training, _stream(plan, learner), plan.steps, plan.checkpoint_every, workers)
    module.pool.weights = sampling_weights(training)
    newest = _checkpoint(folder, "last", None)
    best = _checkpoint(folder, "best", MONITOR) if validation else newest
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    callbacks: list[Callback] = [Throughput(plan, learner.diet)]
    if validation:
        callbacks.append(MetaValidation(validation, plan.validation, plan.seed))
        if plan.validation.patience:
            callbacks.append(EarlyStopping(MONITOR, patience=plan.validation.patience, mode="max"))
    # Checkpoints come after meta-validation, so that each holds the score it is ranked by.
    callbacks += [newest, best] if validation else [newest]
    trainer = pl.Trainer(
        default_root_dir=folder,
        max_epochs=-(-plan.steps // plan.checkpoint_every),
        reload_dataloaders_every_n_epochs=1,
        accelerator="auto",
        devices=1,
        precision="bf16-mixed" if uses_bfloat16(plan) else "32-true",
        gradient_clip_val=plan.optimisation.clip or None,
        logger=_loggers(folder),
        callbacks=callbacks,
        plugins=[SafetensorsCheckpointIO()],
        enable_progress_bar=progress,
        enable_model_summary=False,
        log_every_n_steps=min(50, plan.checkpoint_every),
        inference_mode=False,
        num_sanity_val_steps=0,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory.*exists and is not empty.*")
        trainer.fit(learner, datamodule=module, ckpt_path=last)
    return _write_weights(plan, learner, training, folder, best, start)


def _checkpoint(folder: Path, name: str, monitor: str | None) -> ModelCheckpoint:
    """One file, written after every stretch, or when `monitor` improves.

    Lightning's own ``save_last`` follows the best checkpoint and would lose every stretch since.
    """
    checkpoint = ModelCheckpoint(
        folder / "checkpoints",
        filename=name,
        monitor=monitor,
        mode="max",
        save_top_k=1,
        every_n_epochs=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    checkpoint.FILE_EXTENSION = ".safetensors"
    return checkpoint


def _loggers(folder: Path) -> list[Logger]:
    """CSV and TensorBoard logs in ``metrics/0``, ``metrics/1``, ...: one for each start of the run."""
    part = str(len(list((folder / "metrics").glob("*"))))
    return [CSVLogger(folder, "metrics", part), TensorBoardLogger(folder, "metrics", part)]


def check_method(plan: Plan) -> None:
    """Refuse a plan whose method has nothing to meta-train.

    Raises:
        PlanError: naming the method; also if there is none of that name.
    """
    if learner_class(plan.method.name).diet is Diet.NONE:
        raise PlanError(
            f"{plan.name}: method {plan.method.name!r} learns from the labelled scans alone, so there is "
            "nothing to meta-train. Name it when adapting or evaluating instead."
        )


def check_split(plan: Plan) -> None:
    """Refuse a plan in which same-origin sets stand on two sides of the split.

    Raises:
        PlanError: naming the two conditions.
    """
    sides = (
        ("meta_train", plan.data.meta_train),
        ("meta_validation", plan.data.meta_validation),
        ("meta_test", plan.data.meta_test),
    )
    known = cards()
    for side, names in sides:
        for name in names:
            if name not in known:
                raise PlanError(f"{plan.name}: data.{side}: there is no dataset card {name!r}.")
            for other_side, others in sides:
                related = sorted(same_origin([name]) & set(others))
                if other_side != side and related:
                    raise PlanError(
                        f"{plan.name}: {name!r} ({side}) and {related[0]!r} ({other_side}) are of the same "
                        "origin. Put them on one side, or leave one out."
                    )


def training_cohorts(plan: Plan, data: Path | None, progress: bool) -> list[Cohort]:
    """Real and drawn conditions of the meta-training side."""
    real = [
        reduced(_cohort(name, plan, data, progress), plan.data.limit, plan.seed)
        for name in plan.data.meta_train
    ]
    drawn = plan.data.procedural
    return real + procedural_cohorts(drawn.images, plan.recipe, drawn.seed)


def sampling_weights(cohorts: Sequence[Cohort], drawn_share: float = 0.3) -> list[float]:
    """How often each condition is drawn: drawn worlds together `drawn_share` of the time."""
    drawn = [c.modality == "" for c in cohorts]
    if all(drawn) or not any(drawn):
        return [1.0 / len(cohorts)] * len(cohorts)
    return [drawn_share / sum(drawn) if d else (1 - drawn_share) / (len(drawn) - sum(drawn)) for d in drawn]


def uses_bfloat16(plan: Plan) -> bool:
    """Whether the run computes in bfloat16 where autocast allows it.

    Not of itself for networks of volumes: PyTorch 2.13's gradient of a 3-D convolution in bfloat16 on a CPU
    now and then holds numbers that are not finite.
    """
    volumes = plan.recipe.dims == 3 and not plan.backbone.slices
    return plan.precision == "bfloat16" or (plan.precision == "auto" and native_bfloat16() and not volumes)


def _cohort(name: str, plan: Plan, data: Path | None, progress: bool) -> Cohort:
    return load_cohort(cards()[name], plan.recipe, data, progress=progress)


def _stream(plan: Plan, learner: Learner) -> Stream:
    episodic = learner.diet is Diet.EPISODES
    return Stream(
        episodes=replace(plan.episodes, seed=plan.seed) if episodic else None,
        batch=plan.batch,
        views=learner.views,
        seed=plan.seed,
        augmentation=plan.augmentation,
    )


def _initial(plan: Plan, training: Sequence[Cohort], start: Path | None) -> Learner:
    options = dict(plan.method.options)
    optimisation = replace(plan.optimisation, steps=plan.steps)
    probe = create(plan.method.name, plan.backbone, plan.recipe, optimisation, options)
    if probe.diet is Diet.LABELLED:
        options["classes"] = sum(len(c.classes) for c in training)
        probe = create(plan.method.name, plan.backbone, plan.recipe, optimisation, options)
    if plan.start:
        source = load_learner(start or find_weights(plan.start)).learner
        _start_from(probe, source, plan)
    return probe


def _start_from(learner: Learner, source: Learner, plan: Plan) -> None:
    """Copy a backbone: the whole of it, the frozen network under a fresh neck, or the encoder of slices.

    Networks that differ only in when their normaliser takes statistics exchange everything but those.
    """
    have, want = source.spec, plan.backbone
    values = dict(source.backbone.state_dict())
    if want.slices and not have.slices and not have.neck:
        have = replace(have, slices=want.slices)
        values = {f"network.{n}": v for n, v in values.items()}
    if want.neck and not have.neck:
        have = replace(have, neck=want.neck)
        values = {f"trunk.{n}": v for n, v in values.items()}
    batch = {"batch", "transductive"}
    if {have.normaliser, want.normaliser} == batch:
        have = replace(have, normaliser=want.normaliser)
    if have != want:
        raise PlanError(f"{plan.name}: start: {plan.start!r} has another backbone ({source.spec}).")
    own = learner.backbone.state_dict()
    learner.backbone.load_state_dict({**own, **{n: v for n, v in values.items() if n in own}})


def _with_public_config(plan: Plan, start: Path | None) -> Plan:
    """The plan with the config of the public encoder it starts from, which is too long to copy by hand."""
    if plan.backbone.name not in PUBLIC or plan.backbone.config or not plan.start:
        return plan
    config = load_learner(start or find_weights(plan.start)).record.backbone.config
    return plan.model_copy(update={"backbone": replace(plan.backbone, config=config)})


def _with_checksums(plan: Plan, cohorts: Sequence[Cohort]) -> Plan:
    sums = {c.name: _checksum(c) for c in cohorts if c.modality}
    for name, value in plan.data.checksums.items():
        if sums.get(name, value) != value:
            raise PlanError(
                f"{plan.name}: condition {name!r} is not what the plan was made with (checksum {sums[name]}, "
                f"plan {value}). Fetch the original files, or remove data.checksums from the plan."
            )
    return plan.model_copy(update={"data": plan.data.model_copy(update={"checksums": sums})})


def _checksum(cohort: Cohort) -> str:
    sha = hashlib.sha256(cohort.labels.tobytes())
    sha.update(cohort.images.tobytes())
    return sha.hexdigest()[:16]


def _prepare_folder(plan: Plan, folder: Path) -> Path | None:
    """Write the plan, or find that the folder holds a run of it; the checkpoint to resume from."""
    stored = folder / "plan.yaml"
    last = folder / "checkpoints" / "last.safetensors"
    # A run that never reached a checkpoint (its plan was at fault, say) has nothing to protect.
    if stored.exists() and last.exists():
        if read_plan(stored) != plan:
            raise PlanError(
                f"{folder.name}: holds a run of another plan. Choose another folder with --out, or remove it."
            )
    else:
        folder.mkdir(parents=True, exist_ok=True)
        stored.write_text(write_plan(plan), encoding="utf-8")
    return last if last.exists() else None


def _write_weights(
    plan: Plan,
    learner: Learner,
    training: Sequence[Cohort],
    folder: Path,
    best: ModelCheckpoint,
    start: Path | None,
) -> Path:
    chosen = (
        Path(best.best_model_path) if best.best_model_path else folder / "checkpoints" / "last.safetensors"
    )
    learner.load_state_dict(SafetensorsCheckpointIO().load_checkpoint(chosen)["state_dict"])
    begun = load_learner(start or find_weights(plan.start)).record if plan.start else None
    # What the starting weights saw and were licensed under holds for what is made of them.
    conditions = (*(c.name for c in training), *(begun.conditions if begun else ()))
    origins = {key for c in training for key in c.origin} | set(begun.origins if begun else ())
    record = replace(
        describe(learner, plan.name),
        plan=write_plan(plan),
        conditions=tuple(dict.fromkeys(conditions)),
        origins=tuple(sorted(origins)),
        licence=begun.licence if begun else "",
    )
    path = folder / f"{plan.name}.safetensors"
    save_learner(learner, path, record, half=True)
    return path
