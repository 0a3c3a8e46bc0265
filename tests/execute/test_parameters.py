"""Every number of a method may be a list per model and a field per tensor; masks have an algebra."""

import numpy as np
import pytest
import references as ref
import torch
from every_method import HEADER
from families import as64, make_family, make_odd_family, read_model
from merging import compilation, merged, run

from mergegraph.diagnostics import MergeGraphError

FIELD = 'select {{ "vector": {0}, "c*": {0}, _: {0} }}'

NUMBERS = {
    "linear(a, b, weight=[{}, {}])": (0.8, 0.3),
    "passthrough(a, scale={})": (0.7,),
    "slerp(a, b, t={})": (0.3,),
    'slerp(a, b, t={}, axis="rows")': (0.3,),
    "nuslerp(a, b, weight=[{}, {}])": (0.3, 0.6),
    "multislerp(a, b, weight=[{}, {}])": (0.3, 0.6),
    "karcher(a, b, max_iter={}, tol={})": (2, 1e-4),
    "task_arithmetic(a, b, base=base, weight=[{}, {}], lambda={})": (0.5, 0.6, 0.7),
    "ties(a, b, base=base, weight=[{}, {}], density=[{}, {}], lambda={})": (0.5, 0.6, 0.3, 0.4, 0.9),
    "dare_ties(a, b, base=base, weight={}, density=[{}, {}])": (0.5, 0.3, 0.4),
    "della(a, b, base=base, density=[{}, {}], epsilon=[{}, {}])": (0.5, 0.4, 0.2, 0.1),
    "breadcrumbs(a, b, base=base, density=[{}, {}], gamma=[{}, {}])": (0.5, 0.4, 0.02, 0.1),
    "sce(a, b, c, base=base, select_topk={})": (0.3,),
    "nearswap(base, a, t={})": (0.001,),
    "ram(a, b, c, base=base, epsilon=[{}, {}, {}])": (0.001, 0.002, 0.0005),
    "ramplus_tl(a, b, base=base, epsilon={}, r={}, alpha={})": (0.001, 0.3, 0.4),
}


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    make_odd_family(folder)
    return folder


@pytest.mark.parametrize("expression", NUMBERS)
def test_fields_stand_where_numbers_do(family, tmp_path, expression):
    """After lowering nothing tells them apart."""
    plain = expression.format(*NUMBERS[expression])
    fields = expression.format(*(FIELD.format(number) for number in NUMBERS[expression]))
    graphs = [compilation(family, f'{HEADER}save {text} to "out"').optimized for text in (plain, fields)]
    assert graphs[0] == graphs[1]


RAMPS = {
    "linear(a, b, c, weight=[{}, 0.5, 0.3])": (0.2, 0.8),
    "linear(a, b, weight={}, normalize=false)": (0.2, 1.1),
    "slerp(a, b, t={})": (0, 1),
    "multislerp(a, b, weight=[{}, 0.6])": (0.3, 1.3),
    "ties(a, b, base=base, weight=[{}, 0.6], density=0.4)": (0, 1.2),
    "ties(a, b, base=base, density={})": (0, 1),
    "della(a, b, base=base, density={}, epsilon=0.2)": (0.3, 0.7),
    "dare_ties(a, b, base=base, density={})": (0.1, 1),
    "breadcrumbs(a, b, base=base, density={})": (0.4, 1),
    "nearswap(base, a, t={})": (0.001, 0.01),
}


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layered")
    make_family(folder, layers=5, hidden=16, intermediate=24, vocab=40, heads=2, kv_heads=1)
    return folder


@pytest.mark.parametrize("expression", RAMPS)
def test_a_ramp_is_one_template_and_writes_what_its_numbers_do(layered, tmp_path, expression):
    first, last = RAMPS[expression]
    cases = ", ".join(f'"*.layers.{i}.*": {first * (1 - i / 4) + last * (i / 4)!r}' for i in range(5))
    ramp, numbers = f"ramp({first}, {last}, outside=0.5)", f"select {{ {cases}, _: 0.5 }}"
    found = {}
    for name, field in (("ramp", ramp), ("numbers", numbers)):
        text = f'{HEADER}save {expression.format(field)} to "out"'
        run(layered, text, tmp_path / name)
        found[name] = read_model(tmp_path / name), len(compilation(layered, text).optimized.templates())
    assert found["ramp"][0].keys() == found["numbers"][0].keys()
    assert all(torch.equal(tensor, found["numbers"][0][key]) for key, tensor in found["ramp"][0].items())
    assert found["ramp"][1] < found["numbers"][1] / 2 or first == 0


def test_error_of_a_number_that_only_one_layer_has(layered):
    text = f'{HEADER}save della(a, b, base=base, density=ramp(0.5, 0.9, outside=0.5), epsilon=0.2) to "out"'
    with pytest.raises(MergeGraphError) as caught:
        compilation(layered, text).graph  # noqa: B018
    assert {d.code for d in caught.value.diagnostics} == {"MG323"}
    assert "density 0.8 and epsilon 0.2 ask for probabilities from 0.6 to 1" in str(caught.value)


def test_a_field_gives_each_tensor_its_own_number(family, tmp_path):
    density = 'select { "vector": 0.2, "matrix": 1, _: 0 }'
    text = f'{HEADER}save base + trim(a - base, {density}) to "out"'
    base, a = (read_model(family / name) for name in ("base", "a"))
    for name, tensor in merged(family, text, tmp_path / "out").items():
        if tensor.is_floating_point():
            share = {"vector": 0.2, "matrix": 1.0}.get(name, 0.0)
            d = ref.difference(as64(a[name]), as64(base[name]))
            expected = as64(base[name]) + ref.trim(d, share)
            ref.assert_close(tensor, expected, [as64(base[name]), d], name=name)


MASKS = {
    "max(m, n)": lambda m, n: m | n,
    "min(m, n)": lambda m, n: m & n,
    "m * n": lambda m, n: m & n,
    "1 - m": lambda m, n: ~m,
    "m * (1 - n)": lambda m, n: m & ~n,
    "m != n": lambda m, n: m ^ n,
    "m == n": lambda m, n: ~(m ^ n),
    "where(m, n, 1 - n)": lambda m, n: np.where(m, n, ~n),
}


@pytest.mark.parametrize("algebra", MASKS)
def test_masks(family, tmp_path, algebra):
    text = f'm = abs(a - base) > 0.001\nn = b > base\nsave base + (c - base) * ({algebra}) to "out"'
    base, a, b, c = (read_model(family / name) for name in ("base", "a", "b", "c"))
    for name, tensor in merged(family, HEADER + text, tmp_path / "out").items():
        if tensor.is_floating_point():
            x, y, z, w = (as64(model[name]) for model in (base, a, b, c))
            m, n = np.abs(ref.difference(y, x)) > np.float32(0.001), z > x
            ref.assert_close(tensor, x + ref.difference(w, x) * MASKS[algebra](m, n), [x, w], name=name)


def test_methods_are_chosen_by_name(family, tmp_path):
    """Each case is what it would be alone, and what no case needs is not read."""
    chosen = 'select { "matrix": sce(a, b, base=base), "v*": karcher(a, c), _: base }'
    out = {}
    for name, expression in {"all": chosen, "sce": "sce(a, b, base=base)", "karcher": "karcher(a, c)"}.items():
        out[name] = run(family, f'{HEADER}save {expression} to "out"', tmp_path / name)
    tensors = {name: read_model(tmp_path / name) for name in out}
    for name, tensor in tensors["all"].items():
        source = "sce" if name == "matrix" else "karcher" if name.startswith("v") else None
        expected = tensors[source][name] if source else read_model(family / "base")[name]
        assert torch.equal(tensor, expected), name
    sizes = {name: tensor.nbytes for name, tensor in read_model(family / "base").items()}
    needed = sum(sizes.values()) + 2 * sizes["matrix"] + sizes["vector"]
    assert out["all"].bytes_read <= needed + sizes["position_ids"]
