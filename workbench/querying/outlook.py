"""Whether more labels are likely to help: a hint when to stop.

Labels can only help where they change readings. How many readings of the pool one more label of the support
changes is measured backwards: each labelled scan is left out in turn, and the nearest-mean reading of the
pool, which needs no new adaptation and works for a model read from a file, is compared with the one with all
labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.querying.state import QueryState

FEW = 0.01
"""Share of changed readings below which a label is called of little use."""
_MOST = 200
"""Labelled scans left out in turn, at most."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What one more label is likely to change.

    Attributes:
        changed: mean share of the pool whose nearest-mean reading one label changed, 0 to 1; NaN where no
            class has two labelled scans.
        labels: labelled scans that were left out in turn; the n of `changed`.
    """

    changed: float
    labels: int

    @property
    def settled(self) -> bool:
        """Whether more labels of this kind will hardly help."""
        return self.changed < FEW

    def __str__(self) -> str:
        if not self.labels:
            return "Too few labels to say how much more of them would change."
        percent = f"{100 * self.changed:.1f} %"
        share = f"One label changed {percent} of the readings of this pool (mean of {self.labels})"
        if self.settled:
            return f"{share}: more labels of this kind will hardly help."
        return f"{share}: more labels are likely to change readings."


def outlook(state: QueryState) -> Outlook:
    """Leave out one label after the other; see the module's description."""
    member = np.eye(state.way)[state.support_labels]
    counts = member.sum(0)
    sums = state.support_cosines @ member
    now = (sums / counts).argmax(1)
    changed = []
    for row in np.flatnonzero(counts[state.support_labels] > 1)[:_MOST]:
        label = state.support_labels[row]
        mean = sums / counts
        mean[:, label] = (sums[:, label] - state.support_cosines[:, row]) / (counts[label] - 1)
        changed.append(float((mean.argmax(1) != now).mean()))
    return Outlook(float(np.mean(changed)) if changed else float("nan"), len(changed))
