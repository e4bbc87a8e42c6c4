"""The notebooks run from top to bottom, and what is stored in them is fit to be published."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MACHINE = re.compile(r"(?<![\w.])/(work|root|home|Users|tmp|usr|opt)/|[A-Z]:\\\\")


def _outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def _texts(notebook: NotebookNode) -> list[str]:
    """Everything a person reads in the outputs."""
    found = [str(o.get("text", "")) for o in _outputs(notebook)]
    found += [
        str(o.data[kind]) for o in _outputs(notebook) if "data" in o for kind in o.data if "text" in kind
    ]
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_runs_without_an_error_or_a_warning(
    path: Path, tmp_path: Path, private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a copy, far from any data folder: on the phantoms it draws itself."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(private_home / "ipython"))
    folder = tmp_path / "checkout" / "notebooks"
    folder.mkdir(parents=True)
    notebook = nbformat.read(shutil.copy(path, folder), as_version=4)
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    assert [o.text for o in _outputs(notebook) if o.get("name") == "stderr"] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_stored_executed_and_clean(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any("image/png" in output.get("data", {}) for output in _outputs(notebook))
    assert [o.output_type for o in _outputs(notebook) if o.output_type == "error"] == []
    assert [o.text for o in _outputs(notebook) if o.get("name") == "stderr"] == []
    assert [text for text in (*_texts(notebook), *(c.source for c in code)) if MACHINE.search(text)] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_stored_pictures_are_of_phantoms(path: Path) -> None:
    """Not every set's licence lets its pictures be passed on."""
    assert any("Phantoms" in text for text in _texts(nbformat.read(path, as_version=4)))
