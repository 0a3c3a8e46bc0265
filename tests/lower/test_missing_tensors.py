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


def test_names_that_are_alike_but_for_their_beginning_are_told_as_such(tmp_path):
    """The published GPT-2 leaves out the `transformer.` that its fine-tunes have."""
    for name, prefix in (("a", "transformer."), ("b", "")):
        (tmp_path / name).mkdir()
        tensors = {f"{prefix}h.{i}.ln_1.weight": np.ones(3, np.float32) for i in range(2)}
        save_file(tensors, tmp_path / name / "model.safetensors")
    with pytest.raises(MergeGraphError) as caught:
        _ = compilation(tmp_path, RECIPE).graph
    longer, shorter = (found.help[0] for found in caught.value.diagnostics)
    assert longer == "it has them with `transformer.` before their names, which other inputs leave out"
    assert shorter == (
        "it has them without `transformer.` before their names: load it with the class of transformers that the others "
        "were saved by, and save it anew"
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


@pytest.fixture
def towers(tmp_path):
    """A model of two stacks, whose first layer on the left has a tensor that the second lacks."""
    tensors = {f"{side}.layer.{i}.w.weight": np.full(2, i, np.float32) for side in ("left", "right") for i in range(3)}
    (tmp_path / "a").mkdir()
    save_file(tensors | {"left.layer.0.first.weight": np.ones(2, np.float32)}, tmp_path / "a" / "model.safetensors")
    return tmp_path


def test_a_layer_that_another_lacks_a_tensor_of(towers):
    text = """a = model("./a")
moved = stack(a.layers("left")[1..2], rest=a)
first = stack(a.layers("left")[0..1], rest=a)
save mean(moved, first) to "out"
"""
    with pytest.raises(MergeGraphError) as caught:
        _ = compilation(towers, text).graph
    assert str(caught.value) == (
        "error[MG302]: `moved` lacks a tensor that other inputs have: `left.layer.0.first.weight`\n"
        "  ┌─ test.merge:2:9\n"
        '2 │ moved = stack(a.layers("left")[1..2], rest=a)\n'
        "  │         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ this model\n"
        '4 │ save mean(moved, first) to "out"\n'
        "  │ ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ is needed here\n"
        '  = help: take them from a model that has them: `save … with missing="a"`'
    )


def test_a_stack_is_named_by_a_part_that_no_other_has(towers):
    with pytest.raises(MergeGraphError) as caught:
        _ = compilation(towers, 'a = model("./a")\nsave stack(a.layers("layer")[0..1], rest=a) to "out"').graph
    assert str(caught.value) == (
        "error[MG311]: this model has several stacks of layers `layer`\n"
        "  ┌─ test.merge:2:12\n"
        '2 │ save stack(a.layers("layer")[0..1], rest=a) to "out"\n'
        "  │            ^^^^^^^^^^^^^^^^^^^^^^^\n"
        "  = help: it has: left.layer, right.layer"
    )


def test_each_case_of_a_select_has_its_own_number_of_layers(towers):
    text = """a = model("./a")
cut = stack(a.layers("left")[0..1], rest=a)
save select { "left.*": cut, _: a } to "out"
"""
    names = [tensor.name for tensor in compilation(towers, text).graph.tensors]
    assert [name for name in names if name.startswith("left")] == ["left.layer.0.first.weight", "left.layer.0.w.weight"]
    assert len(names) == 5
