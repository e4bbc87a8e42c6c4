"""The policy's network: one score for each candidate, whatever their number and order.

After Zaheer et al., "Deep Sets", NeurIPS 2017, equation 4: what a candidate is, and what the pool is like on
average, decide its score. Permuting candidates permutes scores.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workbench.querying.candidates import CONTEXT, NUMBERS, Candidates


class ScoringNetwork(nn.Module):
    """Scores ``(m,)`` of m candidates; the policy is their softmax.

    Args:
        width: of the hidden layers.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.width = width
        self.each = nn.Sequential(
            nn.Linear(2 * len(NUMBERS) + len(CONTEXT), width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()
        )
        self.pooled = nn.Linear(width, width)
        self.out = nn.Linear(width, 1)
        nn.init.zeros_(self.out.weight)  # all candidates alike: meta-training starts from a random choice
        nn.init.zeros_(self.out.bias)

    def forward(self, given: Candidates) -> Tensor:
        """See the class."""
        numbers = given.numbers
        hidden = self.each(torch.cat([numbers, given.context.expand(len(numbers), -1)], dim=1))
        scores: Tensor = self.out(torch.tanh(hidden + self.pooled(hidden.mean(0))))[:, 0]
        return scores
