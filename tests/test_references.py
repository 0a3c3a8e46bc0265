"""The references against mergekit's outputs, and the comparison helpers against errors that they must find."""

import json

import golden
import numpy as np
import pytest
import references as ref
import torch
from families import make_family, make_odd_family, read_model, to_tensors
from transformers import AutoModelForCausalLM, AutoTokenizer

MERGES = {
    "linear": lambda base, a, b, c: ref.linear([a, b, c], [0.8, 0.7, 0.25]),
    "linear_sum": lambda base, a, b, c: ref.linear([a, b], [0.8, 0.7], normalize=False),
    "task_arithmetic": lambda base, a, b, c: ref.task_arithmetic([a, b], base, [0.6, 0.4], lambda_=0.9),
    "slerp": lambda base, a, b, c: ref.slerp(a, b, 0.3),
    "ties": lambda base, a, b, c: ref.ties([a, b], base, [0.8, 0.7], 0.5),
    "ties_three": lambda base, a, b, c: ref.ties(
        [a, b, c], base, [0.8, 0.7, 0.4], [0.3, 0.5, 0.9], 0.8, normalize=False
    ),
}


@pytest.mark.parametrize("name", MERGES)
def test_mergekit_agrees(name):
    models = [golden.inputs(model) for model in ("base", "a", "b", "c")]
    merged = {key: MERGES[name](*(model[key] for model in models)) for key in models[0]}
    golden.assert_golden(to_tensors(merged, "float32"), name)


def test_trim_keeps_exactly_k_and_the_first_of_equals():
    assert ref.trim(np.array([1.0, -3.0, 3.0, 3.0, 0.0]), 0.5).tolist() == [0.0, -3.0, 3.0, 0.0, 0.0]
    assert ref.trim(np.array([1.0, -2.0, 3.0]), 0.1).tolist() == [0.0, 0.0, 3.0]
    assert ref.trim(np.zeros((0, 4)), 0.5).shape == (0, 4)


def test_elect_keeps_the_majority():
    ds = [np.array([1.0, -1.0, 0.0, 2.0]), np.array([-3.0, -1.0, 0.0, 0.0])]
    assert ref.elect(ds).tolist() == [-3.0, -1.0, 0.0, 2.0]
    assert ref.elect(ds, [0.9, 0.2]).tolist() == [1.0, -1.0, 0.0, 2.0]
    assert ref.elect(ds, [0.5, 0.5], normalize=False).tolist() == [-1.5, -1.0, 0.0, 1.0]
    three = [*ds, np.array([1.0, 1.0, 0.0, 0.0])]
    assert ref.elect(three, by="count").tolist() == [1.0, -1.0, 0.0, 2.0]


def test_drop_rescales():
    d, mask = np.array([1.0, -2.0, 3.0, 4.0]), np.array([True, False, True, False])
    assert ref.drop(d, mask).tolist() == [1.0, 0.0, 3.0, 0.0]
    assert ref.drop(d, mask, 0.5, "inverse").tolist() == [2.0, 0.0, 6.0, 0.0]
    assert ref.drop(d, mask, 0.5, "l1").tolist() == [2.5, 0.0, 7.5, 0.0]


def test_near_ties_are_found():
    ds = [np.array([1.0, 1.0, 0.0]), np.array([-1.0 - 1e-9, -0.5, 0.0])]
    assert ref.near_tie(ds).tolist() == [True, False, False]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_ulp_is_the_distance_to_the_next_number(dtype):
    values = torch.tensor([1.0, -1.5, 0.02, 3e-39, 0.0]).to(getattr(torch, dtype))
    upper = torch.nextafter(values.abs(), torch.full_like(values, torch.inf)).double().numpy()
    exact = values.abs().double().numpy()
    assert ref.ulp(exact, dtype).tolist() == (upper - exact).tolist()
    assert ref.ulp_distance(upper, exact, dtype).tolist() == [1.0] * 5


def test_ulp_distance_of_special_values():
    inf, nan = np.inf, np.nan
    result, reference = np.array([inf, nan, nan, 1.0, -inf]), np.array([inf, nan, 1.0, inf, inf])
    assert ref.ulp_distance(result, reference, "float32").tolist() == [0.0, 0.0, inf, inf, inf]


def test_assert_close_names_the_worst_element():
    reference = np.array([[1.0, 1.0], [1.0, 1.0]])
    result = torch.tensor([[1.0, 1.0078125], [1.03125, 1.0]], dtype=torch.bfloat16)
    with pytest.raises(AssertionError) as caught:
        ref.assert_close(result, reference, [reference], name="x")
    assert str(caught.value) == (
        "x: 1 of 4 elements are wrong; the worst, at [1, 0], is 1.03125, not 1: 4 times what bfloat16 allows"
    )
    ref.assert_close(result, reference, [reference], skip=result.double().numpy() > 1.02)


def test_assert_close_refuses_nan_and_float32_errors():
    one = np.ones(1)
    with pytest.raises(AssertionError, match="1 of 1 elements are wrong"):
        ref.assert_close(torch.tensor([torch.nan]), one, [one])
    ref.assert_close(torch.tensor([1 + 4 * 2**-23]), one, [one])
    with pytest.raises(AssertionError, match=r"1\.25 times what float32 allows"):
        ref.assert_close(torch.tensor([1 + 5 * 2**-23]), one, [one])


@pytest.mark.parametrize(("dtype", "tied"), [("bfloat16", False), ("float32", True)])
def test_transformers_loads_a_family(tmp_path, dtype, tied):
    family = make_family(tmp_path, dtype=dtype, tied=tied, shards=2)
    _, loading = AutoModelForCausalLM.from_pretrained(family["c"], output_loading_info=True)
    assert not any(loading.values())
    assert AutoTokenizer.from_pretrained(family["c"])("w3 w63 other")["input_ids"] == [3, 63, 0]
    weights = json.loads((family["c"] / "model.safetensors.index.json").read_text())["weight_map"]
    assert weights.keys() == read_model(family["c"]).keys()


def test_an_odd_family_has_what_a_merge_trips_over(tmp_path):
    base, a, b, _ = (read_model(folder) for folder in make_odd_family(tmp_path, dtype="float16").values())
    assert a["position_ids"].dtype == torch.int64
    assert torch.equal(a["frozen"], base["frozen"])
    assert torch.equal(a["antipodal"], -b["antipodal"])
    assert not base["zero_base"].any()
    assert a["zero_base"].any()
    assert not a["one_zero"].any()
    assert {tensor.dim() for tensor in a.values()} == {0, 1, 2, 3}
