"""Tensors that not every input has: an error, unless one model is named that gives them."""

import numpy as np
import pytest
from merging import compilation
from safetensors.numpy import save_file

from mergegraph.diagnostics import MergeGraphError, render

RECIPE = 'a = model("./a")\nb = model("./b")\nsave mean(a, b) to "out"'


@pytest.fixture
def folder(tmp_path):
    """Two models: `a` alone has `only_a`, `b` alone `only_b`."""
    for name in "ab":
        (tmp_path / name).mkdir()
        tensors = {"shared": np.ones(3, np.float32), f"only_{name}": np.ones(2, np.float32)}
        save_file(tensors, tmp_path / name / "model.safetensors")
    return tmp_path


def test_both_sides_are_listed(folder):
    with pytest.raises(MergeGraphError) as caught:
        _ = compilation(folder, RECIPE).graph
    assert str(caught.value) == (
        "error[MG302]: `a` lacks a tensor that other inputs have: `only_b`\n"
        "  ┌─ test.merge:1:5\n"
        '1 │ a = model("./a")\n'
        "  │     ^^^^^^^^^^^^ this model\n"
        '3 │ save mean(a, b) to "out"\n'
        "  │ ^^^^^^^^^^^^^^^^^^^^^^^^ is needed here\n"
        '  = help: take them from a model that has them: `save … with missing="b"`\n'
        "\n"
        "error[MG302]: `b` lacks a tensor that other inputs have: `only_a`\n"
        "  ┌─ test.merge:2:5\n"
        '2 │ b = model("./b")\n'
        "  │     ^^^^^^^^^^^^ this model\n"
        '3 │ save mean(a, b) to "out"\n'
        "  │ ^^^^^^^^^^^^^^^^^^^^^^^^ is needed here\n"
        '  = help: take them from a model that has them: `save … with missing="a"`'
    )


def test_the_named_model_gives_them_and_what_it_lacks_is_told(folder):
    story = compilation(folder, RECIPE + ' with missing="a"')
    assert [tensor.name for tensor in story.graph.tensors] == ["only_a", "shared"]
    assert story.graph.tensors[0].root.op == "input"
    (warning,) = story.warnings()
    assert render(warning) == (
        "warning[MG305]: a tensor is left out: `a` lacks `only_b`\n"
        "  ┌─ test.merge:3:1\n"
        '3 │ save mean(a, b) to "out" with missing="a"\n'
        "  │ ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"
    )
