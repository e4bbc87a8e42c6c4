"""Warnings are silenced while any thread reads, and come back afterwards."""

from __future__ import annotations

import threading
import warnings

from workbench.imaging.dicomfile import quiet


def test_threads_that_overlap_leave_the_filters_as_they_were() -> None:
    before = list(warnings.filters)
    first, second = threading.Event(), threading.Event()
    heard: list[bool] = []

    def long() -> None:
        with quiet():
            first.set()
            second.wait(10)
            with warnings.catch_warnings(record=True) as caught:
                warnings.warn("says a path", UserWarning, stacklevel=1)
            heard.append(bool(caught))

    thread = threading.Thread(target=long)
    with quiet():
        thread.start()
        first.wait(10)
    second.set()
    thread.join(10)
    assert heard == [False]
    assert list(warnings.filters) == before
