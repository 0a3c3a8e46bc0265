"""`low_rank` against numpy's singular value decomposition: matrices, convolutions, experts, vectors."""

import numpy as np
import pytest
import torch
from families import read_model, write_model
from merging import compilation, digest, merged, run

from mergegraph.compiler import resources
from mergegraph.diagnostics import MergeGraphError

SHAPES = {
    "wide": (40, 3000),
    "tall": (2500, 30),
    "convolution": (48, 16, 3, 3),
    "convolution_1d": (64, 20, 5),
    "experts": (6, 24, 40),
    "norm": (64,),
}
HEADER = 'base = model("./base")\ntuned = model("./tuned")\n'
RANK = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A base of zeros, so that results are what is added to it, and a model."""
    path = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    tuned = {name: torch.tensor(rng.normal(0, 0.02, shape), dtype=torch.float32) for name, shape in SHAPES.items()}
    write_model(path / "base", {name: torch.zeros_like(tensor) for name, tensor in tuned.items()})
    write_model(path / "tuned", tuned)
    return path


def text(settings):
    return f'{HEADER}save base + low_rank(tuned - base, {settings}) to "out"'


def stacks(folder):
    """Yield what is factored of each tensor of a model: matrices in float64, one or several."""
    for name, tensor in read_model(folder).items():
        values = tensor.double().numpy()
        if name != "norm":
            yield name, values if name == "experts" else values.reshape(1, len(values), -1)


def test_nothing_of_that_rank_is_nearer(folder, tmp_path):
    run(folder, text(f"rank={RANK}"), tmp_path / "out")
    found = dict(stacks(tmp_path / "out"))
    for name, stack in stacks(folder / "tuned"):
        for matrix, near in zip(stack, found[name], strict=True):
            u, s, v = np.linalg.svd(matrix, full_matrices=False)
            np.testing.assert_allclose(near, (u[:, :RANK] * s[:RANK]) @ v[:RANK], rtol=0, atol=1e-7, err_msg=name)
            best = float(np.sqrt((s[RANK:] ** 2).sum()))
            assert np.linalg.norm(matrix - near) == pytest.approx(best, rel=1e-4), name


def test_energy_takes_the_least_rank_that_keeps_it(folder, tmp_path):
    run(folder, text("energy=0.5"), tmp_path / "out")
    found = dict(stacks(tmp_path / "out"))
    for name, stack in stacks(folder / "tuned"):
        for matrix, near in zip(stack, found[name], strict=True):
            squares = np.linalg.svd(matrix, compute_uv=False) ** 2
            wanted = int(np.searchsorted(np.cumsum(squares) / squares.sum(), 0.5)) + 1
            assert np.linalg.matrix_rank(near, tol=1e-5) == wanted, name


def test_vectors_and_full_rank_are_kept_bit_by_bit(folder, tmp_path):
    tuned = read_model(folder / "tuned")
    low = merged(folder, text("rank=1"), tmp_path / "low")
    full = merged(folder, text("rank=64"), tmp_path / "full")
    assert torch.equal(low["norm"], tuned["norm"])
    assert not torch.equal(low["experts"], tuned["experts"])
    assert all(torch.equal(full[name], tensor) for name, tensor in tuned.items())


def test_all_energy_gives_everything_but_rounding(folder, tmp_path):
    found = merged(folder, text("energy=1"), tmp_path / "out")
    for name, tensor in read_model(folder / "tuned").items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-8)


def test_a_matrix_that_is_not_finite_becomes_nan_and_no_other(folder, tmp_path):
    tuned = read_model(folder / "tuned")
    tuned["experts"][2, 3, 4] = torch.inf
    write_model(tmp_path / "tuned", tuned)
    source = text("rank=4").replace("./tuned", str(tmp_path / "tuned"))
    found = merged(folder, source, tmp_path / "out")
    assert [bool(expert.isnan().all()) for expert in found["experts"]] == [False, False, True, False, False, False]
    assert not any(found["experts"][i].isnan().any() for i in (0, 1, 3, 4, 5))
    assert found["wide"].isfinite().all()


def test_what_does_not_fit_is_refused_by_name_and_the_least_memory_does(tmp_path):
    large = torch.randn(2000, 2100, generator=torch.Generator().manual_seed(0))
    write_model(tmp_path / "tuned", {"large": large, "norm": large[0].clone()})
    write_model(tmp_path / "base", {"large": torch.zeros_like(large), "norm": large[1].clone()})
    compiled = compilation(tmp_path, text("rank=4"))
    least = compiled.plan(within=resources(1 << 50, 1)).lower_bound_bytes
    # Four squares of the shorter side in float64, and the matrix, are most of it.
    assert least - compiled.plan(within=resources(1 << 50, 1)).baseline_bytes > 32 * 2000**2 + large.nbytes
    with pytest.raises(MergeGraphError) as caught:
        run(tmp_path, text("rank=4"), tmp_path / "out", memory=least - 50_000_000)
    diagnostic = caught.value.diagnostics[0]
    assert (diagnostic.code, diagnostic.place) == ("MG401", "large")
    run(tmp_path, text("rank=4"), tmp_path / "least" / "out", memory=least + 8_000_000)
    run(tmp_path, text("rank=4"), tmp_path / "ample" / "out", workers=2)
    assert digest(tmp_path / "least") == digest(tmp_path / "ample")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("", "`low_rank` needs a `rank`, a share of the squares to keep as `energy`, or both"),
        ("rank=0", "`rank` must be at least 1; here it is 0"),
        ("energy=1.5", "`energy` must lie above 0 and not above 1; here it is 1.5"),
    ],
)
def test_what_makes_no_sense_is_refused(folder, tmp_path, settings, message):
    source = text(settings).replace(", )", ")")
    with pytest.raises(MergeGraphError) as caught:
        run(folder, source, tmp_path / "out")
    line = source.splitlines()[2]
    call = line[line.index("low_rank") : line.index(" to ")]
    assert str(caught.value) == (
        f"error[MG323]: {message}\n"
        "  ┌─ test.merge:3:13\n"
        f"3 │ {line}\n"
        f"  │             {'^' * len(call)}\n"
        "  = help: first for the tensor `convolution`"
    )
