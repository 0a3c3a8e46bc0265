"""Run the snippets of the page on Python as they are printed there, and the notebook."""

from pathlib import Path

import nbformat
import pytest
from families import make_family
from nbclient import NotebookClient
from test_how_to import blocks

ROOT = Path(__file__).parent.parent.parent


def test_python_page(tmp_path, monkeypatch, capsys):
    make_family(tmp_path, models=("base", "a", "b"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    first, *others = blocks("python.md", "python")
    exec(first, names)
    assert capsys.readouterr().out.strip() == blocks("python.md", "mergegraph")[0].strip()
    for snippet in others:
        exec(snippet, names)
    assert {path.name for path in (tmp_path / "out" / "sweep").iterdir()} == {f"slerp-{t}" for t in (0.25, 0.5, 0.75)}
    assert (tmp_path / "out" / "ties" / "model.safetensors").exists()
    assert "error[MG212]" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_notebook(tmp_path):
    notebook = nbformat.read(ROOT / "examples" / "tour.ipynb", as_version=4)
    committed = [list(map(_kind, cell.get("outputs", ()))) for cell in notebook.cells]
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert [list(map(_kind, cell.get("outputs", ()))) for cell in notebook.cells] == committed
    assert all(cell.outputs for cell in notebook.cells if cell.cell_type == "code" and "=" not in cell.source)


def _kind(output):
    """Return what an output of a cell is: figures in it may differ between machines."""
    return output.output_type, sorted(output.get("data", ()))
