from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.conftest import Run, class_files, done, lesions, upload
from tests.service.made import adapted
from workbench.errors import SupportError
from workbench.service import labels, suggesting, trays
from workbench.service.kinds import Actor
from workbench.store.database import Store

pytestmark = pytest.mark.usefixtures("private_home")


def test_unlabelled_scans_are_suggested_and_drop_out_once_labelled(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run
) -> None:
    condition = adapted(store, ada, phantoms, run_jobs, labelled=2, cases=0)
    assert suggesting.suggested(store, ada, condition.id).scans == ()
    with pytest.raises(SupportError, match="Every scan has a label"):
        suggesting.next_to_label(store, ada, condition.id)
    upload(store, ada, condition.id, class_files(phantoms, 2, first=2))
    run_jobs()
    job = suggesting.next_to_label(store, ada, condition.id, 3)
    run_jobs()
    done(store, ada, job)
    found = suggesting.suggested(store, ada, condition.id)
    unlabelled = {scan.id for scan in trays.scans(store, ada, condition.id, "support") if scan.label is None}
    assert len(found.scans) == 3
    assert {one.scan_id for one in found.scans} <= unlabelled
    assert all(one.reason and 0 <= one.probability <= 1 for one in found.scans)
    assert found.outlook
    labels.set_label(store, ada, found.scans[0].scan_id, condition.classes[0].id)
    left = suggesting.suggested(store, ada, condition.id)
    assert left.scans == found.scans[1:]


def test_without_a_version_nothing_is_suggested(store: Store, ada: Actor) -> None:
    with pytest.raises(SupportError, match="adapted model"):
        suggesting.next_to_label(store, ada, lesions(store, ada).id)
