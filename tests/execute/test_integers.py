"""Tensors that no average is defined on: equal ones are copied, others are an error or keep their type."""

import numpy as np
import pytest
import torch
from merging import compilation, run
from safetensors.torch import save_file

from mergegraph.diagnostics import MergeGraphError, render

RECIPE = 'a = model("./a.safetensors")\nb = model("./b.safetensors")\nsave mean(a, b) to "out"'


def write(folder, ids):
    """Write two models whose integers are given."""
    for name, values in zip("ab", ids, strict=True):
        save_file({"ids": torch.tensor(values), "w": torch.ones(3)}, folder / f"{name}.safetensors")


def test_equal_integers_are_copied(tmp_path):
    write(tmp_path, ([[1, 2, 3]], [[1, 2, 3]]))
    out = run(tmp_path, RECIPE, tmp_path / "out").outputs[0]
    data = np.fromfile(out / "model.safetensors", np.uint8).tobytes()
    assert np.array([1, 2, 3]).tobytes() in data


def test_integers_that_differ_are_an_error_with_its_place(tmp_path):
    write(tmp_path, ([[1, 2, 3]], [[1, 2, 4]]))
    with pytest.raises(MergeGraphError) as caught:
        run(tmp_path, RECIPE, tmp_path / "out")
    assert str(caught.value) == (
        "error[MG541]: the tensor `ids` is not of a float type, and differs between the inputs\n"
        "  ┌─ test.merge:3:1\n"
        '3 │ save mean(a, b) to "out"\n'
        "  │ ^^^^^^^^^^^^^^^^^^^^^^^^ for this output\n"
        "  = help: no average of it means anything: take it from one model with `select`"
    )
    assert not (tmp_path / "out").exists()


def test_an_8_bit_type_stays_and_is_told(tmp_path):
    save_file({"w": torch.ones(4).to(torch.float8_e4m3fn)}, tmp_path / "a.safetensors")
    story = compilation(tmp_path, 'save model("./a.safetensors") to "out" with dtype="float32"')
    (warning,) = story.warnings()
    assert render(warning).splitlines()[0] == (
        "warning[MG306]: a tensor stays float8_e4m3fn, which nothing can be computed from: `w`"
    )
    assert story.graph.tensors[0].root.op == "input"
