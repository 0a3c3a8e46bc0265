"""Open a LoRA adapter as PEFT writes it: its configuration, and which of its tensors change which module.

The rules are PEFT's: names begin with `base_model.model.`, the adapter's own name may stand after `lora_A`, patterns of
ranks and alphas are regular expressions for the end of a module's name.
"""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

from mergegraph.checkpoint.adapter_config import CONFIG, AdapterConfig, read_config
from mergegraph.checkpoint.checkpoint import Checkpoint, checkpoint_at, headers_of, tensors_of
from mergegraph.checkpoint.extras import find_extras
from mergegraph.checkpoint.faults import fault, quoted
from mergegraph.checkpoint.files import read_small
from mergegraph.checkpoint.folder import open_folder
from mergegraph.checkpoint.jsontext import parse_object
from mergegraph.checkpoint.source import Location, locate
from mergegraph.checkpoint.weights import ADAPTER, CONVERT, other_format
from mergegraph.diagnostics import listed

MAX_CONFIG_BYTES = 16_000_000
"""The longest `adapter_config.json` that is read."""

PREFIX = "base_model.model."

WRAPPED = ".base_layer"
"""What stands in the names of modules around which peft has put others."""

_HALF = re.compile(
    r"(?P<module>.+?)\.(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)"
    r"(?:\.(?!weight\Z|bias\Z)[^.]+)?(?:\.(?P<what>weight|bias))?",
    re.DOTALL,
)
_SAVED = re.compile(r"\.modules_to_save(\.(?!weight\Z|bias\Z)[^.]+)?(?=\.)")
_COPIED = re.compile(r"\.(modules_to_save|original_module)(?=\.(weight|bias)\Z)")
_TOKENS = re.compile(r"(?P<module>.+)\.token_adapter\.trainable_tokens_delta(?:\.[^.]+)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Pair:
    """The low-rank change `B A` of a module's weight, or of a parameter of it; several of those are wrapped.

    `a` and `b` are names of tensors in the adapter, `magnitude` that of DoRA's vector of norms. Those of an `embedding`
    are transposed.
    """

    module: str
    a: str
    b: str
    magnitude: str | None
    embedding: bool


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """A LoRA adapter: its tensors as a checkpoint, its configuration, and what it changes, by names in the base.

    `wholes` give tensors that are replaced, by name; `rows` the rows that are replaced of embeddings, `biases` what is
    added to the biases of modules, by module.
    """

    checkpoint: Checkpoint
    config: AdapterConfig
    pairs: tuple[Pair, ...]
    wholes: Mapping[str, str]
    rows: Mapping[str, str]
    biases: Mapping[str, str]

    def scaling(self, key: str) -> tuple[int, float]:
        """Return the rank of a module's or parameter's adapter, and the factor of its product. Raises MG553."""
        return self.config.scaling(key, self.checkpoint.files[0].path.parent / CONFIG)


def open_adapter(source: str, *, relative_to: Path, revision: str | None = None) -> Adapter:
    """Find the adapter that `source` names (see `source.locate`); its configuration and header are read.

    Raises MG501 to MG533 as for models, and MG550 to MG556 for what only adapters have.
    """
    return _adapter_at(source, locate(source, relative_to, revision))


def open_either(source: str, *, relative_to: Path) -> Checkpoint | Adapter:
    """Open the model that `source` names, or the adapter where it is one. Raises as both of them."""
    location = locate(source, relative_to, None)
    if location.repository is not None or os.path.isdir(location.path):
        names = open_folder(location.path, location.repository).names()
        if CONFIG in names and ADAPTER in names and not any(_is_model(name) for name in names):
            return _adapter_at(source, location)
    return checkpoint_at(source, location)


def _is_model(name: str) -> bool:
    return name.endswith((".safetensors", ".safetensors.index.json")) and name != ADAPTER and not name.startswith(".")


def _adapter_at(source: str, location: Location) -> Adapter:
    checkpoint, config = _opened(source, location)
    keys = _Keys(checkpoint, config)
    for name in checkpoint.tensors:
        keys.take(name)
    return keys.adapter()


def known_name(name: str, names: Collection[str]) -> str | None:
    """Return the model's name for a tensor: the same, or with the first part of the one or the other left out."""
    shorter = name.partition(".")[2]
    if name in names or shorter in names:
        return name if name in names else shorter
    firsts = dict.fromkeys(known.partition(".")[0] for known in names)
    longer = [full for first in firsts if (full := f"{first}.{name}") in names]
    return longer[0] if len(longer) == 1 else None


def stamps(checkpoint: Checkpoint) -> Iterator[tuple[str, int, str]]:
    """Yield of the files that decide the numbers of a model or adapter the name, size in bytes and SHA-256 as hex.

    Of weights the SHA-256 is that of the header, of an adapter's configuration that of all of it.
    """
    yield from ((header.path.name, header.file_bytes, header.sha256) for header in checkpoint.files)
    if any(header.path.name == ADAPTER for header in checkpoint.files):
        data = read_small(checkpoint.member(CONFIG), MAX_CONFIG_BYTES, "configuration")
        yield CONFIG, len(data), sha256(data).hexdigest()


def _opened(source: str, location: Location) -> tuple[Checkpoint, AdapterConfig]:
    folder = open_folder(location.path, location.repository)
    names = folder.names()
    if CONFIG not in names:
        help = "this is a model; an adapter is a folder that peft has written" if "config.json" in names else ""
        raise fault("MG550", f"there is no `{CONFIG}` in this folder", folder.path, *filter(None, [help]))
    path = folder.member(CONFIG)
    fields = parse_object(read_small(path, MAX_CONFIG_BYTES, "configuration"), "configuration", path)
    config = read_config(fields, path)
    if ADAPTER not in names:
        others = [name for name in names if other_format(name)]
        if others:
            raise fault("MG522", f"the adapter is not in safetensors: {listed(others)}", folder.path, CONVERT)
        raise fault("MG550", f"there is no `{ADAPTER}` in this folder", folder.path)
    headers = headers_of(folder, (folder.place(ADAPTER),))
    checkpoint = Checkpoint(
        source=source,
        root=folder.path,
        files=headers,
        tensors=tensors_of(headers),
        config=MappingProxyType({}),
        commit=location.repository.commit if location.repository else None,
        stacks=(),
        extras=find_extras(folder),
        warnings=location.repository.warnings if location.repository else (),
        folder=folder,
    )
    return checkpoint, config


class _Keys:
    """Sorts the tensors of an adapter by what they change."""

    def __init__(self, checkpoint: Checkpoint, config: AdapterConfig) -> None:
        self.checkpoint = checkpoint
        self.config = config
        self.halves: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self.wholes: dict[str, str] = {}
        self.rows: dict[str, str] = {}
        self.unknown: list[str] = []

    @property
    def place(self) -> Path:
        return self.checkpoint.files[0].path

    def take(self, key: str) -> None:
        """Note what the tensor `key` is for."""
        name = key.removeprefix(PREFIX)
        half, tokens = _HALF.fullmatch(name), _TOKENS.fullmatch(name)
        if self._is_copy(key):
            return
        if not self.checkpoint.tensors[key].dtype.mergeable:
            self.unknown.append(key)
        elif half:
            part = f"{half['part']}.bias" if half["what"] == "bias" else half["part"]
            self._once(self.halves[half["module"]], part, key)
        elif tokens:
            self._once(self.rows, _unwrapped(tokens["module"]), key)
        elif "lora_" in name or "original_module" in name or "." not in name:
            self.unknown.append(key)
        else:
            self._once(self.wholes, _unwrapped(_SAVED.sub("", name)), key)

    def _is_copy(self, key: str) -> bool:
        """Tell whether PEFT has written a module that is saved whole a second time, as it is and as it was before."""
        plain = _COPIED.sub("", key)
        return plain != key and plain in self.checkpoint.tensors

    def _once(self, table: dict[str, str], name: str, key: str) -> None:
        if name in table:
            raise fault("MG554", f"two tensors are for the same thing: {listed([table[name], key])}", self.place)
        table[name] = key

    def adapter(self) -> Adapter:
        """Return the adapter. Raises MG554 to MG556 for tensors that are not understood or do not fit each other."""
        if self.unknown:
            help = "of an adapter every tensor must be used"
            raise fault("MG554", f"these tensors are not understood: {listed(self.unknown)}", self.place, help)
        pairs = tuple(self._pairs())
        biases = {module: halves["lora_B.bias"] for module, halves in self.halves.items() if "lora_B.bias" in halves}
        return Adapter(
            self.checkpoint,
            self.config,
            pairs,
            MappingProxyType(self.wholes),
            MappingProxyType(self.rows),
            MappingProxyType(biases),
        )

    def _pairs(self) -> Iterator[Pair]:
        lonely = [key for halves in self.halves.values() if not _complete(halves) for key in halves.values()]
        if lonely:
            message = f"these tensors lack their other half, `lora_A` or `lora_B`: {listed(lonely)}"
            raise fault("MG555", message, self.place, "the adapter was not written completely; save it again with peft")
        for module, halves in self.halves.items():
            embedding = "lora_embedding_A" in halves
            names = [halves[f"lora_{'embedding_' if embedding else ''}{half}"] for half in "AB"]
            self._check_rank(module, names)
            magnitude = halves.get("lora_magnitude_vector")
            if self.config.dora and magnitude is None:
                raise fault("MG555", f"the DoRA adapter of {quoted(module)} lacks its magnitudes", self.place)
            if magnitude and not self.config.dora:
                raise fault("MG554", f"only DoRA has magnitudes, and this is none: {listed([magnitude])}", self.place)
            yield Pair(module, names[0], names[1], magnitude, embedding)

    def _check_rank(self, module: str, names: Sequence[str]) -> None:
        a, b = (self.checkpoint.tensors[name].shape for name in names)
        if len(a) < 2 or len(b) < 2 or a[0] == 0 or a[0] != math.prod(b[1:]):
            message = f"the matrices of {quoted(module)} can't be multiplied: A is {list(a)}, B is {list(b)}"
            raise fault("MG556", message, self.place)


def _complete(halves: Mapping[str, str]) -> bool:
    parts = halves.keys() - {"lora_magnitude_vector"}
    return parts in (
        {"lora_A", "lora_B"},
        {"lora_A", "lora_B", "lora_B.bias"},
        {"lora_embedding_A", "lora_embedding_B"},
    )


def _unwrapped(module: str) -> str:
    return module.replace(f".token_adapter{WRAPPED}", "").replace(WRAPPED, "")
