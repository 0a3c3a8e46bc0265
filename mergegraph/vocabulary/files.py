"""Make the files of an output that speak of tokens: copied from the tokenizer's model, and changed where they must."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.checkpoint.extras import extra_kind
from mergegraph.checkpoint.jsontext import parse_object
from mergegraph.diagnostics import Diagnostic
from mergegraph.vocabulary.templates import SETTINGS, TEMPLATE, ChatTemplate
from mergegraph.vocabulary.tokens import TOKENIZER, Tokens
from mergegraph.vocabulary.union import Joined

KEPT = (TOKENIZER, SETTINGS, "special_tokens_map.json")
"""The files of a tokenizer that hold for one with more tokens, where they are changed; others would say less."""

_IDS = re.compile(r"\w+_token_(ids?|index)|(begin_)?suppress_tokens")
"""The keys of configurations whose values are numbers of tokens."""


def token_files(
    checkpoints: Sequence[Checkpoint],
    read: Callable[[Path], bytes],
    joined: Joined | None,
    template: ChatTemplate | None,
) -> dict[str, bytes]:
    """Return the files beside the weights of the tokenizer's model, with the tokens and the template of the output.

    An adapter with a tokenizer is the last of two: what else there is comes from its model.
    """
    changed = joined is not None and joined.changed
    files: dict[str, bytes] = {}
    for checkpoint in checkpoints:
        paths = [p for p in checkpoint.extras if not changed or extra_kind(p) != "tokenizer" or p.as_posix() in KEPT]
        kinds = {extra_kind(path) for path in paths} & {"tokenizer", "chat template"}
        files = {name: data for name, data in files.items() if extra_kind(Path(name)) not in kinds}
        files |= {path.as_posix(): read(checkpoint.member(path)) for path in paths}
    if joined is not None and changed:
        files[TOKENIZER] = joined.text
        _edit(files, lambda settings: _with_tokens(settings, joined.entries()))
    if template is not None:
        files = {name: data for name, data in files.items() if extra_kind(Path(name)) != "chat template"}
        files |= template.files
        _edit(files, lambda settings: _with_template(settings, template))
    return files


def _edit(files: dict[str, bytes], change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change `tokenizer_config.json`, where there is one and something changes."""
    if SETTINGS not in files:
        return
    before = parse_object(files[SETTINGS], "configuration", Path(SETTINGS))
    after = change(before)
    if after != before:
        files[SETTINGS] = (json.dumps(after, ensure_ascii=False, indent=2) + "\n").encode("utf-8", "surrogatepass")


def _with_tokens(settings: Mapping[str, Any], entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    known = settings.get("added_tokens_decoder")
    if not isinstance(known, dict):
        return dict(settings)
    new = {str(entry["id"]): {key: value for key, value in entry.items() if key != "id"} for entry in entries}
    return {**settings, "added_tokens_decoder": {**known, **new}}


def _with_template(settings: Mapping[str, Any], template: ChatTemplate) -> dict[str, Any]:
    """Return the settings with a template, if they had one or there is no other place for it."""
    found = {key: value for key, value in settings.items() if key != "chat_template"}
    wanted = template.value is not None and ("chat_template" in settings or TEMPLATE not in template.files)
    return {**found, "chat_template": template.value} if wanted else found


def renumbered(config: Mapping[str, Any], before: Tokens, after: Joined) -> tuple[dict[str, Any], list[str]]:
    """Return a configuration with the numbers that its tokens have in the output, and the keys where one has none."""
    lost: list[str] = []
    return {key: _renumbered(key, value, before, after, lost) for key, value in config.items()}, lost


def _renumbered(key: str, value: Any, before: Tokens, after: Joined, lost: list[str]) -> Any:
    if isinstance(value, dict):
        return {inner: _renumbered(inner, v, before, after, lost) for inner, v in value.items()}
    if not _IDS.fullmatch(key):
        return value
    if isinstance(value, list):
        return [number for item in value for number in _number(key, item, before, after, lost)]
    return next(_number(key, value, before, after, lost), None)


def _number(key: str, value: Any, before: Tokens, after: Joined, lost: list[str]) -> Iterator[Any]:
    token = before.by_number.get(value) if type(value) is int else None
    if token is None:
        yield value
    elif token in after.ids:
        yield after.ids[token]
    else:
        lost.append(key)


def lost_warning(keys: Iterable[str]) -> Diagnostic:
    """Return the warning about keys of `config.json` whose tokens the output does not have."""
    named = ", ".join(f"`{key}`" for key in dict.fromkeys(keys))
    return Diagnostic(
        "MG349",
        f"{named} of `config.json` named tokens that the output's tokenizer does not have",
        help=("set them in the output's `config.json`",),
        severity="warning",
    )
