"""Find images that look the same though their pixels differ: re-compressed, scaled, neighbouring slices.

Two images are near-duplicates where their thumbnails correlate and their difference hashes agree. Either
alone is fooled: correlation by sets in which every image has the same layout, the hash by flat backgrounds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ROWS, COLUMNS = 16, 17
CORRELATION = 0.99
"""Least Pearson correlation of two thumbnails."""
DISTANCE = 8
"""Most differing bits, of 256."""
LIMIT = 60_000
"""Most images that are compared pair by pair: time grows with the square (a minute at the limit)."""

_BLOCK = 2048


def thumbnail(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Block means, float32 ``(16, 17)``, of a grey image ``(rows, columns)`` of at least that size."""
    values = image.astype(np.float32)
    down = np.add.reduceat(values, _edges(image.shape[0], ROWS), axis=0)
    both = np.add.reduceat(down, _edges(image.shape[1], COLUMNS), axis=1)
    sizes = np.outer(_sizes(image.shape[0], ROWS), _sizes(image.shape[1], COLUMNS))
    return (both / sizes).astype(np.float32)


def difference_hash(thumbnails: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
    """Signs of horizontal differences: 256 bits as uint64 ``(n, 4)``, from thumbnails ``(n, 16, 17)``.

    After N. Krawetz, "Kind of Like That" (2013).
    """
    bits = thumbnails[:, :, 1:] > thumbnails[:, :, :-1]
    return np.packbits(bits.reshape(len(bits), -1), axis=1).view(np.uint64)


def near_pairs(thumbnails: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Rows of near-duplicate pairs, int64 ``(pairs, 2)``, first row below the second.

    Args:
        thumbnails: float32 ``(n, 16, 17)``; flat ones have no near-duplicates.
    """
    flat = thumbnails.reshape(len(thumbnails), -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 1e-3)
    hashes = difference_hash(thumbnails)
    found = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, len(unit), _BLOCK):
        rows, others = np.nonzero(unit[start : start + _BLOCK] @ unit[start:].T >= CORRELATION)
        ahead = rows < others
        first, second = rows[ahead] + start, others[ahead] + start
        bits = np.bitwise_count(hashes[first] ^ hashes[second]).sum(axis=1)
        close = bits <= DISTANCE
        found.append(np.stack([first[close], second[close]], axis=1).astype(np.int64))
    return np.concatenate(found)


def _edges(length: int, parts: int) -> npt.NDArray[np.int64]:
    return np.arange(parts, dtype=np.int64) * length // parts


def _sizes(length: int, parts: int) -> npt.NDArray[np.int64]:
    return np.diff(np.append(_edges(length, parts), length))
