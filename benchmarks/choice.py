"""What choosing the method on the support gains, on conditions that are not held out.

    python -m benchmarks.choice --episodes 200 --shots 1 3 5 10

Paired differences in accuracy to the linear probe on the same episodes, for `auto` and every method it
chooses among; how often it chose each; and what an oracle would gain that knew the best for each condition.
By default on the conditions that chose the shipped encoder's checkpoint; `auto` was designed on them too.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import yaml

from workbench.data.catalogue import get_card
from workbench.data.cohort import load_cohort
from workbench.data.episodes import Episode, EpisodeSampler, EpisodeSpec
from workbench.data.examples import Features, Support
from workbench.evaluation.episodic import classification_scores, embed_cohort
from workbench.evaluation.statistics import Interval, mean_interval, paired_difference
from workbench.learners.auto import choice_of
from workbench.learners.base import Learner, frozen
from workbench.learners.files import load_learner
from workbench.weights import find_weights

PROBE = "linear-probe"
METHODS = (PROBE, "auto", "committee", "mahalanobis", "simpleshot")


def one(learner: Learner, features: Features, episode: Episode) -> tuple[float, float, str]:
    """Accuracy, log-loss (each scan at most 5 nats) and the method chosen."""
    support = Support(
        features[torch.from_numpy(episode.support)],
        torch.from_numpy(episode.support_labels),
        episode.classes,
        tuple(str(row) for row in episode.support.tolist()),
    )
    classifier = learner.adapt(support)
    found = classifier.predict(features[torch.from_numpy(episode.query)]).probabilities
    loss = -np.log(found[np.arange(len(found)), episode.query_labels].clip(1e-300)).clip(max=5)
    chosen = choice_of(classifier)
    return (
        classification_scores(found, episode.query_labels)[0],
        float(loss.mean()),
        chosen.method if chosen else learner.name,
    )


def _said(gain: Interval) -> str:
    return f"{100 * gain.value:+5.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


def _over_conditions(differences: Sequence[npt.NDArray[np.float64]]) -> str:
    """Mean over conditions, with the interval of the mean over their episodes."""
    value = float(np.mean([d.mean() for d in differences]))
    error = float(np.sqrt(sum(d.var(ddof=1) / len(d) for d in differences))) / len(differences)
    return f"{100 * value:+5.2f} ({100 * (value - 1.96 * error):+.2f} to {100 * (value + 1.96 * error):+.2f})"


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights", default="general")
    parser.add_argument("--conditions", nargs="*", help="those the weights' plan validates on by default")
    parser.add_argument("--shots", nargs="*", type=int, default=[1, 3, 5, 10])
    parser.add_argument("--episodes", type=int, default=200)
    given = parser.parse_args(arguments)
    path = find_weights(given.weights)
    loaded = [load_learner(path, method) for method in METHODS]
    names = given.conditions or yaml.safe_load(loaded[0].record.plan)["data"]["meta_validation"]
    cohorts = [load_cohort(get_card(name), loaded[0].learner.recipe) for name in names]
    features = [embed_cohort(loaded[0].learner, cohort) for cohort in cohorts]
    torch.set_num_threads(1)
    for shots in given.shots:
        gains: dict[str, list[npt.NDArray[np.float64]]] = {method: [] for method in METHODS}
        best: list[float] = []
        chosen: Counter[str] = Counter()
        losses = {method: [] for method in METHODS}  # type: dict[str, list[float]]
        print(
            f"\n{shots} patients per class, {given.episodes} episodes: accuracy minus the probe's, in points"
        )
        for cohort, known in zip(cohorts, features, strict=True):
            sampler = EpisodeSampler([cohort], EpisodeSpec(len(cohort.classes), shots))
            episodes = [sampler.episode(number) for number in range(given.episodes)]
            accuracy: dict[str, npt.NDArray[np.float64]] = {}
            for item in loaded:
                with frozen(item.learner):
                    found = [one(item.learner, known, episode) for episode in episodes]
                accuracy[item.learner.name] = np.array([f[0] for f in found])
                losses[item.learner.name].append(float(np.mean([f[1] for f in found])))
                if item.learner.name == "auto":
                    chosen.update(f[2] for f in found)
            for method in METHODS:
                gains[method].append(accuracy[method] - accuracy[PROBE])
            best.append(max(float(gains[method][-1].mean()) for method in METHODS if method != "auto"))
            said = "  ".join(
                f"{m} {_said(paired_difference(accuracy[m], accuracy[PROBE]))}" for m in METHODS[1:]
            )
            probe = mean_interval(accuracy[PROBE], bounds=(0.0, 1.0))
            print(f"  {cohort.name:20} probe {100 * probe.value:.1f}  {said}", flush=True)
        for method in METHODS[1:]:
            print(f"  mean of conditions   {method:12} {_over_conditions(gains[method])}")
        print(f"  oracle per condition {100 * float(np.mean(best)):+.2f}")
        print("  log-loss             " + ", ".join(f"{m} {np.mean(losses[m]):.3f}" for m in METHODS))
        total = chosen.total()
        print("  auto adapted as      " + ", ".join(f"{m} {c / total:.1%}" for m, c in chosen.most_common()))


if __name__ == "__main__":
    main(sys.argv[1:])
