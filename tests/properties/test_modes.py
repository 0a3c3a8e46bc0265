"""One recipe, one result: optimized or not, any number of workers, any memory, killed and resumed."""

import json
from pathlib import Path

import pytest
import torch
from families import make_family, read_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from merging import ample, compilation, digest, run, tight
from safetensors.torch import save_file

from mergegraph.merge import Options, merge

RECIPES = sorted((Path(__file__).parent.parent / "fixtures" / "recipes").glob("*.merge"))
LATER = ("adapters", "study", "tokenizers")
MODES = [
    {"exact": True, "workers": 1, "memory": ample},
    {"exact": False, "workers": 1, "memory": ample},
    {"exact": True, "workers": 4, "memory": ample},
    {"exact": True, "workers": 2, "memory": tight},
    {"exact": False, "workers": 4, "memory": tight},
]


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """Models of 32 layers, as the recipes expect; the embedding is larger than a tile."""
    folder = tmp_path_factory.mktemp("family")
    make_family(folder, layers=32, hidden=16, intermediate=24, vocab=5000, heads=2, kv_heads=1, thin=True)
    return folder


def digests(family, text, tmp_path, modes=MODES):
    """Return the digests of what a recipe writes in every mode."""
    found = []
    for number, mode in enumerate(modes):
        out = tmp_path / str(number) / "out"
        run(family, text, out, exact=mode["exact"], workers=mode["workers"], memory=mode["memory"]())
        found.append(digest(out))
    return found


@pytest.mark.parametrize("path", [p for p in RECIPES if p.stem not in LATER], ids=lambda path: path.stem)
def test_recipes(family, tmp_path, path):
    text = path.read_text()
    interrupted(family, text, tmp_path / "interrupted" / "out")
    assert set(digests(family, text, tmp_path)) == {digest(tmp_path / "interrupted" / "out")}


def interrupted(folder, text, out):
    """Run a recipe, stop it when most bytes were read or written, and resume it with other workers and memory."""
    moved = 0

    def planned(plan, _):
        def report(count, _):
            nonlocal moved
            moved += count
            if moved > 0.9 * (plan.bytes_read + plan.bytes_written):
                raise KeyboardInterrupt

        return report

    with pytest.raises(KeyboardInterrupt):
        merge(compilation(folder, text), out, Options(workers=2, memory=ample()), planned=planned)
    result = run(folder, text, out, workers=1, memory=tight(), resume=True)
    assert 0 < result.units_before < result.units


HEADER = 'seed 5\nbase = model("./base")\na = model("./a")\nb = model("./b")\nc = model("./c")\n'
NUMBERS = st.sampled_from(["0", "0.5", "1", "0.3", "2", "-0.25", "ramp(0.2, 0.9, outside=0.5)"])
FRACTIONS = st.sampled_from(
    [
        "0",
        "1",
        "0.5",
        "0.3",
        "0.01",
        'select { "*.mlp.*": 0.2, _: 0.7 }',
        "ramp(0.2, 0.9, outside=0.5)",
        "ramp(0, 1, outside=1)",
    ]
)


LEAF = st.sampled_from(["base", "a", "b", "c"])
DEPTH = 3
"""How deep what is random nests: deeper recipes take minutes to plan and to run, and find no more."""


def models(depth=DEPTH):
    """Return a strategy of random expressions that are models."""
    model = models(depth - 1) if depth else LEAF
    fixed = st.one_of(
        st.builds('(base + {} * trim(lora("./adapter"), {}))'.format, NUMBERS, FRACTIONS),
        st.builds("ties(a, b, c, base=base, density={}, weight=[1, {}, 0.3])".format, FRACTIONS, NUMBERS),
    )
    nested = st.one_of(
        st.builds("({} + {})".format, LEAF, deltas(depth - 1) if depth else st.just("(a - base)")),
        st.builds("mean({}, {}, weight=[{}, 0.7])".format, LEAF, model, NUMBERS),
        st.builds("slerp({}, {}, t={})".format, LEAF, model, NUMBERS),
        st.builds("lerp({}, {}, t={})".format, model, LEAF, NUMBERS),
        st.builds('select {{ "*.self_attn.*": {}, _: {} }}'.format, model, LEAF),
    )
    return st.one_of(nested, fixed)


def deltas(depth):
    """Return a strategy of random expressions that are deltas."""
    difference = st.builds("({} - {})".format, models(depth - 1) if depth else LEAF, LEAF)
    if not depth:
        return difference
    delta = deltas(depth - 1)
    rescale = st.sampled_from(["none", "l1", "inverse"])
    return st.one_of(
        difference,
        st.builds("trim({}, {})".format, delta, FRACTIONS),
        st.builds('drop({}, {}, rescale="{}")'.format, delta, FRACTIONS, rescale),
        st.builds("{} * {}".format, NUMBERS, delta),
        st.builds("({} + {})".format, delta, delta),
        st.builds("elect([{}, {}], [{}, 0.6])".format, delta, delta, NUMBERS),
        st.builds("abs({})".format, delta),
        st.builds('trim({}, {}, scope="model")'.format, delta, st.sampled_from(["0.3", "0.5"])),
    )


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(expressions=st.lists(models(), min_size=1, max_size=3))
def test_random_recipes(tmp_path_factory, expressions):
    tmp_path = tmp_path_factory.mktemp("random")
    family = make_small(tmp_path_factory)
    saves = "\n".join(f'save {expression} to "{i}"' for i, expression in enumerate(expressions))
    found = digests(family, HEADER + saves, tmp_path, MODES[1:4])
    assert len(set(found)) == 1
    for folder in (tmp_path / "0").rglob("*.safetensors"):
        assert all(tensor.isfinite().all() for tensor in read_model(folder).values() if tensor.is_floating_point())


_SMALL: list[Path] = []


def make_small(tmp_path_factory):
    """Return one small family for all examples: making it is what takes time."""
    if not _SMALL:
        _SMALL.append(tmp_path_factory.mktemp("small"))
        make_family(_SMALL[0], layers=2, hidden=16, intermediate=24, vocab=4200, heads=2, kv_heads=1)
        make_adapter(_SMALL[0] / "adapter")
    return _SMALL[0]


def make_adapter(folder):
    """Write an adapter of two matrices of a layer."""
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "base"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    random = torch.Generator().manual_seed(0)
    shapes = {
        f"base_model.model.model.layers.1.{name}.lora_{half}.weight": shape
        for name, out in (("self_attn.q_proj", 16), ("mlp.up_proj", 24))
        for half, shape in (("A", (2, 16)), ("B", (out, 2)))
    }
    tensors = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
    save_file(tensors, folder / "adapter_model.safetensors")
