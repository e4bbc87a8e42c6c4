"""Scans and their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from ui.api.base import Body, Data, Id, Who
from workbench.service import labels, trays
from workbench.service.kinds import Agreement, ScanInfo

routes = APIRouter(tags=["scans and labels"])
ClassId = Annotated[str, Field(pattern="^[0-9a-f]{32}$", description="Identifier of a class.")]


class LabelIn(Body):
    """What a scan is, in your own name."""

    class_id: Annotated[ClassId | None, Field(description="null takes your label back, unless unsure.")]
    unsure: Annotated[bool, Field(description="You looked and cannot say.")] = False


class SettleIn(Body):
    """What a scan counts as, where readers disagree."""

    class_id: ClassId


@dataclass(frozen=True, slots=True)
class Undone:
    """The scan whose label changed; null where nothing was left to undo."""

    scan_id: str | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """How many scans were labelled."""

    labelled: int


@routes.get("/conditions/{condition_id}/scans", summary="List scans")
def list_scans(
    store: Data, actor: Who, condition_id: Id, role: Literal["support", "case", "cohort"] = "support"
) -> tuple[ScanInfo, ...]:
    """In the order of their numbers. `label` is your own; others' are not shown before you have labelled."""
    return trays.scans(store, actor, condition_id, role)


@routes.delete("/scans/{scan_id}", status_code=204, summary="Take a scan out")
def remove_scan(store: Data, actor: Who, scan_id: Id) -> None:
    """It can be put back."""
    trays.remove(store, actor, (scan_id,))


@routes.post("/scans/{scan_id}/restore", status_code=204, summary="Put a scan back")
def restore_scan(store: Data, actor: Who, scan_id: Id) -> None:
    """Undo taking it out."""
    trays.restore(store, actor, (scan_id,))


@routes.put("/scans/{scan_id}/label", status_code=204, summary="Label a scan")
def label_scan(store: Data, actor: Who, scan_id: Id, body: LabelIn) -> None:
    """Say what it is, in your own name; the last label of a reader counts."""
    labels.set_label(store, actor, scan_id, body.class_id, body.unsure)


@routes.put("/scans/{scan_id}/settled", status_code=204, summary="Settle a disagreement")
def settle_scan(store: Data, actor: Who, scan_id: Id, body: SettleIn) -> None:
    """Say what it counts as where readers disagree."""
    labels.settle(store, actor, scan_id, body.class_id)


@routes.post("/conditions/{condition_id}/undo", summary="Undo the last label")
def undo_label(store: Data, actor: Who, condition_id: Id) -> Undone:
    """Take your own last label back; again for the one before."""
    return Undone(labels.undo(store, actor, condition_id))


@routes.post("/conditions/{condition_id}/hints", summary="Label as folders say")
def accept_hints(store: Data, actor: Who, condition_id: Id) -> Accepted:
    """Label what nobody has labelled as the folders of your own uploads say."""
    return Accepted(labels.accept_hints(store, actor, condition_id))


@routes.get("/conditions/{condition_id}/agreement", summary="How readers agree")
def get_agreement(store: Data, actor: Who, condition_id: Id) -> Agreement:
    """Kappa with its interval, and the scans they disagree about."""
    return labels.agreement(store, actor, condition_id)
