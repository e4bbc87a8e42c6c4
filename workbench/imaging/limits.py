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
        free_values: decoded pixel values that a file of any size may claim (2,896 x 2,896); beyond them it
            may claim `inflation` values for each of its bytes, as no honest image compresses further.
        read_values: most values held by all scans of one call of `read_scans`, 8 GiB as float32.
        free_read_values: as `free_values`, for all files of one call together; beyond them half of
            `inflation` for each byte.
        worker_bytes: most memory that a worker may take for one file.
        free_worker_bytes: memory that it may take for a file of any size; by `worker_factor` times the
            file's size it may take more.
        worker_factor: see there; a lossy colour image grows about 200 times until it is float32.
        free_seconds: processor time for a file of any size; and `seconds_per_mib` for each MiB of it.
        seconds_per_mib: see `free_seconds`.
        most_seconds: of processor time, for a file of any size.
        patience: how many times the processor time may pass by the clock.
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
    free_values: int = 2**23
    read_values: int = 2**31
    free_read_values: int = 2**25
    worker_bytes: int = 4096 * MIB
    free_worker_bytes: int = 640 * MIB
    worker_factor: float = 200.0
    free_seconds: float = 10.0
    seconds_per_mib: float = 1.0
    most_seconds: float = 300.0
    patience: float = 4.0

    def inflated(self, size: int) -> int:
        """Bytes that may come out of a deflated file of `size` bytes."""
        return min(self.inflated_bytes, max(self.free_inflation, int(self.inflation * size)))

    def claimable(self, size: int) -> int:
        """Pixel values that a compressed file of `size` bytes may claim to hold."""
        return min(self.values, max(self.free_values, int(self.inflation * size)))

    def readable(self, size: int) -> int:
        """Pixel values that may be held by all scans out of files of `size` bytes together."""
        return min(self.read_values, max(self.free_read_values, int(self.inflation * size / 2)))

    def memory(self, size: int) -> int:
        """Bytes that a worker may take for a file of `size` bytes."""
        return min(self.worker_bytes, self.free_worker_bytes + int(self.worker_factor * size))

    def seconds(self, size: int) -> float:
        """Processor time that a worker may take for a file of `size` bytes."""
        return min(self.most_seconds, self.free_seconds + self.seconds_per_mib * size / MIB)


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


def check_claim(source: str, values: int, size: int) -> None:
    """Refuse a compressed file that claims more pixels than one of its size can honestly hold.

    Codecs allocate what is claimed before they find that nothing is there.

    Args:
        source: the file's name, for the message.
        values: claimed number of pixel values.
        size: of the file in bytes.

    Raises:
        ScanRefused: the claim passes `Limits.claimable`.
    """
    if values > LIMITS.claimable(size):
        raise ScanRefused(
            source,
            f"It claims {values:,} pixel values in {size:,} bytes, which no image compresses to.",
            "Export it again from its source, uncompressed if it is blank.",
        )


def check_held(source: str, claimed: int, held: int) -> None:
    """Refuse uncompressed pixels of which fewer bytes are there than the header claims.

    Raises:
        ScanRefused: as said.
    """
    if claimed > held:
        raise ScanRefused(
            source,
            f"It is cut short: {held:,} of {claimed:,} bytes of pixels are there.",
            "Copy or export it again from its source.",
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
