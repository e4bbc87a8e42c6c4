"""Names of a scan's pixels: equal for copies in any file format, whatever is read of them.

Called by `region`, by the readers of labelled scans and by the store of adapted models.
"""

from __future__ import annotations

import hashlib

import numpy as np

from workbench.imaging.scan import Scan


def pixel_digest(scan: Scan) -> str:
    """SHA-256 of all pixels of the scan as it was read, also where only a part of it is left."""
    if scan.whole:
        return scan.whole
    sha = hashlib.sha256(repr(scan.pixels.shape).encode())
    for plane in scan.pixels:
        sha.update(np.ascontiguousarray(plane).data)
    return sha.hexdigest()


def copy_digest(scan: Scan) -> str:
    """Equal for copies: of one scan, two marked parts are no copies of each other."""
    return f"{pixel_digest(scan)} {scan.marked}".rstrip()
