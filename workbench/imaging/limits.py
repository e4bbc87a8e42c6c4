"""How much a file may ask for, in one place.

Every reader checks a file's claims against these numbers before anything is allocated or inflated, because
a few hundred bytes can claim gigabytes (RLE, NIfTI headers, deflate). Called by all readers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from workbench.errors import ScanRefused

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """Budget of one scan, and of one archive.

    Attributes:
        file_bytes: largest file opened.
        values: largest number of decoded pixel values (slices x rows x columns x channels) of one scan;
            2**28 is 1 GiB as float32, a CT of 1,024 slices.
        inflated_bytes: largest size of anything deflated inside a file.
        header_bytes: most of a file before its pixels (NIfTI's extensions).
        side: most rows or columns.
        archive_entries: most entries of a zip.
        archive_bytes: largest total size of a zip's entries.
        inflation: how many times its size a zip or a deflated file may inflate to, beyond
            `free_inflation` bytes (blank slices compress a hundredfold).
        free_inflation: bytes that may always come out.
    """

    file_bytes: int = 2048 * MIB
    values: int = 2**28
    inflated_bytes: int = 1024 * MIB
    header_bytes: int = 64 * MIB
    side: int = 65_535
    archive_entries: int = 20_000
    archive_bytes: int = 4096 * MIB
    inflation: float = 100.0
    free_inflation: int = 64 * MIB

    def inflated(self, size: int) -> int:
        """Bytes that may come out of a deflated file of `size` bytes."""
        return min(self.inflated_bytes, max(self.free_inflation, int(self.inflation * size)))


LIMITS = Limits()


def check_values(source: str, sizes: Iterable[int]) -> None:
    """Refuse a scan whose header claims nothing at all or more than the budget.

    Args:
        source: the file's name, for the message.
        sizes: numbers whose product is the count of pixel values.

    Raises:
        ScanRefused: a size is not positive, or the product passes `Limits.values`.
    """
    numbers = [int(size) for size in sizes]
    if any(number <= 0 for number in numbers):
        raise ScanRefused(
            source, "Its header says that the image has no pixels.", "Export it again from its source."
        )
    if max(numbers) > LIMITS.side or prod(numbers) > LIMITS.values:
        raise ScanRefused(
            source,
            f"Its header claims {' x '.join(map(str, numbers))} values; {LIMITS.values:,} are allowed.",
            "Export a smaller region or fewer frames.",
        )


def check_file_size(source: str, size: int) -> None:
    """Refuse an empty file or one larger than `Limits.file_bytes`.

    Raises:
        ScanRefused: as said.
    """
    if size == 0:
        raise ScanRefused(source, "The file is empty.", "Copy or export it again.")
    if size > LIMITS.file_bytes:
        raise ScanRefused(
            source,
            f"The file has {size / MIB:,.0f} MiB; {LIMITS.file_bytes / MIB:,.0f} MiB are allowed.",
            "Export fewer frames or split the series.",
        )
