"""The reading benchmark from its records to its page, and the experience that ships."""

from __future__ import annotations

from pathlib import Path

import torch

from workbench.adaptation.experience import Experience, experience_of, save_experience
from workbench.benchmark.reading import Bench, measure, origin_of
from workbench.benchmark.reading_fit import fit_experience
from workbench.benchmark.reading_page import Found, write_pages
from workbench.benchmark.reading_shift import shift_lines, similarity_evidence
from workbench.benchmark.reading_table import lines
from workbench.errors import ModelFileError

METHODS = ("auto", "linear-probe", "prototypical", "simpleshot", "mahalanobis")
"""Methods whose temperature is learned: those that read the shipped encoder's embeddings without training
on them."""
_FIT = (
    "workbench benchmark reading --out runs/reading "
    "--fit workbench/adaptation/experiences/general.safetensors"
)
_RUN = "workbench benchmark reading --out runs/reading --tables docs/benchmarks"


def learn(bench: Bench, path: Path) -> Path:
    """Learn on the meta-validation conditions, with every method of `METHODS`, and write the file."""
    torch.set_num_threads(1)
    save_experience(fit_experience(bench, METHODS, command=_FIT), path)
    return path


def run(bench: Bench, folder: Path) -> tuple[Path, ...]:
    """Measure what is missing and write the page.

    Raises:
        ModelFileError: if no experience ships for the encoder; learn one first.
    """
    measure(bench)
    shipped = experience_of(bench.contestant.identity)
    if shipped is None:
        raise ModelFileError(f"Nothing was learned for these weights yet. Run `{_FIT}` first.")
    method = bench.settings.method
    without: dict[str, Experience] = {}
    for name in bench.validation:
        origin = origin_of(name)
        if origin not in without:
            without[origin] = fit_experience(bench, (method,), without=origin)
    known = {name: shipped for name in bench.held_out}
    known |= {name: without[origin_of(name)] for name in bench.validation}
    shift, own = shift_lines(bench, known)
    found = Found(
        method=method,
        held_out=bench.held_out,
        validation=bench.validation,
        lines=lines(bench, known),
        shift=shift,
        own=own,
        evidence=similarity_evidence(bench, shipped),
        learned=shipped.learned,
        command=f"{_RUN} --episodes {bench.settings.episodes}",
    )
    return write_pages(found, folder)
