"""A worker that leaves when whoever started it is gone."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

OPTION = "--with-parent"
"""Of ``python -m workbench.service.worker``: standard input is a pipe whose other end the parent holds."""


def watch(leave: Callable[[], None], patience: float = 5.0) -> threading.Thread:
    """Call `leave` once standard input ends, and end the process `patience` seconds later.

    What is under way then is taken up again by another worker when its lease has run out.
    """
    source = sys.stdin.buffer if sys.stdin is not None else None

    def wait() -> None:
        if source is not None:
            while source.read(1):
                pass
        leave()
        threading.Event().wait(patience)
        os._exit(0)

    thread = threading.Thread(target=wait, name="parent", daemon=True)
    thread.start()
    return thread
