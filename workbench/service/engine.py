"""What computes: meta-trained learners by method, loaded once in each worker process, and adapted models.

Jobs go through `workbench.adaptation.model` and `Classifier.predict` as the command line does; this keeps
what they load.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from workbench.adaptation import model as models
from workbench.adaptation.model import AdaptedModel
from workbench.errors import SupportError
from workbench.learners import learners
from workbench.learners.files import LoadedLearner
from workbench.weights import DEFAULT

_MODELS = 8
"""Adapted models kept loaded."""


class Engine:
    """Learners by method on one set of weights, and the adapted models that were last used.

    Args:
        weights: a shipped name, or a learner file.
        pool_slices: how many slices of a volume an encoder of images reads; 0 for the middle one.

    Raises:
        ModelFileError: there are no such weights, or the file is damaged.
        PlanError: slices to be pooled by weights that read volumes already.
    """

    def __init__(self, weights: str | Path = DEFAULT, pool_slices: int = 0) -> None:
        self.weights = weights
        self._pool_slices = pool_slices
        self._learners: dict[str, LoadedLearner] = {}
        self._models: OrderedDict[str, AdaptedModel] = OrderedDict()
        self._lock = threading.Lock()
        own = models.load_weights(weights, pooled_slices=pool_slices)
        self.record = own.record
        self.default_method = own.record.method
        self._learners[self.default_method] = own

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, the default first."""
        rest = [name for name in learners() if name != self.default_method]
        return (self.default_method, *rest)

    def learner(self, method: str = "") -> LoadedLearner:
        """The learner of a method, on these weights or the method's own variant of them.

        Args:
            method: empty for the default.

        Raises:
            SupportError: there is no such method.
        """
        name = method or self.default_method
        if name not in self.methods:
            raise SupportError("This method does not exist. Choose one of the list.")
        with self._lock:
            if name not in self._learners:
                self._learners[name] = models.load_weights(self.weights, name, self._pool_slices)
            return self._learners[name]

    def model(self, sha256: str, path: Path) -> AdaptedModel:
        """An adapted model by the digest of its file; those used last are kept.

        Raises:
            ModelFileError: the file is damaged, or was adapted from other weights than these.
        """
        with self._lock:
            if sha256 not in self._models:
                self._models[sha256] = self._read(path)
                while len(self._models) > _MODELS:
                    self._models.popitem(last=False)
            self._models.move_to_end(sha256)
            return self._models[sha256]

    def _read(self, path: Path) -> AdaptedModel:
        named = str(self.weights)
        # Shipped weights are found by digest, also those of a method's own; a file has to be named.
        own_file = named.endswith(".safetensors") or "/" in named
        return models.load_model(path, self.weights if own_file else None)
