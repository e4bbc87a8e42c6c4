"""Which scan should be labelled next: pool-based active learning for an adapted classifier.

`suggest` is what the command line and the UI call. A strategy is one file in `workbench.querying.strategies`
with a subclass of `QueryStrategy`; nothing else is edited. The learned strategy is meta-trained with
reinforcement learning over many conditions (`workbench.querying.meta_training`).
"""

DEFAULT = "policy"
"""The strategy `suggest` uses unless one is named; docs/benchmarks/querying.md says why."""
