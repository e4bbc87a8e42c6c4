"""Which function does which kind of job. Run by `workbench.service.worker`, and by tests within them.

Each takes the store and the claim, computes outside of any transaction, and writes its whole effect in one,
together with `workbench.store.jobs.finish`: a job that is done twice has its effect once.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from workbench.service import (
    job_adapt,
    job_compare,
    job_demo,
    job_evaluate,
    job_export,
    job_import,
    job_pacs,
    job_read,
    job_suggest,
)
from workbench.service.engine import Engine
from workbench.store.loop import Handler


def handlers(engine: Engine) -> Mapping[str, Handler]:
    """By kind of job."""
    return {
        "import": partial(job_import.run, engine),
        "adapt": partial(job_adapt.run, engine),
        "read": partial(job_read.run, engine),
        "evidence": partial(job_read.explain, engine),
        "demo": partial(job_demo.run, engine),
        "compare": partial(job_compare.run, engine),
        "evaluate": partial(job_evaluate.run, engine),
        "export": partial(job_export.run, engine),
        "suggest": partial(job_suggest.run, engine),
        "retrieve": job_pacs.retrieve,
        "results": partial(job_pacs.send, engine),
    }
