"""Say in `mergegraph.json` where an output comes from and what its bytes are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from mergegraph.write.digest import digest
from mergegraph.write.layout import Layout
from mergegraph.write.refusals import MANIFEST_NAME

FORMAT = 1
CARD_NAME = "README.md"
_UNTRACKED = (MANIFEST_NAME, CARD_NAME)


@dataclass(frozen=True, slots=True)
class InputFile:
    """A weights file that was read: its name in its model, size in bytes, and the SHA-256 of its header as hex."""

    name: str
    size: int
    header_sha256: str


@dataclass(frozen=True, slots=True)
class InputModel:
    """A model that was read: its source as the recipe writes it, the commit it was pinned to, and its files."""

    source: str
    commit: str | None
    files: tuple[InputFile, ...]


def build_manifest(
    *,
    recipe: str,
    imports: Mapping[str, str],
    seed: int | None,
    save: Mapping[str, object],
    inputs: Iterable[InputModel],
    versions: Mapping[str, str],
    layout: Layout,
    digests: Mapping[str, str],
    small_files: Mapping[str, bytes],
) -> bytes:
    """Return the bytes of the manifest: they depend on the arguments only, on no clock and no path of this machine.

    `imports` are the texts of the recipes that it imports, by their path from its folder. `save` holds the path and the
    options of its `save`. The model card is left out: people edit it.
    """
    manifest = {
        "format": FORMAT,
        "recipe": {**_text(recipe), "imports": {path: _text(text) for path, text in imports.items()}},
        "seed": seed,
        "save": save,
        "inputs": [asdict(model) for model in inputs],
        "versions": versions,
        "shards": {
            shard.file: {"size": shard.nbytes, "header": digest(memoryview(shard.header)[8:])}
            for shard in layout.shards
        },
        "tensors": {name: digests[name] for name in layout.shard_of},
        "files": {
            name: {"size": len(data), "digest": digest(data)}
            for name, data in {**small_files, **layout.index_file}.items()
            if name not in _UNTRACKED
        },
    }
    return (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()


def _text(text: str) -> dict[str, str]:
    return {"text": text, "digest": digest(text.encode("utf-8", "surrogatepass"))}
