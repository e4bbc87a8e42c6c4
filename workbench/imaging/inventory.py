"""What came of every file of a folder: how it is encoded, and how it is read or why it is refused.

For people who want to know before they adapt or predict, and for the table of public test files in the
documentation. Called by the command line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.uid import UID

from workbench.errors import ScanRefused
from workbench.imaging.archive import is_clutter
from workbench.imaging.dicomfile import quiet, syntax_name
from workbench.imaging.options import DEFAULTS, ReadOptions
from workbench.imaging.read import natural, read_scan
from workbench.imaging.scan import Scan
from workbench.imaging.sniff import Kind, sniff


@dataclass(frozen=True, slots=True)
class Row:
    """One file.

    Attributes:
        file: its path below the folder.
        encoding: format with transfer syntax or data type; empty where it is of no known format.
        outcome: ``read`` or ``refused``.
        modality: DICOM code of a scan that was read.
        shape: slices x rows x columns x channels of a scan that was read.
        units: of its values.
        spacing: millimetres between slices, rows and columns; ``?`` where unknown.
        findings: their codes.
        reason: why it was refused.
        fix: what can be done.
    """

    file: str
    encoding: str
    outcome: str
    modality: str = ""
    shape: str = ""
    units: str = ""
    spacing: str = ""
    findings: str = ""
    reason: str = ""
    fix: str = ""


def inventory(
    folder: Path, options: ReadOptions = DEFAULTS, progress: Callable[[int, int], None] | None = None
) -> Iterator[Row]:
    """Every file of a folder and its subfolders on its own, in natural order.

    Slices of a series are not put together: each file's own outcome is asked for.

    Args:
        folder: where the files are; a single file will do.
        options: how to read.
        progress: called with the number of files done and in all.
    """
    files = _files(folder)
    root = folder if folder.is_dir() else folder.parent
    for done, path in enumerate(files, start=1):
        yield look(path, path.relative_to(root).as_posix(), options)
        if progress is not None:
            progress(done, len(files))


def look(path: Path, name: str, options: ReadOptions = DEFAULTS) -> Row:
    """The row of one file."""
    try:
        return row_of(path, name, read_scan(path, options=options))
    except ScanRefused as error:
        return row_of(path, name, error)


def row_of(path: Path, name: str, outcome: Scan | ScanRefused) -> Row:
    """The row of a file that has been read or refused."""
    if isinstance(outcome, Scan):
        return _read(outcome, name)
    return Row(name, _encoding(path), "refused", reason=outcome.reason, fix=outcome.fix)


def as_markdown(tables: Mapping[str, Sequence[Row]]) -> str:
    """A table of file, encoding and outcome for each folder, under its name and a count of both outcomes."""
    lines: list[str] = []
    for title, rows in tables.items():
        read = sum(row.outcome == "read" for row in rows)
        lines += [
            f"## {title}",
            "",
            f"{len(rows)} files: {read} read, {len(rows) - read} refused with a reason.",
            "",
            "| file | encoding | outcome |",
            "|---|---|---|",
            *(f"| {_cell(row.file)} | {_cell(row.encoding)} | {_cell(_outcome(row))} |" for row in rows),
            "",
        ]
    return "\n".join(lines[:-1]) + "\n"


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return [folder]
    found: list[Path] = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural)
        found += [Path(root, name) for name in sorted(files, key=natural) if not is_clutter(name)]
    return found


def _read(scan: Scan, name: str) -> Row:
    spacing = "?" if scan.spacing is None else " x ".join(f"{value:.4g}" for value in scan.spacing)
    encoding = scan.provenance.encoding
    if scan.provenance.format == "DICOM":
        encoding = f"DICOM, {encoding}"
    return Row(
        name,
        encoding,
        "read",
        scan.modality,
        " x ".join(map(str, scan.pixels.shape)),
        str(scan.units),
        spacing,
        ", ".join(finding.code for finding in scan.findings),
    )


def _outcome(row: Row) -> str:
    if row.outcome == "refused":
        return f"refused: {row.reason}"
    known = f"{row.modality} {row.shape}, {row.units}, {row.spacing} mm"
    return f"{known}; {row.findings}" if row.findings else known


def _encoding(path: Path) -> str:
    """How a refused file is encoded, as far as it says; nothing of this may fail."""
    try:
        kind = sniff(path)
        if kind is Kind.UNKNOWN:
            return ""
        if kind not in (Kind.DICOM, Kind.DICOMDIR):
            return kind.name.replace("_", " ")
        with quiet():
            syntax = pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID")
        return f"DICOM, {syntax_name(UID(str(syntax)))}" if syntax else "DICOM"
    except Exception:
        return ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
