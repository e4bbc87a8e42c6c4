"""Saliency maps for overlays: the evidence for a class, from none to the strongest in this scan.

Called by `workbench results --overlay`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workbench.adaptation.saliency import check_explainable, saliency
from workbench.imaging.scan import Scan
from workbench.learners.base import Classifier
from workbench.results.write import Saliency

_LEAST = 1e-9
"""Log-odds that a map is divided by at least: one without evidence stays dark."""


def evidence_maps(classifier: Classifier) -> Saliency:
    """What makes the maps for `write_results`: what speaks for a class, divided by its largest value.

    What speaks against the class is left out, as the overlay has one scale of colours. Maps of different
    scans cannot be compared: each has its own largest value. Of a volume the map is of the slice in the
    middle, the one that the model reads.

    Args:
        classifier: adapted; a scan takes a few hundred of its readings.

    Raises:
        SupportError: it reads several slices of a volume together.
    """
    check_explainable(classifier)

    def evidence(scan: Scan, row: int) -> npt.NDArray[np.floating]:
        values = np.clip(saliency(classifier, scan, row).values, 0.0, None)
        shown: npt.NDArray[np.floating] = values / max(float(values.max()), _LEAST)
        return shown

    return evidence
