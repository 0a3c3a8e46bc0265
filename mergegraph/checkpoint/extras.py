"""Find the files beside the weights that a model needs to be used: tokenizer, templates, processors, modules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from mergegraph.checkpoint.folder import Folder

Kind = Literal["tokenizer", "chat template", "generation", "processor", "modules"]

PATTERNS: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        "tokenizer": (
            "tokenizer.json",
            "tokenizer_config.json",
            "tokenizer.model",
            "tokenizer.model.v*",
            "special_tokens_map.json",
            "added_tokens.json",
            "vocab.json",
            "vocab.txt",
            "vocab.bpe",
            "merges.txt",
            "bpe.codes",
            "dict.txt",
            "normalizer.json",
            "tekken.json",
            "spiece.model",
            "sentencepiece.model",
            "sentencepiece.bpe.model",
            "spm.model",
            "source.spm",
            "target.spm",
            "*.tiktoken",
        ),
        "chat template": ("chat_template.json", "chat_template.jinja", "additional_chat_templates/*.jinja"),
        "generation": ("generation_config.json",),
        "processor": (
            "preprocessor_config.json",
            "processor_config.json",
            "video_preprocessor_config.json",
        ),
        "modules": ("modules.json", "config_sentence_transformers.json", "sentence_*_config.json", "[0-9]_*/*.json"),
    }
)
"""Names of the files that belong to a model, relative to its folder, by what they are for."""

_FOLDER = re.compile(r"[0-9]_\w+|additional_chat_templates")


def find_extras(folder: Folder) -> tuple[Path, ...]:
    """Return the files that `PATTERNS` names, relative to the folder, sorted.

    They lie in the folder itself, in sentence-transformers' module folders (`1_Pooling`) and in
    `additional_chat_templates`; hidden files, code and weights are never among them. Raises MG520 for links that leave
    the folder.
    """
    found = sorted(path for path in _paths(folder) if extra_kind(path) is not None)
    return tuple(path for path in found if folder.is_file(path))


def extra_kind(path: Path) -> Kind | None:
    """Return what a file of a model's folder is for, by its relative path; None when the model does not need it."""
    name = path.as_posix()
    return next((kind for kind, patterns in PATTERNS.items() if any(fnmatchcase(name, p) for p in patterns)), None)


def inner_weights(folder: Folder) -> tuple[Path, ...]:
    """Return the weights in the module folders, relative to the folder: they are no part of the model's tensors."""
    return tuple(sorted(path for path in _paths(folder) if len(path.parts) == 2 and path.suffix == ".safetensors"))


def _paths(folder: Folder) -> Iterator[Path]:
    for name in folder.names():
        yield Path(name)
        if _FOLDER.fullmatch(name) and folder.is_folder(name):
            yield from (Path(name, inner) for inner in folder.names(name))
