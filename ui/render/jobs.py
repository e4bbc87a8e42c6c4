"""A job as it stands: what it does, how far it is, and a way to stop it."""

from __future__ import annotations

from ui.render.markup import button, esc, icon
from workbench.service.kinds import JobInfo

NAMES = {
    "import": "Reading files",
    "adapt": "Adapting",
    "read": "Reading cases",
    "evidence": "Looking for the evidence",
    "evaluate": "Evaluating",
    "export": "Exporting",
    "suggest": "Looking for the next scan to label",
}


def progress(job: JobInfo, may_cancel: bool = True) -> str:
    """A job that is not over yet; nothing once it is done, and one line once it failed or was stopped."""
    name = NAMES.get(job.kind, job.kind.capitalize())
    if job.state == "failed":
        return (
            f'<div class="wb-notice wb-refused" role="alert">{icon("refused")}<span><b>{esc(name)} failed.</b> '
            f"{esc(job.error)}</span></div>"
        )
    if job.state == "cancelled":
        return (
            f'<div class="wb-notice wb-info" role="status">{icon("info")}<span>{esc(name)} was stopped. '
            "Nothing was changed.</span></div>"
        )
    if job.over:
        return ""
    known = job.total > 0
    share = f' value="{min(job.done, job.total)}" max="{job.total}"' if known else ""
    count = f"{job.done} of {job.total}" if known else "waiting" if job.state == "queued" else ""
    said = job.said or ("Waiting for a free worker" if job.state == "queued" else name)
    stop = button("Stop", "cancel", job.id, "quiet", f"Stop: {name}") if may_cancel else ""
    return (
        f'<div class="wb-job" role="status" data-job="{esc(job.id)}"><div class="wb-job-head"><b>{esc(name)}</b>'
        f'<span>{count}</span>{stop}</div><progress{share} aria-label="{esc(name)}"></progress>'
        f'<p class="wb-quiet-line">{esc(said)}. You may close this page: it goes on, and is shown again when '
        "you come back.</p></div>"
    )
