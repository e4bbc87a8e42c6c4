"""A worker process: does the jobs that wait in a data directory, until it is told to end.

``python -m workbench.service.worker --data DIR [--database URL] [--weights general] [--threads 1]``

Started and watched by `workbench ui`; any number may run at once, on several machines with PostgreSQL and a
shared data directory. SIGTERM and SIGINT end it once the job at hand has reported; that job goes back to the
queue. A worker that is killed loses nothing: its job is taken by another after its lease.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from workbench.errors import WorkbenchError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to end.

    Args:
        arguments: of the command line; those of this process where not given.

    Returns:
        Exit status: 0 ended as told, 2 for a data directory or weights that cannot be used.
    """
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(process)d: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _watch_parent(given.parent, stop)
    # Only now: before torch is there, threads can still be limited.
    os.environ.setdefault("OMP_NUM_THREADS", str(given.threads))
    import torch

    from workbench.imaging.workers import close_workers
    from workbench.service.engine import Engine
    from workbench.service.handlers import handlers
    from workbench.service.retention import watch
    from workbench.service.sweeping import own_name, release_dead, sweep
    from workbench.store import loop
    from workbench.store.database import Store

    torch.set_num_threads(given.threads)
    try:
        store = Store.open(given.data, given.database)
        engine = Engine(given.weights, given.pool_slices)
    except WorkbenchError as error:
        logging.error("%s", error)
        return 2
    name = given.name or own_name()
    logging.info("ready")
    try:
        release_dead(store)
        sweep(store)
        watch(store, stop)
        loop.run(store, handlers(engine), stop, name)
    finally:
        close_workers()
        store.close()
    return 0


def _watch_parent(parent: int, stop: threading.Event) -> None:
    """End when the server that started this process is gone, however it went."""
    if not parent:
        return

    def watch() -> None:
        while not stop.wait(1.0):
            if os.getppid() != parent:
                stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workbench.service.worker", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the data directory")
    parser.add_argument(
        "--database",
        default=os.environ.get("WORKBENCH_DATABASE") or None,
        help="URL of a PostgreSQL database; WORKBENCH_DATABASE keeps it from the list of processes",
    )
    parser.add_argument("--weights", default="general", help="shipped weights, or a learner file")
    parser.add_argument("--threads", type=int, default=1, help="threads of computation")
    parser.add_argument("--pool-slices", type=int, default=0, help="slices that an encoder of images pools")
    parser.add_argument("--name", default="", help="of this process, that no other has or had")
    parser.add_argument("--parent", type=int, default=0, help="end with the process of this number")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
