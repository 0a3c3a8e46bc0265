"""Print the Recipe: an operation a line, then what is saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from mergegraph.diagnostics import escape
from mergegraph.ir.node import Node, postorder
from mergegraph.ir.types import Type
from mergegraph.ops import OPS
from mergegraph.recipe.chat import TEMPLATES
from mergegraph.recipe.evaluate import OPERATORS
from mergegraph.recipe.recipe import Recipe, Save, Template, numbers_attribute
from mergegraph.recipe.tokens import TokenRow, Vocabulary
from mergegraph.report.spelling import plain, spell, spell_number
from mergegraph.sizes import format_size
from mergegraph.syntax.strings import quote

SIGNS: Mapping[str, str] = MappingProxyType({op: sign for sign, op in OPERATORS.items()})
"""The sign of each operation that is written between its operands."""


def recipe_text(recipe: Recipe) -> str:
    """Return a recipe as text: every model, every operation with its arguments, every output with its options."""
    names = node_names(recipe)
    lines = [f"recipe {escape(recipe.source.name)}", f"seed {recipe.seed}", ""]
    lines += [f"{names[node]} = {expression(node, names)} : {node.type}" for node in _shown(recipe)]
    for save in recipe.saves:
        lines += ["", *_save_lines(save, names)]
    return "\n".join(lines) + "\n"


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain data: nodes with their inputs by number, and saves."""
    numbers = {node: i for i, node in enumerate(all_nodes(recipe))}
    return {
        "source": recipe.source.name,
        "seed": recipe.seed,
        "nodes": [_node_json(recipe, node, numbers) for node in numbers],
        "saves": [_save_json(save, numbers) for save in recipe.saves],
    }


def all_nodes(recipe: Recipe) -> list[Node]:
    """Return the models, then all other nodes that the saves need, inputs first."""
    return list(postorder([*recipe.models, *(save.value for save in recipe.saves)]))


def node_names(recipe: Recipe) -> dict[Node, str]:
    """Return how each node is called: by its name, numbers and short ramps by their text, others `%1`, `%2`, …."""
    names: dict[Node, str] = {}
    count = 0
    for node in all_nodes(recipe):
        if _inline(recipe, node):
            names[node] = expression(node, names)
        elif node in recipe.names:
            names[node] = recipe.names[node]
        else:
            count += 1
            names[node] = f"%{count}"
    return names


def expression(node: Node, names: Mapping[Node, str]) -> str:
    """Return an operation with its arguments, as much as possible as it would be written in a recipe."""
    match node.op:
        case "number":
            return spell(node.attribute("value"))
        case "ramp":
            values = map(spell_number, numbers_attribute(node, "values"))
            return f"ramp({', '.join([*values, *_given(node, 'outside')])})"
        case "model":
            return f"model({', '.join([spell(node.attribute('source')), *_given(node, 'revision')])})"
        case "lora":
            base = [f"base={names[child]}" for child in node.inputs]
            return f"lora({', '.join([spell(node.attribute('source')), *base, *_given(node, 'revision')])})"
        case "layers":
            stack = node.attribute("stack")
            of = "" if stack is None else f"({spell(stack)})"
            return f"{names[node.inputs[0]]}.layers{of}[{node.attribute('start')}..{node.attribute('stop')}]"
        case "select":
            return f"select {{ {', '.join(_cases(node, names))} }}"
        case op if op in SIGNS:
            return f" {SIGNS[op]} ".join(names[child] for child in node.inputs)
        case _:
            return f"{node.op}({', '.join(_arguments(node, names))})"


def _shown(recipe: Recipe) -> Iterator[Node]:
    return (node for node in all_nodes(recipe) if not _inline(recipe, node))


def _inline(recipe: Recipe, node: Node) -> bool:
    return node.op == "number" or (node.op == "ramp" and node not in recipe.names)


def _given(node: Node, name: str) -> list[str]:
    value = node.attribute(name)
    return [] if value is None else [f"{name}={spell(value)}"]


def _cases(select: Node, names: Mapping[Node, str]) -> Iterator[str]:
    patterns = select.attribute("patterns")
    assert isinstance(patterns, tuple)
    for glob, value in zip([*map(spell, patterns), "_"], select.inputs, strict=True):
        yield f"{glob}: {names[value]}"


def _arguments(node: Node, names: Mapping[Node, str]) -> Iterator[str]:
    op = OPS[node.op]
    required = {parameter.name for parameter in op.parameters if parameter.required}
    for name, value in op.group(node.inputs).items():
        text = f"[{', '.join(names[v] for v in value)}]" if isinstance(value, list) else names[value]
        yield text if name in required else f"{name}={text}"
    usual = {parameter.name: parameter.default for parameter in op.parameters if not parameter.required}
    for name, value in node.attributes:
        if value != usual.get(name, ...):
            yield from _given(node, name)


def _save_lines(save: Save, names: Mapping[Node, str]) -> Iterator[str]:
    yield f"save {names[save.value]} to {quote(save.path)}"
    if save.value.type is Type.ADAPTER:
        yield f"  tokenizer   {_vocabulary(save.vocabulary, names)}"
        return
    yield f"  dtype       {save.dtype or 'that of the inputs'}"
    yield f"  config      {names[save.config]}"
    yield f"  tokenizer   {_vocabulary(save.vocabulary, names)}"
    if save.missing is not None:
        yield f"  missing     {names[save.missing]}"
    if save.template is not None:
        yield f"  template    {_template(save.template, names)}"
    yield f"  shard_size  {format_size(save.shard_size)}"


def _template(given: Template, names: Mapping[Node, str]) -> str:
    """Return a chat template as a recipe would say it."""
    if given.model is not None:
        return names[given.model]
    text = "auto" if given.text is None else given.text
    return quote(next((name for name, known in TEMPLATES.items() if known == text), text))


def _vocabulary(given: Vocabulary, names: Mapping[Node, str]) -> str:
    """Return the tokens of an output as a recipe would say them."""
    models = [names[model] for model in given.models]
    if not given.exact:
        return models[0]
    base = [] if given.base is None else [f"base={names[given.base]}"]
    tokens = [f"tokens=[{', '.join(_token(row, names) for row in given.tokens)}]"] if given.tokens else []
    padding = [f"pad_to_multiple_of={given.multiple}"] if given.multiple > 1 else []
    return f"union({', '.join([*models, *base, *tokens, *padding])})"


def _token(row: TokenRow, names: Mapping[Node, str]) -> str:
    given = [quote(row.token), "none" if row.model is None else names[row.model]]
    other = [] if row.of == row.token else [f"of={spell(row.of)}"]
    forced = ["force=true"] if row.force else []
    return f"token({', '.join([*given, *other, *forced])})"


def _node_json(recipe: Recipe, node: Node, numbers: Mapping[Node, int]) -> dict[str, Any]:
    return {
        "id": numbers[node],
        "op": node.op,
        "name": recipe.names.get(node),
        "type": str(node.type),
        "inputs": [numbers[child] for child in node.inputs],
        "attributes": {name: plain(value) for name, value in node.attributes},
        **_place(recipe, node),
    }


def _place(recipe: Recipe, node: Node) -> dict[str, Any]:
    span = recipe.spans.get(node)
    if span is None:
        return {}
    line, column = span.source.place(span.start)
    return {"source": span.source.name, "line": line, "column": column}


def _save_json(save: Save, numbers: Mapping[Node, int]) -> dict[str, Any]:
    return {
        "value": numbers[save.value],
        "path": save.path,
        "dtype": save.dtype,
        "config": numbers[save.config],
        "tokenizer": numbers[save.tokenizer],
        "vocabulary": _vocabulary_json(save.vocabulary, numbers),
        "chat_template": None if save.template is None else _template_json(save.template, numbers),
        "missing": None if save.missing is None else numbers[save.missing],
        "shard_size": save.shard_size,
    }


def _vocabulary_json(given: Vocabulary, numbers: Mapping[Node, int]) -> dict[str, Any] | None:
    """Return the tokens that were asked for, models by number; None for those of the tokenizer as they are."""
    if not given.exact:
        return None
    return {
        "models": [numbers[model] for model in given.models],
        "base": None if given.base is None else numbers[given.base],
        "tokens": [
            {
                "token": row.token,
                "model": None if row.model is None else numbers[row.model],
                "of": row.of,
                "force": row.force,
            }
            for row in given.tokens
        ],
        "pad_to_multiple_of": given.multiple,
    }


def _template_json(given: Template, numbers: Mapping[Node, int]) -> dict[str, Any]:
    """Return the chat template that was asked for: the number of a model, a text, or neither for the most common."""
    return {"model": None if given.model is None else numbers[given.model], "text": given.text}
