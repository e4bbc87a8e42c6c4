"""Policy gradient for a policy that picks one of many candidates.

REINFORCE (Williams, Machine Learning 8, 1992) with a leave-one-out baseline (Kool, van Hoof and Welling, "Buy
4 REINFORCE Samples, Get a Baseline for Free!", 2019): several walks start from the same task, and each is
judged against the others. With more than one pass over the same walks, the ratio to the old policy is clipped
(PPO; Schulman et al. 2017, equation 7); in the first pass its gradient is REINFORCE's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.querying.candidates import Candidates
from workbench.querying.network import ScoringNetwork
from workbench.querying.state import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """One pick of one walk.

    Attributes:
        given: the candidates.
        allowed: bool ``(m,)``; see `workbench.querying.strategy.eligible`.
        action: row picked.
        log_probability: of it, under the policy that picked.
        reward: gain in held-out balanced accuracy that its label brought.
    """

    given: Candidates
    allowed: npt.NDArray[np.bool_]
    action: int
    log_probability: float
    reward: float


def log_policy(network: ScoringNetwork, given: Candidates, allowed: npt.NDArray[np.bool_]) -> Tensor:
    """Log-probabilities ``(m,)`` of picking each candidate; minus infinity where it is not allowed."""
    scores: Tensor = network(given)
    return scores.masked_fill(torch.from_numpy(~allowed), -torch.inf).log_softmax(0)


def returns(rewards: Floats, discount: float) -> Floats:
    """``R_t = r_t + discount R_(t+1)`` along the last dimension of ``(walks, steps)``."""
    out: Floats = np.array(rewards, dtype=np.float64)
    for t in range(out.shape[-1] - 2, -1, -1):
        out[..., t] += discount * out[..., t + 1]
    return out


def leave_one_out(values: Floats) -> Floats:
    """Each walk's value less the mean of the other walks at the same step, ``(walks >= 2, steps)``."""
    walks = len(values)
    advantages: Floats = (values - values.mean(0)) * (walks / (walks - 1))
    return advantages


def surrogate(
    network: ScoringNetwork,
    decisions: Sequence[Decision],
    advantages: Floats,
    clip: float,
    entropy_bonus: float = 0.0,
) -> Tensor:
    """PPO's loss: ``-mean min(q A, clip(q, 1 - clip, 1 + clip) A) - bonus H``, q being the ratio to the old
    policy.

    Args:
        network: of the policy.
        decisions: n of them.
        advantages: ``(n,)``.
        clip: in the ratio.
        entropy_bonus: weight of the policy's mean entropy, which keeps it trying.
    """
    losses = []
    for decision, advantage in zip(decisions, advantages.tolist(), strict=True):
        log_p = log_policy(network, decision.given, decision.allowed)
        ratio = (log_p[decision.action] - decision.log_probability).exp()
        gain = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
        known = log_p[torch.from_numpy(decision.allowed)]
        losses.append(-gain + entropy_bonus * (known.exp() * known).sum())
    return torch.stack(losses).mean()
