"""The table of what every file of a folder is."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import SegmentationStorage
from typer.testing import CliRunner

from tests.imaging.makers import asymmetric, ct, enhanced, save, write_series
from workbench.cli import app
from workbench.imaging import ReadOptions
from workbench.imaging.inventory import as_markdown, inventory, look


def _folder(root: Path) -> Path:
    save(ct(np.arange(6, dtype=np.uint16).reshape(2, 3)), root / "b" / "image10")
    save(ct(np.zeros((2, 3), np.uint16)), root / "b" / "image9")
    segmentation = ct(np.zeros((2, 2), np.uint8))
    segmentation.SOPClassUID = segmentation.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    save(segmentation, root / "labels|1.dcm")
    (root / "notes.txt").write_text("=cmd", encoding="utf-8")
    (root / ".DS_Store").write_bytes(b"x")
    return root


def test_every_file_has_one_row_in_natural_order(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    rows = list(inventory(_folder(tmp_path), progress=lambda done, total: seen.append((done, total))))
    assert [row.file for row in rows] == ["labels|1.dcm", "notes.txt", "b/image9", "b/image10"]
    assert [row.outcome for row in rows] == ["refused", "refused", "read", "read"]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert rows[0].encoding == "DICOM, Explicit VR Little Endian"
    assert "segmentation (SEG)" in rows[0].reason
    assert rows[1].encoding == ""
    assert rows[3].encoding == "DICOM, Explicit VR Little Endian, 16 bits"
    assert (rows[3].shape, rows[3].units, rows[3].modality) == ("1 x 2 x 3 x 1", "HU", "CT")


def test_the_syntax_of_a_refused_file_is_named(tmp_path: Path) -> None:
    image = ct(np.zeros((2, 2), np.uint16))
    image.PixelData = b"\x00\x00"
    row = look(save(image, tmp_path / "x"), "x")
    assert (row.outcome, row.encoding) == ("refused", "DICOM, Explicit VR Little Endian")


def test_the_markdown_counts_and_keeps_its_columns(tmp_path: Path) -> None:
    text = as_markdown({"incoming": tuple(inventory(_folder(tmp_path)))})
    assert text.startswith("## incoming\n\n4 files: 2 read, 2 refused with a reason.")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 6
    assert all(line.replace("\\|", "").count("|") == 4 for line in lines)


def test_the_command_writes_both_forms(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "in")
    shown = CliRunner().invoke(app, ["scans", "check", str(folder), str(folder / "b")])
    assert shown.exit_code == 0, shown.output
    assert "## b\n\n2 files: 2 read" in shown.stdout
    assert "2 read, 2 refused" in shown.stdout
    out = tmp_path / "table.csv"
    written = CliRunner().invoke(app, ["scans", "check", str(folder), "--format", "csv", "--out", str(out)])
    assert written.exit_code == 0, written.output
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert [row["outcome"] for row in rows] == ["refused", "refused", "read", "read"]
    assert all(str(tmp_path) not in value for row in rows for value in row.values())


def test_the_command_fails_where_nothing_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no", encoding="utf-8")
    assert CliRunner().invoke(app, ["scans", "check", str(tmp_path)]).exit_code == 1
    assert CliRunner().invoke(app, ["scans", "check", str(tmp_path / "absent")]).exit_code == 2


def test_options_reach_the_reader(tmp_path: Path) -> None:
    image = enhanced(asymmetric((5, 3, 3)), [(0, 0, z) for z in (0, 1, 2, 5, 6)])
    save(image, tmp_path / "x")
    result = CliRunner().invoke(app, ["scans", "check", str(tmp_path), "--remedy", "largest-regular-block"])
    assert "MR 3 x 3 x 3 x 1" in result.stdout
    assert "largest-block-kept" in result.stdout
    refused = CliRunner().invoke(app, ["scans", "check", str(tmp_path), "--volume", "3"])
    assert "no volume 3" in refused.stdout


@pytest.mark.parametrize("command", ["adapt", "predict", "evaluate"])
def test_commands_that_read_scans_take_the_same_options(command: str) -> None:
    text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    for option in ("--remedy", "--volume", "--allow-no-preamble"):
        assert option in text


def test_remedies_on_the_command_line_are_those_of_the_library() -> None:
    from workbench.cli_scans import Remedies, read_options
    from workbench.imaging import Remedy

    assert [remedy.value for remedy in Remedies] == [remedy.value for remedy in Remedy]
    assert read_options(None, None, False) == ReadOptions()
    assert read_options(list(Remedies), 1, True) == ReadOptions(frozenset(Remedy), 1, True)


def test_a_remedy_given_to_predict_reaches_every_way_of_reading(tmp_path: Path) -> None:
    """`iter_scans` (predict) and `iter_examples` (adapt, evaluate) hand the choice on."""
    from workbench.data.folders import iter_examples, iter_scans
    from workbench.imaging import Remedy, Scan

    for label in ("a", "b"):
        paths = write_series(tmp_path / label, asymmetric((6, 4, 4)))
        paths[1].unlink()
    options = ReadOptions(frozenset({Remedy.LARGEST_REGULAR_BLOCK}))
    for _, scan in iter_scans([tmp_path / "a"], options=options):
        assert isinstance(scan, Scan)
        assert "largest-block-kept" in {finding.code for finding in scan.findings}
    for labelled in iter_examples(tmp_path, options=options):
        assert "largest-block-kept" in {finding.code for finding in labelled.outcome.scan.findings}  # type: ignore[union-attr]
