"""How long the desk's three jobs take for ten 512 x 512 DICOM scans, in processor time and by the clock.

``python -m benchmarks.desk`` draws phantoms of twelve patients, enlarges them to 512 x 512, and has ten of
them imported and adapted to and two read by the shipped weights in this process. The first adaptation is
printed apart: it loads what later ones find loaded.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from pydicom import dcmread
from scipy.ndimage import zoom

from workbench.imaging.phantom import CLASSES, write_phantoms
from workbench.imaging.workers import close_workers
from workbench.service import adapting, conditions, imports, labels, reading, work
from workbench.service.engine import Engine
from workbench.service.handlers import handlers
from workbench.service.kinds import Actor, Draft, Role
from workbench.store import jobs, loop
from workbench.store.database import Store
from workbench.store.schema import User, new_id

SIDE = 512


def main() -> None:
    """Print one line for each step."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        files = _scans(place / "scans", 6)
        with _timed("load the shipped weights"):
            engine = Engine()
        store = Store.open(place / "data")
        with store.session() as session:
            user = User(id=new_id(), name="somebody", role=Role.EDITOR.value)
            session.add(user)
        actor = Actor(user.id, "somebody", Role.EDITOR, "Somebody")
        condition = conditions.create(store, actor, Draft("Lesion border", CLASSES))
        ten = [path for path in files if int(path.stem) < 5]
        for turn in ("first", "second"):
            with _timed(f"import ten scans ({turn} time; decoders start with the first)"):
                _import(store, actor, condition.id, ten, "support")
                _work(store, engine)
            if turn == "first":
                labels.accept_hints(store, actor, condition.id)
        for turn in ("first", "second"):
            with _timed(f"adapt to ten scans, click to result ({turn} time)"):
                adapting.start(store, actor, condition.id)
                _work(store, engine)
        with _timed("import and read two new cases"):
            _import(store, actor, condition.id, [path for path in files if int(path.stem) == 5], "case")
            _work(store, engine)
        cases = reading.cases(store, actor, condition.id)
        with _timed("show where the evidence of one lies"):
            reading.ask_evidence(store, actor, cases[0].scan.id)
            _work(store, engine)
        with _timed("the worklist and both lists of scans, once"):
            conditions.mine(store, actor)
            reading.cases(store, actor, condition.id)
        failed = [one for one in work.of_condition(store, actor, condition.id, False) if one.state != "done"]
        print(f"{len(cases)} cases read, {len(failed)} jobs failed")
        store.close()
    close_workers()


def _scans(folder: Path, patients: int) -> list[Path]:
    paths = []
    for drawn in write_phantoms(folder / "drawn", patients, seed=1):
        image = dcmread(drawn)
        stored = image.pixel_array
        pixels = zoom(stored.astype(np.float32), SIDE / image.Rows, order=1)
        image.Rows = image.Columns = SIDE
        image.PixelData = pixels.round().astype(stored.dtype).tobytes()
        target = folder / drawn.parent.name / f"{int(drawn.stem[-4:]) - 1}.dcm"
        target = target.with_stem(str(int(target.stem) % patients))
        target.parent.mkdir(exist_ok=True)
        image.save_as(target)
        paths.append(target)
    return paths


def _import(store: Store, actor: Actor, condition_id: str, files: list[Path], role: str) -> None:
    job_id = imports.begin(store, actor, condition_id, role)
    for path in files:
        imports.take(store, actor, job_id, f"{path.parent.name}/{path.name}", path)
    imports.commit(store, actor, job_id)


def _work(store: Store, engine: Engine) -> None:
    while (claim := jobs.claim(store, "benchmark", threading.Event())) is not None:
        loop.do(store, handlers(engine), claim)


@contextmanager
def _timed(what: str) -> Iterator[None]:
    clock, processor = time.perf_counter(), time.process_time()
    yield
    print(
        f"{what}: {time.perf_counter() - clock:.2f} s by the clock, "
        f"{time.process_time() - processor:.2f} s of processor"
    )


if __name__ == "__main__":
    main()
