"""Extract an adapter from a fine-tune: the nearest low-rank matrices to what it changed, as peft loads them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mergegraph.checkpoint.adapter import PREFIX, WRAPPED
from mergegraph.checkpoint.adapter_config import CONFIG
from mergegraph.checkpoint.checkpoint import Checkpoint, Tensor, download
from mergegraph.checkpoint.reader import FileSet
from mergegraph.checkpoint.tied import EMBEDDINGS
from mergegraph.checkpoint.transposed import transposed
from mergegraph.checkpoint.weights import ADAPTER
from mergegraph.compiler import MARGIN_BYTES
from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape, listed
from mergegraph.dtypes import FLOAT32
from mergegraph.machine import available_bytes, resident_bytes
from mergegraph.merge import fingerprints_of, input_model, versions
from mergegraph.plan.plan import Report
from mergegraph.sizes import format_size
from mergegraph.write.digest import digest
from mergegraph.write.directory import OutputDirectory, commit_all
from mergegraph.write.layout import Layout, OutputTensor, plan_layout
from mergegraph.write.manifest import build_manifest
from mergegraph.write.refusals import MANIFEST_NAME

EMBEDDED = (*EMBEDDINGS, "wpe", "position_embeddings", "token_type_embeddings", "embed_positions")
"""How modules are called that turn numbers into vectors: peft keeps their adapters transposed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to extract: a `rank` for all matrices, or with an `energy` the least that keeps such a share of the squares
    of each, at most `rank`; of matrices whose names match `include` and not `exclude`."""

    rank: int
    energy: float | None = None
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extracted:
    """What was written: how many matrices at which ranks, tensors that are kept whole, and those that are left out."""

    path: Path
    ranks: tuple[int, ...]
    wholes: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """The factors of a matrix, as they are called in the adapter, or a tensor that is kept whole.

    One that is `transposed` has a row for each input, as in GPT-2, and peft the factors of its transpose.
    """

    tensor: Tensor
    keys: tuple[str, ...]
    rank: int = 0
    transposed: bool = False

    @property
    def module(self) -> str:
        return self.tensor.name.removesuffix(".weight").removesuffix(".bias")

    def outputs(self) -> list[OutputTensor]:
        if not self.rank:
            return [OutputTensor(self.keys[0], FLOAT32, self.tensor.shape)]
        rows, columns = self.tensor.shape[::-1] if self.transposed else self.tensor.shape
        a, b = (self.rank, columns), (rows, self.rank)
        shapes = ((self.rank, rows), (columns, self.rank)) if "embedding" in self.keys[0] else (a, b)
        return [OutputTensor(key, FLOAT32, shape) for key, shape in zip(self.keys, shapes, strict=True)]


def extract(
    tuned: Checkpoint,
    base: Checkpoint,
    target: Path,
    wanted: Wanted,
    *,
    memory: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    started: Callable[[int], Report] = lambda _: lambda _count, _tensor: None,
) -> Extracted:
    """Write the adapter that makes `tuned` of `base`. MergeGraphError for whatever goes wrong, nothing is left then.

    One matrix is in memory at a time. What has other shapes than matrices is kept whole where it differs. `started` is
    told how many bytes will be read, and returns what is told of those that are.
    """
    from mergegraph.kernels import single_threaded

    single_threaded()
    names = [name for name in tuned.tensors if name in base.tensors and _comparable(tuned, base, name)]
    asked = [name for name in names if _is_matrix(tuned.tensors[name]) and _asked(name, wanted)]
    if asked:
        _refuse_memory([tuned.tensors[name] for name in asked], memory)
    download({model: range(len(model.files)) for model in (tuned, base)})
    with _Pair(tuned, base, started(_work(names, asked, tuned, base, wanted))) as pair:
        differing = [name for name in names if pair.differs(name)]
        matrices = [name for name in differing if name in asked]
        pair.skip([name for name in asked if name not in differing], 1 if wanted.energy is None else 2)
        if not matrices:
            message = "no matrix differs between the models and is asked for"
            raise MergeGraphError(Diagnostic("MG389", message, help=("see `--include` and `--exclude`",)))
        wholes = [name for name in differing if len(tuned.tensors[name].shape) < 2]
        taken = {*names} - {*differing} | {*matrices, *wholes}
        left_out = tuple(name for name in tuned.tensors if name not in taken)
        turned = transposed(tuned.tensors)
        parts = [_factors(tuned.tensors[name], _rank(pair, name, wanted), name in turned) for name in matrices]
        parts += [_whole(tuned.tensors[name], {part.module for part in parts}) for name in wholes]
        layout = _layout(parts)
        directory = OutputDirectory.create(
            target,
            layout,
            plan_hash=hashlib.sha256(repr((wanted, [part.keys for part in parts])).encode()).hexdigest(),
            fingerprints=fingerprints_of((tuned, base)),
            versions=versions(),
            inputs=[path for model in (tuned, base) for path in ([model.root] if model.root else [])],
            overwrite=overwrite,
            resume=resume,
        )
        with directory:
            for part in parts:
                if not all(key in directory.done for key in part.keys):
                    _write(directory, layout, part, pair)
                elif part.rank:
                    pair.skip([part.tensor.name])
            directory.flush()
            files = {CONFIG: _config(parts, base, wanted)}
            files[MANIFEST_NAME] = build_manifest(
                recipe=f'extract_lora("{tuned.source}", base="{base.source}")',
                imports={},
                seed=None,
                save={"path": target.name, "rank": wanted.rank, "energy": wanted.energy},
                inputs=[input_model(model) for model in (tuned, base)],
                versions=versions(),
                layout=layout,
                digests=directory.done,
                small_files=files,
            )
            pair.check_unchanged()
            commit_all([(directory, files)])
    return Extracted(target, tuple(part.rank for part in parts if part.rank), tuple(wholes), tuple(left_out))


def _comparable(tuned: Checkpoint, base: Checkpoint, name: str) -> bool:
    one, other = tuned.tensors[name], base.tensors[name]
    return one.shape == other.shape and one.dtype.mergeable and other.dtype.mergeable


def _is_matrix(tensor: Tensor) -> bool:
    return len(tensor.shape) == 2 and min(tensor.shape) > 0 and tensor.name.endswith(".weight")


def _asked(name: str, wanted: Wanted) -> bool:
    included = any(fnmatchcase(name, glob) for glob in wanted.include)
    return included and not any(fnmatchcase(name, glob) for glob in wanted.exclude)


def _refuse_memory(matrices: Sequence[Tensor], memory: int | None) -> None:
    from mergegraph.kernels.factors import workspace_bytes

    largest = max(matrices, key=lambda tensor: workspace_bytes(*tensor.shape))
    needed = resident_bytes() + MARGIN_BYTES + workspace_bytes(*largest.shape)
    allowed = memory if memory is not None else available_bytes() * 4 // 5
    if needed > allowed:
        message = f"factoring this matrix does not fit into {format_size(allowed)} of memory"
        help = (f"the smallest that would do is `--memory {-(-needed // 1_000_000)}MB`", "or leave it out: `--exclude`")
        raise MergeGraphError(Diagnostic("MG388", message, help=help, place=escape(largest.name), status=4))


def _work(names: Sequence[str], asked: Sequence[str], tuned: Checkpoint, base: Checkpoint, wanted: Wanted) -> int:
    """Return how many bytes are read: all to compare them, and matrices for each time that they are factored."""
    passes = 1 if wanted.energy is None else 2
    sizes = {name: tuned.tensors[name].nbytes + base.tensors[name].nbytes for name in names}
    return sum(sizes.values()) + passes * sum(sizes[name] for name in asked)


class _Pair:
    """Reads tensors of two models that have the same names, and reports it."""

    def __init__(self, tuned: Checkpoint, base: Checkpoint, report: Report) -> None:
        self.models = (tuned, base)
        self.report = report
        self.files = [FileSet([h.path for h in m.files], [h.identity for h in m.files]) for m in self.models]

    def __enter__(self) -> _Pair:
        for files in self.files:
            files.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        for files in self.files:
            files.__exit__(None, None, None)

    def check_unchanged(self) -> None:
        for files in self.files:
            files.check_unchanged()

    def values(self, which: int, name: str) -> Any:
        """Return a tensor of the tuned model (0) or the base (1) as torch reads it."""
        import torch

        from mergegraph.execute.arena import TORCH_DTYPES

        tensor = self.models[which].tensors[name]
        found = torch.empty(tensor.shape, dtype=TORCH_DTYPES[tensor.dtype.name])
        if tensor.nbytes:
            view: Any = found.view(-1).view(torch.uint8).numpy()
            self.files[which].read_into(tensor.file, tensor.begin, memoryview(view))
        self.report(tensor.nbytes, name)
        return found

    def skip(self, names: Sequence[str], times: int = 1) -> None:
        """Report tensors as read that need not be."""
        for name in names:
            self.report(times * sum(model.tensors[name].nbytes for model in self.models), name)

    def differs(self, name: str) -> bool:
        found = self.values(0, name)
        return not found.equal(self.values(1, name).to(found.dtype))

    def delta(self, name: str) -> Any:
        """Return the difference of a matrix in float64. Raises MG391 where it has an element that is not finite."""
        found = self.values(0, name).double().sub_(self.values(1, name))
        if not found.isfinite().all():
            message = "a matrix with elements that are NaN or infinite can't be factored"
            help = ("leave it out: `--exclude`",)
            raise MergeGraphError(Diagnostic("MG391", message, help=help, place=escape(name), status=1))
        return found


def _rank(pair: _Pair, name: str, wanted: Wanted) -> int:
    from mergegraph.kernels.factors import rank_for

    most = min(wanted.rank, *pair.models[0].tensors[name].shape)
    return most if wanted.energy is None else min(most, rank_for(pair.delta(name), wanted.energy))


def _factors(tensor: Tensor, rank: int, transposed: bool) -> _Part:
    module = tensor.name.removesuffix(".weight")
    if module.rpartition(".")[2] in EMBEDDED:
        return _Part(tensor, tuple(f"{PREFIX}{module}.lora_embedding_{half}" for half in "AB"), rank)
    return _Part(tensor, tuple(f"{PREFIX}{module}.lora_{half}.weight" for half in "AB"), rank, transposed)


def _whole(tensor: Tensor, adapted: set[str]) -> _Part:
    module, _, last = tensor.name.rpartition(".")
    return _Part(tensor, (f"{PREFIX}{module}{WRAPPED if module in adapted else ''}.{last}",))


def _layout(parts: Sequence[_Part]) -> Layout:
    tensors = [output for part in parts for output in part.outputs()]
    layout = plan_layout(tensors, sum(tensor.nbytes for tensor in tensors))
    return replace(layout, shards=(replace(layout.shards[0], file=ADAPTER),))


def _write(directory: OutputDirectory, layout: Layout, part: _Part, pair: _Pair) -> None:
    digests = {}
    for key, values in zip(part.keys, _tensors(part, pair), strict=True):
        data = memoryview(values.float().contiguous().view(-1).numpy()).cast("B")
        directory.write(0, layout.slot(key).offset, data)
        digests[key] = digest(data)
    directory.record(digests)


def _tensors(part: _Part, pair: _Pair) -> Iterator[Any]:
    from mergegraph.kernels.factors import factored

    if not part.rank:
        yield pair.values(0, part.tensor.name)
        return
    delta = pair.delta(part.tensor.name)
    left, right = factored(delta.T if part.transposed else delta, part.rank)
    yield from (left.T, right.T) if "embedding" in part.keys[0] else (right, left)


def _config(parts: Sequence[_Part], base: Checkpoint, wanted: Wanted) -> bytes:
    """Return `adapter_config.json`: alpha is the rank everywhere, so that the product is not scaled."""
    adapted = {part.module: part.rank for part in parts if part.rank}
    rank = min(wanted.rank, max(adapted.values()))
    others = {module.replace(".", r"\."): found for module, found in adapted.items() if found != rank}
    saved = {part.module for part in parts if not part.rank and part.module not in adapted}
    fields = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base.source,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": any(part.transposed for part in parts),
        "use_rslora": False,
        "use_dora": False,
        "target_modules": sorted(adapted),
        "modules_to_save": sorted(saved) or None,
        "rank_pattern": others,
        "alpha_pattern": others,
    }
    return (json.dumps(fields, indent=2) + "\n").encode()


def left_out_warning(found: Extracted) -> Iterator[Diagnostic]:
    """Yield the warning about tensors of the fine-tune that the adapter does not have."""
    if found.left_out:
        message = f"these tensors of the fine-tune are not in the adapter: {listed(found.left_out)}"
        yield Diagnostic("MG390", message, severity="warning")
