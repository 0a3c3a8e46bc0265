"""Run the snippets of the page on Python as they are printed there, and the notebook."""

import re
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
def test_notebook(tmp_path, request):
    """The notebook is stored as it runs, but for figures, which differ between machines."""
    place = ROOT / "examples" / "tour.ipynb"
    notebook = nbformat.read(place, as_version=4)
    committed = [_outputs(cell) for cell in notebook.cells]
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, resources=resources, record_timing=False).execute()
    if request.config.getoption("--rewrite-fixtures"):
        nbformat.write(notebook, place)
        committed = [_outputs(cell) for cell in notebook.cells]
    assert [_outputs(cell) for cell in notebook.cells] == committed
    assert all(cell.outputs for cell in notebook.cells if cell.cell_type == "code" and "=" not in cell.source)


def _outputs(cell):
    """Return what a cell shows, every number as `#`, and no picture that is drawn from numbers."""
    return [
        (
            output.output_type,
            {kind: re.sub(r"base64,[\w+/=]+|[\d.,]*\d", "#", text) for kind, text in _texts(output).items()},
        )
        for output in cell.get("outputs", ())
    ]


def _texts(output):
    return output.get("data") or {"text/plain": output.get("text", "")}
