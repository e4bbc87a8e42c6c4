"""Find images that look the same though their pixels differ: re-compressed, scaled, neighbouring slices.

Two images are near-duplicates where their thumbnails correlate and their difference hashes agree. Either
alone is fooled: correlation by sets in which every image has the same layout, the hash by flat backgrounds.
"""

from __future__ import annotations

from collections.abc import Sequence

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

ROWS, COLUMNS = 16, 17
CORRELATION = 0.99
"""Least Pearson correlation of two thumbnails."""
DISTANCE = 8
"""Most differing bits, of 256."""
HASH_SIDE, HASH_DISTANCE, HASH_CORRELATION = 16, 34, 0.95
"""Perceptual hash: 256 bits, of which near-copies differ in at most so many; and what their thumbnails must
correlate."""
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
    unit = _unit(thumbnails)
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


def near_copies(looks: Sequence[npt.NDArray[np.uint8]]) -> tuple[tuple[int, int], ...]:
    """Pairs of images that look the same though their pixels differ: scaled, re-compressed, brightened.

    Pairs by `near_pairs` or by the perceptual hash (DCT) of `imagehash`, the latter among thumbnails
    that correlate; flat images have no copies.

    Args:
        looks: uint8 grey images ``(rows, columns)`` of any size.

    Returns:
        pairs of rows, the lower first.
    """
    if len(looks) < 2:
        return ()
    thumbnails = thumbnails_of(looks)
    pairs = {(int(a), int(b)) for a, b in near_pairs(thumbnails)}
    hashes = np.array([_hash(look) for look in looks])
    alike = correlations(thumbnails)
    for row in range(len(looks) - 1):
        distances = (hashes[row + 1 :] ^ hashes[row]).sum(axis=1)
        close = (distances <= HASH_DISTANCE) & (alike[row, row + 1 :] >= HASH_CORRELATION)
        pairs |= {(row, row + 1 + int(k)) for k in np.flatnonzero(close)}
    return tuple(sorted(pairs))


def _hash(look: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    bits: npt.NDArray[np.bool_] = imagehash.phash(Image.fromarray(look), hash_size=HASH_SIDE).hash
    return bits.ravel()


def thumbnails_of(looks: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
    """Block means ``(n, 16, 17)``; smaller images are enlarged first."""
    sized = [
        look
        if look.shape[0] >= ROWS and look.shape[1] >= COLUMNS
        else np.asarray(Image.fromarray(look).resize((4 * COLUMNS, 4 * ROWS)))
        for look in looks
    ]
    return np.stack([thumbnail(look) for look in sized])


def correlations(thumbnails: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Pearson correlation of each pair ``(n, n)``; 0 where one of them is flat."""
    unit = _unit(thumbnails)
    product: npt.NDArray[np.float32] = unit @ unit.T
    return product


def _unit(thumbnails: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Rows without mean and of unit length; zeros where a thumbnail is flat."""
    flat = thumbnails.reshape(len(thumbnails), -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 1e-3)
    return unit


def _edges(length: int, parts: int) -> npt.NDArray[np.int64]:
    return np.arange(parts, dtype=np.int64) * length // parts


def _sizes(length: int, parts: int) -> npt.NDArray[np.int64]:
    return np.diff(np.append(_edges(length, parts), length))
