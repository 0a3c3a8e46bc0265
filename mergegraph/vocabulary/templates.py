"""Find the chat templates of models. They are copied byte for byte and never rendered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.checkpoint.extras import extra_kind
from mergegraph.checkpoint.files import read_small
from mergegraph.checkpoint.jsontext import parse_object
from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, escape
from mergegraph.ir.node import Node, postorder
from mergegraph.recipe.recipe import Recipe, Save

MAX_BYTES = 16_000_000
"""The longest template, or configuration of a tokenizer, that is read."""

SETTINGS = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template as a model has it: files of its folder, and the value in `tokenizer_config.json`; or none."""

    files: Mapping[str, bytes]
    value: Any = None

    @property
    def given(self) -> bool:
        """Whether there is one."""
        return bool(self.files) or self.value is not None

    @property
    def main(self) -> object:
        """What tells it from others: the text that is used where nothing else is said."""
        if TEMPLATE in self.files:
            return self.files[TEMPLATE].decode("utf-8", "surrogateescape")
        return self.value if self.value is not None else sorted(self.files.items())


def read_template(checkpoint: Checkpoint) -> ChatTemplate:
    """Return the chat template of a model."""
    if checkpoint.root is None:
        return ChatTemplate({})
    paths = [path for path in checkpoint.extras if extra_kind(path) == "chat template"]
    files = {path.as_posix(): read_small(checkpoint.member(path), MAX_BYTES, "chat template") for path in paths}
    if Path(SETTINGS) not in checkpoint.extras:
        return ChatTemplate(files)
    settings = checkpoint.member(SETTINGS)
    found = parse_object(read_small(settings, MAX_BYTES, "configuration"), "configuration", settings)
    return ChatTemplate(files, found.get("chat_template"))


def chosen_template(save: Save, recipe: Recipe, checkpoints: Mapping[Node, Checkpoint]) -> ChatTemplate | None:
    """Return the chat template that a save asks for, None where it asks for none and keeps that of the tokenizer.

    MergeGraphError (MG345) if the model that it names has none.
    """
    wanted = save.template
    if wanted is None:
        return None
    if wanted.text is not None:
        return ChatTemplate({TEMPLATE: wanted.text.encode("utf-8", "surrogateescape")}, wanted.text)
    if wanted.model is None:
        return _commonest(read_template(checkpoints[model]) for model in _merged(save))
    found = read_template(checkpoints[wanted.model])
    if found.given:
        return found
    message = f"`{escape(recipe.name(wanted.model))}` has no chat template"
    help = ('name another model, or write the template: `chat_template="{% for message in messages %}…"`',)
    raise MergeGraphError(Diagnostic("MG345", message, (Label(wanted.span),), help))


def _commonest(templates: Iterable[ChatTemplate]) -> ChatTemplate | None:
    """Return the template that most models have, of several the first; None if no model has one."""
    found = [template for template in templates if template.given]
    counts = Counter(repr(template.main) for template in found)
    return max(found, key=lambda template: counts[repr(template.main)], default=None)


def differing(
    recipe: Recipe, checkpoints: Mapping[Node, Checkpoint], tokenizers: Sequence[Node]
) -> Iterator[Diagnostic]:
    """Yield a warning for every save whose models have different templates, unless it says which it wants.

    There is a tokenizer for each save. One of an adapter, which was made to be another, is not compared.
    """
    read: dict[Node, ChatTemplate] = {}
    for save, tokenizer in zip(recipe.saves, tokenizers, strict=True):
        if save.template is not None or tokenizer.op != "model":
            continue
        for model in (tokenizer, *_merged(save)):
            read.setdefault(model, read_template(checkpoints[model]))
        own = read[tokenizer]
        others = [m for m in _merged(save) if read[m].given and repr(read[m].main) != repr(own.main)]
        if others:
            yield _differs(recipe, save, others[0], own)


def _differs(recipe: Recipe, save: Save, other: Node, own: ChatTemplate) -> Diagnostic:
    one, two = escape(recipe.name(save.tokenizer)), escape(recipe.name(other))
    has = "another chat template than" if own.given else "a chat template, unlike"
    return Diagnostic(
        "MG346",
        f"`{two}` has {has} `{one}`, which gives the tokenizer",
        (Label(save.span, f"this output gets that of `{one}`" if own.given else "this output gets none"),),
        (f'say which is meant: `chat_template={two}`, or `chat_template="auto"`',),
        severity="warning",
    )


def _merged(save: Save) -> list[Node]:
    return [node for node in postorder([save.value]) if node.op == "model"]
