"""``workbench suggest`` and ``workbench train-query-policy``: which scan should be labelled next."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from workbench.cli_output import bar, check_place, counted, listed
from workbench.evaluation.plaintext import NOTICE
from workbench.querying import DEFAULT

if TYPE_CHECKING:
    from workbench.querying.suggest import Suggestions

errors = Console(stderr=True, highlight=False)


class SuggestionFormat(StrEnum):
    """How suggestions are printed."""

    TABLE = "table"
    JSON = "json"


def suggest(
    model: Annotated[Path, typer.Argument(help="Adapted model, written by `workbench adapt`.")],
    pool: Annotated[list[Path], typer.Argument(help="Unlabelled scans: files, folders and zips.")],
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="How many scans to suggest.")] = 5,
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy",
            "-s",
            help="How to choose: random, margin, entropy, k-center, k-means, badge, or policy (learned).",
        ),
    ] = DEFAULT,
    form: Annotated[
        SuggestionFormat, typer.Option("--format", "-f", help="How to print them.")
    ] = SuggestionFormat.TABLE,
    seed: Annotated[int, typer.Option(help="Of strategies that leave something to chance.")] = 0,
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
    """Suggest which unlabelled scans to label next, and why.

    Label them, add them to the class folders, and run `workbench adapt` again. Suggested scans are of
    different patients, and of patients without a labelled scan, as long as there are such. The last line says
    whether more labels are likely to change anything.

    JSON is an object with `suggestions` (`file`, `label`, `probability`, `reason`), `strategy`, `outlook` and
    `refused`.

    Examples:

        workbench suggest my_condition.safetensors unlabelled/ --n 5
        workbench suggest my_condition.safetensors unlabelled/ --n 10 --strategy k-means --format json
    """
    from workbench.adaptation.model import load_model
    from workbench.querying.strategies import query_strategy
    from workbench.querying.suggest import read_pool
    from workbench.querying.suggest import suggest as choose

    query_strategy(strategy)  # a misspelt name is told before anything is read
    adapted = load_model(model, weights)
    with bar("Reading scans", errors) as progress:
        unlabelled = read_pool(adapted, pool, progress)
    listed(unlabelled.refused, errors)
    found = choose(adapted, unlabelled, n, strategy, seed)
    sys.stdout.write(_json(found) if form is SuggestionFormat.JSON else _table(found))


def train_query_policy(
    plan: Annotated[Path, typer.Argument(help="Plan (YAML), e.g. benchmarks/plans/query-policy.yaml.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder: checkpoint and policy.safetensors.")],
    threads: Annotated[int, typer.Option(min=1, help="Threads of arithmetic.")] = 1,
    data: Annotated[
        Path | None,
        typer.Option("--data", envvar="WORKBENCH_DATA", help="Folder searched for datasets."),
    ] = None,
) -> None:
    """Meta-train the query policy with reinforcement learning over many conditions.

    Run the same command again to go on after an interruption. The policy that ships was made by the plan
    below; some minutes on one core.

    Example:

        workbench train-query-policy benchmarks/plans/query-policy.yaml --out runs/query-policy
    """
    import torch

    from workbench.querying.conditions import encoder, read_condition
    from workbench.querying.meta_training import meta_train
    from workbench.querying.policy_plan import read_policy_plan

    torch.set_num_threads(threads)
    read = read_policy_plan(plan)
    check_place(out / "policy.safetensors")
    entrant = encoder(read.weights, read.method)
    names = (*read.meta_train, *read.meta_validation)
    conditions = {}
    with bar("Embedding conditions", errors) as progress:
        for done, name in enumerate(names, start=1):
            conditions[name] = read_condition(entrant, name, read.limit, read.seed, data)
            progress(done, len(names))
    path = meta_train(
        read,
        entrant.learner,
        [conditions[name] for name in read.meta_train],
        [conditions[name] for name in read.meta_validation],
        out,
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(f"Written: {path}\n{NOTICE}")


def _table(found: Suggestions) -> str:
    lines = [
        f"{counted(len(found.suggestions), 'scan')} to label next, of {found.pool}, "
        f"chosen by {found.strategy}:"
    ]
    for number, one in enumerate(found.suggestions, start=1):
        lines += [
            f"{number:3}. {one.name}",
            f"     now read as {one.label!r} ({one.probability:.2f}). {one.reason}",
        ]
    if found.known:
        lines.append(f"{counted(found.known, 'scan')} left out: the model was adapted on them already.")
    return "\n".join([*lines, str(found.outlook), NOTICE]) + "\n"


def _json(found: Suggestions) -> str:
    values = {
        "strategy": found.strategy,
        "pool": found.pool,
        "suggestions": [
            {"file": one.name, "label": one.label, "probability": one.probability, "reason": one.reason}
            for one in found.suggestions
        ],
        "outlook": {
            "gain": found.outlook.gain,
            "spread": found.outlook.spread,
            "settled": found.outlook.settled,
            "message": str(found.outlook),
        },
        "known": found.known,
        "refused": [
            {"file": one.source, "error": f"{one.reason} {one.fix}".strip()} for one in found.refused
        ],
        "notice": NOTICE,
    }
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
