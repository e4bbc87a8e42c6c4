"""Keeping freed memory for the next step.

glibc gives blocks beyond 32 MB back to the system as soon as they are freed, so every training step on the
CPU has fresh pages mapped and zeroed for its feature maps; with 64 px images that is half of the time.
Called by `workbench.training.run.train`.
"""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt``, malloc.h of glibc."""

_KEPT = 1 << 30


def keep_freed_memory() -> bool:
    """Let the C library keep freed blocks of up to a gigabyte; the process stays at its peak size.

    Returns:
        Whether it took effect; only glibc has the setting, elsewhere nothing is done.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_MMAP_THRESHOLD, _KEPT)) and bool(libc.mallopt(_TRIM_THRESHOLD, 2 * _KEPT - 1))
