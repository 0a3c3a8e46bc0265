"""Lay out the tensors of an output in files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mergegraph.compiler import Compilation
from mergegraph.diagnostics import Label, MergeGraphError
from mergegraph.ir.graph import OutputTensor as GraphTensor
from mergegraph.ir.graph import TensorRef
from mergegraph.write.adapter import adapter_layout
from mergegraph.write.layout import Layout, OutputTensor, plan_layout


def layout(compilation: Compilation, index: int) -> Layout:
    """Return where every tensor of a save will lie. MergeGraphError (MG616 to MG618) for what no file can hold."""
    save = compilation.recipe.saves[index]
    tensors = [OutputTensor(t.name, t.root.tensor.dtype, _shape(compilation, t)) for t in written(compilation, index)]
    try:
        found = plan_layout(tensors, save.shard_size)
        return adapter_layout(found) if index in compilation.extracted else found
    except MergeGraphError as error:
        raise MergeGraphError(*(replace(d, labels=(Label(save.span),)) for d in error.diagnostics)) from None


def written(compilation: Compilation, index: int) -> Iterator[GraphTensor]:
    return (tensor for tensor in compilation.optimized.tensors if tensor.save == index)


def _shape(compilation: Compilation, tensor: GraphTensor) -> tuple[int, ...]:
    """Return the shape to write: the graph sees a tensor without axes as one element in a row."""
    shape = tensor.root.tensor.shape
    refs = [binding for binding in tensor.bindings if isinstance(binding, TensorRef)]
    return () if shape == (1,) and refs and compilation.tensor(refs[0]).shape == () else shape


def main_dtype(shards: Layout, compilation: Compilation, index: int) -> str:
    """Return the float type that most bytes of an output have."""
    sizes: dict[str, int] = {}
    for tensor in written(compilation, index):
        dtype = tensor.root.tensor.dtype
        if dtype.kind == "float":
            sizes[dtype.name] = sizes.get(dtype.name, 0) + shards.slot(tensor.name).nbytes
    return max(sizes, key=lambda name: sizes[name], default="float32")
