import json
import math

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from huggingface_hub import split_state_dict_into_shards_factory
from hypothesis import given
from hypothesis import strategies as st

from mergegraph.diagnostics import MergeGraphError
from mergegraph.dtypes import DTYPES
from mergegraph.write.layout import OutputTensor, plan_layout

NUMPY = "float64 float32 float16 complex64 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool".split()  # noqa: SIM905
TORCH = [*NUMPY, "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu"]
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda name: name != "__metadata__")
SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple)


def families(dtypes):
    return st.dictionaries(NAMES, st.tuples(st.sampled_from(dtypes), SHAPES), min_size=1, max_size=8)


def content(nbytes, seed):
    return bytes((seed * 31 + i) % 2 for i in range(nbytes))


def written(family):
    """The file that the layout plans, with every tensor's bytes in its slot."""
    layout = plan_layout([OutputTensor(name, DTYPES[dtype], shape) for name, (dtype, shape) in family.items()])
    (shard,) = layout.shards
    file = bytearray(shard.nbytes)
    file[: len(shard.header)] = shard.header
    for i, name in enumerate(family):
        slot = shard.tensors[name]
        file[slot.offset : slot.offset + slot.nbytes] = content(slot.nbytes, i)
    return bytes(file)


def nbytes(dtype, shape):
    return DTYPES[dtype].nbytes(math.prod(shape))


@given(families(NUMPY))
def test_a_file_is_what_safetensors_writes_from_numpy(family):
    arrays = {
        name: np.frombuffer(content(nbytes(*spec), i), dtype=spec[0]).reshape(spec[1])
        for i, (name, spec) in enumerate(family.items())
    }
    assert written(family) == safetensors.numpy.save(arrays, {"format": "pt"})


@given(families(TORCH))
def test_a_file_is_what_safetensors_writes_from_torch(family):
    tensors = {}
    for i, (name, (dtype, shape)) in enumerate(family.items()):
        raw = torch.tensor(list(content(nbytes(dtype, shape), i)), dtype=torch.uint8)
        tensors[name] = raw.view(getattr(torch, dtype)).reshape(shape)
    assert written(family) == safetensors.torch.save(tensors, {"format": "pt"})


def test_names_are_escaped_as_safetensors_escapes_them():
    names = ['"', "\\", "\n\r\t\b\f", "\x00\x1f\x7f", "é", "\u2028", "😀", "../../x", "</script>", ""]
    family = dict.fromkeys(names, ("uint8", (1,)))
    arrays = {name: np.frombuffer(content(1, i), dtype="uint8") for i, name in enumerate(names)}
    assert written(family) == safetensors.numpy.save(arrays, {"format": "pt"})


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.integers(1, 100))
def test_shards_are_cut_as_huggingface_hub_cuts_them(sizes, limit):
    family = {f"t{i}": size for i, size in enumerate(sizes)}
    layout = plan_layout([OutputTensor(name, DTYPES["uint8"], (size,)) for name, size in family.items()], limit)
    split = split_state_dict_into_shards_factory(
        family,
        get_storage_size=lambda size: size,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=limit,
    )
    assert {s.file: set(s.tensors) for s in layout.shards} == {f: set(n) for f, n in split.filename_to_tensors.items()}
    assert [s.file for s in layout.shards] == list(split.filename_to_tensors)
    assert {name: layout.shards[i].file for name, i in layout.shard_of.items()} == split.tensor_to_filename
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": dict(sorted(split.tensor_to_filename.items()))}
        assert layout.index == (json.dumps(index, indent=2) + "\n").encode()
    else:
        assert layout.index is None


@given(families(NUMPY))
def test_tensors_fill_the_data_without_hole_or_overlap(family):
    layout = plan_layout([OutputTensor(name, DTYPES[dtype], shape) for name, (dtype, shape) in family.items()], 20)
    for shard in layout.shards:
        end = len(shard.header)
        for slot in sorted(shard.tensors.values(), key=lambda slot: (slot.offset, slot.nbytes)):
            assert slot.offset == end
            end += slot.nbytes
        assert end == shard.nbytes


def test_ninety_thousand_tensors_are_laid_out():
    shapes = [(7168, 2048), (2048,), (64,)]
    tensors = [
        OutputTensor(f"model.layers.{i // 1500}.mlp.experts.{i}.weight", DTYPES["bfloat16"], shapes[i % 3])
        for i in range(90_000)
    ]
    layout = plan_layout(tensors)
    assert len(layout.shard_of) == 90_000
    assert layout.shards[-1].file == f"model-{len(layout.shards):05d}-of-{len(layout.shards):05d}.safetensors"


def test_an_output_without_tensors_is_refused():
    with pytest.raises(MergeGraphError) as caught:
        plan_layout([])
    assert str(caught.value) == "error[MG616]: the output has no tensors"


def test_names_that_no_file_can_hold_are_refused():
    bad = [OutputTensor(name, DTYPES["uint8"], (1,)) for name in ("ok", "__metadata__", "half\ud800")]
    with pytest.raises(MergeGraphError) as caught:
        plan_layout(bad)
    assert str(caught.value) == (
        "error[MG617]: no safetensors file can hold a tensor of this name: `__metadata__`, `half\\ud800`\n"
        "  = help: rename it, or leave it out"
    )


def test_a_header_that_no_reader_accepts_is_refused():
    tensors = [OutputTensor(f"{i}{'x' * 1_000_000}", DTYPES["uint8"], (0,)) for i in range(101)]
    with pytest.raises(MergeGraphError) as caught:
        plan_layout(tensors)
    assert str(caught.value) == (
        "error[MG618]: the header of `model.safetensors` would take 101 MB; readers accept 100 MB\n"
        "  = help: choose a smaller `shard_size`"
    )
