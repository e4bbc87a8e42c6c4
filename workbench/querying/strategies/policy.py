"""The learned policy: meta-trained with reinforcement learning over many conditions.

After Konyushkova, Sznitman and Fua, "Learning Active Learning from Data", NeurIPS 2017 (the idea), and Fang,
Li and Cohn, "Learning how to Active Learn: A Deep Reinforcement Learning Approach" (PAL), EMNLP 2017. How it
is trained is in `workbench.querying.meta_training`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch

from workbench.querying.candidates import candidates
from workbench.querying.network import ScoringNetwork
from workbench.querying.policy_file import load_policy
from workbench.querying.state import Floats, QueryState
from workbench.querying.strategy import QueryStrategy


class LearnedPolicy(QueryStrategy):
    """The most probable pick of a policy.

    Args:
        network: the shipped one unless given.
    """

    name: ClassVar[str] = "policy"
    citation: ClassVar[str] = "after Konyushkova et al. 2017; Fang et al. 2017"
    reason: ClassVar[str] = "labels of scans like it helped most on other conditions"

    def __init__(self, network: ScoringNetwork | None = None) -> None:
        self._network = network if network is not None else load_policy()[0]

    def scores(self, state: QueryState, picked: Sequence[int], rng: np.random.Generator) -> Floats:
        """Of the network."""
        with torch.no_grad():
            scores: Floats = self._network(candidates(state, picked)).double().numpy()
        return scores
