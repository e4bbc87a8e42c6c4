"""Ingest of a CT series: our `read_scans` against MONAI's LoadImage and plain pydicom, in one run, as ratios.

    python -m benchmarks.ingest --slices 500 --turns 7

Each reader runs in processes of its own, in turns (A B C A B C ...), on the same files, which are in the page
cache. A process imports its library, reads four slices so that lazy imports and decoding processes are
there, then reads the series once. Time is by the clock and in processor seconds of all its processes;
memory is the largest resident size of the process plus that of each of its workers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGLSLossless, generate_uid

from benchmarks.processes import peak_bytes, processor_seconds

SIDES = ("pydicom", "monai", "workbench")
SYNTAXES = {"uncompressed": ExplicitVRLittleEndian, "JPEG-LS": JPEGLSLossless}


@dataclass(frozen=True, slots=True)
class Turn:
    """One reading of the series.

    Attributes:
        seconds: by the clock.
        processor: seconds of all processes of this side.
        peak: bytes, resident, of all processes of this side.
        base: the same before the series was read.
        shape: of the volume, sorted.
        mean: of its values.
    """

    seconds: float
    processor: float
    peak: int
    base: int
    shape: tuple[int, ...]
    mean: float


@dataclass(frozen=True, slots=True)
class Row:
    """What a syntax gave: turns of each side, in the order they were taken."""

    syntax: str
    slices: int
    side: int
    turns: dict[str, list[Turn]]


def write_ct(folder: Path, slices: int, side: int, syntax: str) -> None:
    """A CT-like series: a body with noise, air around it, 12 bits in 16, one file a slice."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    noise = rng.normal(0, 15, (8, side, side))
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    for index in range(slices):
        size = 0.6 + 0.2 * np.sin(np.pi * index / slices)
        body = rows**2 + (columns / 1.3) ** 2 < size**2
        organ = (rows - 0.1) ** 2 + (columns + 0.3) ** 2 < 0.05
        values = np.where(body, 1040 + 60 * organ + noise[index % 8], 24).astype(np.uint16)
        image = ct_slice(values, index, series, study, frame)
        if syntax != ExplicitVRLittleEndian:
            image.compress(syntax)
        # Names do not tell the order.
        image.save_as(folder / f"{(index * 7919) % slices:05d}.dcm", enforce_file_format=True)


def ct_slice(values: npt.NDArray[np.uint16], index: int, series: str, study: str, frame: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
    image.PatientID, image.PatientName, image.Modality = "phantom", "phantom", "CT"
    image.Manufacturer, image.BodyPartExamined, image.KVP = "none", "ABDOMEN", 120
    image.InstanceNumber, image.SliceThickness, image.PixelSpacing = index + 1, 1.0, [0.8, 0.8]
    image.ImagePositionPatient = [-200.0, -200.0, float(index)]
    image.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    image.Rows, image.Columns = values.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = -1024, 1, "HU"
    image.WindowCenter, image.WindowWidth = 40, 400
    image.PixelData = values.tobytes()
    return image


def read_pydicom(folder: Path) -> npt.NDArray[np.float32]:
    """What a careful script does: read, sort by position, rescale, stack."""
    import pydicom

    images = [pydicom.dcmread(path) for path in folder.iterdir()]
    images.sort(key=lambda image: float(image.ImagePositionPatient[2]))
    planes = [
        image.pixel_array.astype(np.float32) * np.float32(image.RescaleSlope)
        + np.float32(image.RescaleIntercept)
        for image in images
    ]
    return np.stack(planes)


def read_monai(folder: Path) -> npt.NDArray[np.float32]:
    """MONAI's LoadImage with its PydicomReader, in its order (columns, rows, slices)."""
    from monai.transforms import LoadImage

    image = LoadImage(reader="PydicomReader", image_only=True)(folder)
    return np.asarray(image).transpose(2, 1, 0)


def read_workbench(folder: Path) -> npt.NDArray[np.float32]:
    """Our reader: grouping, geometry, findings, digests and patient keys included."""
    from workbench.imaging.read import read_scans

    (scan,) = read_scans([folder]).scans
    return scan.pixels[..., 0]


READERS = {"pydicom": read_pydicom, "monai": read_monai, "workbench": read_workbench}


def measure(side: str, folder: Path, warm: Path) -> Turn:
    """Read once in this process, which must be a fresh one."""
    read = READERS[side]
    read(warm)
    base, spent, start = peak_bytes(), processor_seconds(), time.perf_counter()
    volume = read(folder)
    seconds = time.perf_counter() - start
    turn = Turn(seconds, processor_seconds() - spent, peak_bytes(), base, volume.shape, float(volume.mean()))
    return turn


def compare(syntax: str, slices: int, side: int, turns: int) -> Row:
    """Write the series and let each side read it, in turns."""
    with tempfile.TemporaryDirectory(prefix="workbench-ingest-") as place:
        folder, warm = Path(place, "series"), Path(place, "warm")
        for made, number in ((folder, slices), (warm, 4)):
            made.mkdir()
            write_ct(made, number, side, SYNTAXES[syntax])
        taken: dict[str, list[Turn]] = {name: [] for name in SIDES}
        for number in range(turns):
            for name in SIDES:
                taken[name].append(_apart(name, folder, warm))
                print(syntax, number, name, taken[name][-1], flush=True)
    means = {round(turn.mean, 1) for turns_ in taken.values() for turn in turns_}
    if len(means) > 1:
        raise RuntimeError(f"the readers disagree about the values: means {means}")
    return Row(syntax, slices, side, taken)


def _apart(name: str, folder: Path, warm: Path) -> Turn:
    command = [sys.executable, "-m", "benchmarks.ingest", "--child", name, str(folder), str(warm)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return Turn(**json.loads(answer.stdout.splitlines()[-1]))


def spread(ours: list[float], theirs: list[float]) -> str:
    """Median of theirs over ours in neighbouring turns, and its 10th and 90th percentile."""
    ratios = np.array(theirs) / np.array(ours)
    low, middle, high = np.percentile(ratios, (10, 50, 90))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def table(rows: list[Row]) -> str:
    """The page's tables in Markdown."""
    lines = [
        "| series | reader | clock, s | processor, s | peak memory, MiB | of it before reading, MiB | "
        "its time over ours, clock | its time over ours, processor |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours = row.turns["workbench"]
        for name in SIDES:
            turns = row.turns[name]
            clock, spent = [t.seconds for t in turns], [t.processor for t in turns]
            peak, base = (np.median([getattr(t, part) for t in turns]) / 2**20 for part in ("peak", "base"))
            lines.append(
                f"| {row.slices} x {row.side} x {row.side}, {row.syntax} | {name} | {np.median(clock):.2f} | "
                f"{np.median(spent):.2f} | {peak:,.0f} | {base:,.0f} | "
                f"{spread([t.seconds for t in ours], clock)} | "
                f"{spread([t.processor for t in ours], spent)} |"
            )
    return "\n".join(lines)


def main() -> None:
    """See the module's description."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--slices", type=int, default=500)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--syntaxes", nargs="*", default=list(SYNTAXES), choices=list(SYNTAXES))
    parser.add_argument("--json", type=Path, default=Path("docs/benchmarks/ingest.json"))
    parser.add_argument("--child", nargs=3, metavar=("SIDE", "FOLDER", "WARM"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, folder, warm = options.child
        print(json.dumps(asdict(measure(name, Path(folder), Path(warm)))))
        return
    rows: list[Row] = []
    for syntax in options.syntaxes:
        rows.append(compare(syntax, options.slices, options.side, options.turns))
        print(table(rows), flush=True)
        options.json.write_text(record(rows), encoding="utf-8")


def record(rows: list[Row]) -> str:
    """Every turn, as JSON."""
    processors = len(os.sched_getaffinity(0))
    found = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {processors} processors",
        "load": os.getloadavg()[0],
        "rows": [asdict(row) for row in rows],
    }
    return json.dumps(found, indent=1) + "\n"


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
