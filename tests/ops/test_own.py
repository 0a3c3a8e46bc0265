"""Operations declared in Python: their signatures, their kernels, their errors."""

import re

import numpy as np
import pytest
import references as ref
from every_method import HEADER
from families import as64, make_odd_family, read_model
from merging import compilation, merged, run

import mergegraph
from mergegraph.diagnostics import MergeGraphError
from mergegraph.ops import OPS
from mergegraph.outputs import identity
from mergegraph.own import load


@pytest.fixture(autouse=True)
def forget():
    """Take back every operation that a test declares."""
    before = set(OPS)
    yield
    for name in set(OPS) - before:
        del OPS[name]


def test_groups_rows_and_settings(tmp_path):
    @mergegraph.op("spread_out(xs: Deltas, weight: Scalars = 1.0, *, power: int = 1) -> Delta", locality="rowwise")
    def spread_out(xs, weight, power):
        total = sum(w * x for x, w in zip(xs, weight, strict=True))
        return total / (1 + total.abs().amax(dim=-1, keepdim=True)) ** power

    folders = make_odd_family(tmp_path)
    text = 'save base + spread_out([a, b] - base, [0.5, ramp(1, 2, outside=0.25)], power=2) to "out"'
    base, a, b, _ = (read_model(folder) for folder in folders.values())
    for name, tensor in merged(tmp_path, HEADER + text, tmp_path / "out").items():
        if tensor.is_floating_point() and tensor.numel():
            ds = [ref.difference(as64(x[name]), as64(base[name])) for x in (a, b)]
            total = 0.5 * ds[0] + 0.25 * ds[1]
            largest = np.abs(total).max(axis=-1, keepdims=True) if total.ndim else abs(total)
            expected = as64(base[name]) + total / (1 + largest) ** 2
            ref.assert_close(tensor, expected, [as64(base[name]), *ds], name=name)


def test_a_kernel_that_fails_is_named_with_its_tensor(tmp_path):
    @mergegraph.op("broken(d: Delta) -> Delta")
    def broken(d):
        return d[:3]

    make_odd_family(tmp_path)
    with pytest.raises(MergeGraphError) as caught:
        run(
            tmp_path,
            f'{HEADER}save base + select {{ "vector": broken(a - base), _: b - base }} to "out"',
            tmp_path / "o",
        )
    assert str(caught.value) == (
        "error[MG455]: the operation `broken` failed: ValueError: it made [3] of [17]\n"
        "  --> `vector`\n"
        "  ┌─ test.merge:6:1\n"
        '6 │ save base + select { "vector": broken(a - base), _: b - base } to "out"\n'
        "  │ ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ for this output"
    )


def test_after_the_first_failure_nothing_more_is_begun(tmp_path):
    calls = []

    @mergegraph.op("fragile(d: Delta) -> Delta")
    def fragile(d):
        calls.append(d.numel())
        raise RuntimeError("no memory left on the device")

    folders = make_odd_family(tmp_path)
    with pytest.raises(MergeGraphError, match=r"MG455.*fragile.*no memory left on the device") as caught:
        run(tmp_path, f'{HEADER}save base + fragile(a - base) to "out"', tmp_path / "o", workers=2)
    assert len(caught.value.diagnostics) == 1
    assert len(calls) <= 2 < len(read_model(folders["a"]))
    assert not (tmp_path / "o").exists()


def test_changed_code_does_not_resume(tmp_path):
    make_odd_family(tmp_path)
    text = f'{HEADER}save base + twice(a - base) to "out"'
    code = 'import mergegraph\n@mergegraph.op("twice(d: Delta) -> Delta")\ndef twice(d): return {} * d\n'
    hashes = []
    for number, factor in enumerate(("2", "3")):
        (tmp_path / f"own{number}.py").write_text(code.format(factor))
        OPS.pop("twice", None)
        load(tmp_path / f"own{number}.py")
        hashes.append(plan_hash(tmp_path, text))
    assert hashes[0] != hashes[1]


def plan_hash(folder, text):
    compiled = compilation(folder, text)
    return identity.plan_hash(compiled, compiled.recipe.saves[0])


SIGNATURES = {
    "shrink": "this is no signature: shrink",
    "shrink(d: Delta) -> ": "this is no signature: shrink(d: Delta) -> ",
    "shrink(*d: Delta) -> Delta": "this is no signature: shrink(*d: Delta) -> Delta",
    "shrink(d: Delta)": ("the result must be one of Point, Model, Delta, Mask, not nothing: shrink(d: Delta)"),
    "shrink(d) -> Delta": ("`d` must be one of Point, Model, Delta, Mask, Tensor, Scalar, Fraction, not nothing"),
    "shrink(d: Delta, *, by: Scalar) -> Delta": "`by` must be one of bool, str, int, float, not Scalar",
    "trim(d: Delta) -> Delta": "an operation named 'trim' exists already",
    "ties(d: Delta) -> Delta": "the prelude has a method named 'ties' already",
}


@pytest.mark.parametrize("signature", SIGNATURES)
def test_signatures_that_are_refused(signature):
    with pytest.raises(ValueError, match=re.escape(SIGNATURES[signature]) + "$"):
        mergegraph.op(signature)(lambda d: d)


def test_files_that_cannot_be_loaded(tmp_path):
    (tmp_path / "own.py").write_text("1 / 0")
    path = tmp_path / "own.py"
    with pytest.raises(MergeGraphError) as caught:
        load(path)
    assert str(caught.value) == (
        f"error[MG290]: these operations can't be loaded: ZeroDivisionError: division by zero\n  --> {path}"
    )
    assert caught.value.exit_code == 2
