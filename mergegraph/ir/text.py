"""Read the text of a Graph back into the very same nodes. The language is `grammar/graph.lark`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn, cast

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedInput

from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, Source, Span, did_you_mean, escape
from mergegraph.dtypes import DTYPES
from mergegraph.grammars import grammar_text
from mergegraph.ir.graph import (
    Binding,
    Graph,
    Key,
    Number,
    OutputTensor,
    RowsRef,
    Table,
    TensorRef,
    const,
    input_leaf,
    key_leaf,
    matrix_leaf,
    number_leaf,
    table_leaf,
)
from mergegraph.ir.node import Attribute, Node, intern
from mergegraph.ir.print import counted, print_graph
from mergegraph.ir.types import TensorType

__all__ = ["parse_graph", "print_graph"]

_LEAVES = ("input", "matrix", "key", "number", "table")

SHORTENED = "a text that was shortened for people can't be read back"

_TERMINALS = {
    "_NL": "the end of the line",
    "$END": "the end",
    "NODE": "a node such as `%0`",
    "PLACE": "a place such as `@0`",
    "INT": "a whole number",
    "NAME": "a name",
    "PATH": "a name",
    "STRING": "a string",
    "KEY": "a key such as `key:0x0`",
    "NUMBER": "a number such as `number:0.5`",
    "TABLE": "a table such as `table:0`",
    "ROWS": "rows such as `rows:0.0`",
    "FLOAT": "a number",
    "CONSTANT": "`true`, `false` or `none`",
}


def parse_graph(text: str, name: str = "graph") -> Graph:
    """Return the graph that a text describes. MergeGraphError (MG371 to MG377) at the first thing that is wrong."""
    source = Source(name, text if text.endswith("\n") else f"{text}\n")
    try:
        read = cast(_Text, _parser().parse(source.text))
    except UnexpectedInput as error:
        _refuse_syntax(error, source)
    return _Reader(source, read).graph()


@cache
def _parser() -> Lark:
    return Lark(
        grammar_text("graph.lark"),
        parser="lalr",
        lexer="contextual",
        start="graph",
        maybe_placeholders=False,
        transformer=_Lines(),
    )


@dataclass(frozen=True, slots=True)
class _Definition:
    node: Token
    op: str
    arguments: list[Token | tuple[str, Attribute]]
    type: list[Token]


@dataclass(frozen=True, slots=True)
class _Reference:
    model: Token
    name: str | None
    rows: Token | None


@dataclass(frozen=True, slots=True)
class _Tensor:
    place: Token | None
    save: Token
    name: str
    bindings: list[_Reference | Key | Number | Table]


@dataclass(frozen=True, slots=True)
class _Template:
    count: Token
    definitions: list[_Definition]
    result: Token
    tensors: list[_Tensor]


@dataclass(frozen=True, slots=True)
class _Text:
    models: list[str]
    saves: list[str]
    templates: list[_Template]


class _Lines(Transformer[Token, _Text]):
    """Makes a record of each rule of the grammar, while the parser runs."""

    def graph(self, children: list[Any]) -> _Text:
        models, saves, *templates = children
        return _Text(models, saves, templates)

    def models(self, children: list[Token]) -> list[str]:
        return [_text(child) for child in children]

    saves = models

    def template(self, children: list[Any]) -> _Template:
        count, *rest = children
        split = next(i for i, child in enumerate(rest) if isinstance(child, Token))
        return _Template(count, rest[:split], rest[split], rest[split + 1 :])

    def result(self, children: list[Token]) -> Token:
        return children[0]

    def definition(self, children: list[Any]) -> _Definition:
        node, op, *arguments, type = children
        return _Definition(node, _text(op), arguments, type)

    def argument(self, children: list[Token]) -> Token:
        return children[0]

    def attribute(self, children: list[Any]) -> tuple[str, Attribute]:
        name, value = children
        return _text(name), _attribute(value)

    def values(self, children: list[Any]) -> tuple[Attribute, ...]:
        return tuple(_attribute(child) for child in children)

    def tensor_type(self, children: list[Token]) -> list[Token]:
        return children

    def tensor(self, children: list[Any]) -> _Tensor:
        place = children.pop(0) if children[0].type == "PLACE" else None
        save, name, *bindings = children
        return _Tensor(place, save, name, bindings)

    def reference(self, children: list[Any]) -> _Reference:
        model, *rest = children
        rows = rest.pop() if rest and getattr(rest[-1], "type", "") == "ROWS" else None
        return _Reference(model, rest[0] if rest else None, rows)

    def key(self, children: list[Token]) -> Key:
        return Key(int(children[0].removeprefix("key:"), 16))

    def number(self, children: list[Token]) -> Number:
        return Number(float(children[0].removeprefix("number:")))

    def table(self, children: list[Token]) -> Table:
        return Table(children[0].removeprefix("table:"))

    def word(self, children: list[Token]) -> Token:
        return children[0]

    def path(self, children: list[Token]) -> str:
        return _text(children[0])


_GIVEN = {"key": key_leaf, "number": number_leaf, "table": table_leaf}


def _leaf(op: str, index: int, type: TensorType) -> Node:
    if op in ("input", "matrix"):
        return input_leaf(index, type) if op == "input" else matrix_leaf(index, type)
    return _GIVEN[op](index)


def _text(token: Token) -> str:
    return str(json.loads(token)) if token.type == "STRING" else str(token)


def _attribute(value: Token | tuple[Attribute, ...]) -> Attribute:
    if isinstance(value, tuple):
        return value
    match value.type:
        case "FLOAT":
            return float(value)
        case "INT":
            return int(value)
        case "STRING":
            return _text(value)
        case _:
            return {"true": True, "false": False, "none": None}[value]


class _Reader:
    """Builds the graph of what was read."""

    def __init__(self, source: Source, read: _Text) -> None:
        self.source = source
        self.read = read
        counts = Counter(read.models)
        self.models = {name: i for i, name in enumerate(read.models) if counts[name] == 1}

    def graph(self) -> Graph:
        found: list[tuple[Token | None, OutputTensor]] = []
        for template in self.read.templates:
            root = self.root(template)
            if int(template.count) != len(template.tensors):
                message = f"this template lists {counted(len(template.tensors))}, not {template.count}"
                self.fail("MG376", message, template.count, SHORTENED)
            found += [(tensor.place, self.tensor(tensor, root)) for tensor in template.tensors]
        return Graph(tuple(self.read.models), tuple(self.read.saves), tuple(self.ordered(found)))

    def root(self, template: _Template) -> Node:
        nodes: dict[str, Node] = {}
        for definition in template.definitions:
            if definition.node in nodes:
                self.fail("MG373", f"`{definition.node}` is defined twice", definition.node)
            nodes[definition.node] = self.node(definition, nodes)
        return self.operand(template.result, nodes)

    def node(self, definition: _Definition, nodes: Mapping[str, Node]) -> Node:
        type = self.type(definition.type)
        given = definition.arguments
        if definition.op in _LEAVES and len(given) == 1 and getattr(given[0], "type", "") == "INT":
            return _leaf(definition.op, int(cast(Token, given[0])), type)
        operands = [self.operand(token, nodes) for token in given if isinstance(token, Token)]
        return intern(definition.op, operands, [pair for pair in given if not isinstance(pair, Token)], type)

    def type(self, tokens: list[Token]) -> TensorType:
        dtype = DTYPES.get(tokens[0])
        if dtype is None:
            meant = did_you_mean(tokens[0], DTYPES)
            self.fail("MG374", f"no element type is named `{tokens[0]}`", tokens[0], *meant)
        return TensorType(dtype, tuple(map(int, tokens[1:])))

    def operand(self, token: Token, nodes: Mapping[str, Node]) -> Node:
        if token.type != "NODE":
            return const(float(token))
        if token not in nodes:
            self.fail("MG372", f"`{token}` is not defined above", token)
        return nodes[token]

    def tensor(self, tensor: _Tensor, root: Node) -> OutputTensor:
        save = int(tensor.save)
        if not 0 <= save < len(self.read.saves):
            self.fail("MG375", f"there is no save {tensor.save}: they are numbered from 0", tensor.save)
        return OutputTensor(save, tensor.name, root, tuple(self.binding(b, tensor.name) for b in tensor.bindings))

    def binding(self, binding: _Reference | Key | Number | Table, name: str) -> Binding:
        if isinstance(binding, Key | Number | Table):
            return binding
        known = self.model(binding.model)
        if known is None:
            help = did_you_mean(_text(binding.model), self.models)
            self.fail("MG375", f"there is no one model `{escape(binding.model)}`", binding.model, *help)
        tensor = name if binding.name is None else binding.name
        if binding.rows is None:
            return TensorRef(known, tensor)
        table, _, part = binding.rows.removeprefix("rows:").partition(".")
        return RowsRef(known, tensor, table, int(part))

    def model(self, token: Token) -> int | None:
        if token.type != "INT":
            return self.models.get(_text(token))
        return int(token) if 0 <= int(token) < len(self.read.models) else None

    def ordered(self, found: list[tuple[Token | None, OutputTensor]]) -> list[OutputTensor]:
        """Return the tensors in the order of the graph: as they were read, unless places are given."""
        places = [place for place, _ in found if place is not None]
        if not places:
            return [tensor for _, tensor in found]
        wanted = {int(place[1:]): i for i, (place, _) in enumerate(found) if place is not None}
        if wanted.keys() != set(range(len(found))):
            self.fail("MG377", f"the tensors must have the places 0 to {len(found) - 1}, each once", places[0])
        return [found[wanted[place]][1] for place in range(len(found))]

    def fail(self, code: str, message: str, token: Token, *help: str) -> NoReturn:
        start, end = cast(int, token.start_pos), cast(int, token.end_pos)
        raise MergeGraphError(Diagnostic(code, message, (Label(Span(self.source, start, end)),), help))


def _refuse_syntax(error: UnexpectedInput, source: Source) -> NoReturn:
    start = cast(int, error.pos_in_stream)
    token = getattr(error, "token", None)
    end = token.end_pos if isinstance(token, Token) and token.end_pos and token.strip() else start + 1
    label = Label(Span(source, start, end), f"expected {_expected(error)}")
    help = (SHORTENED,) if source.text[start : start + 1] == "…" else ()
    raise MergeGraphError(Diagnostic("MG371", "this is not the text of a graph", (label,), help))


def _expected(error: UnexpectedInput) -> str:
    """Return what could stand where the text stopped to make sense."""
    patterns = {terminal.name: terminal.pattern for terminal in _parser().terminals}
    words = {name: f"`{p.value}`" for name, p in patterns.items() if p.type == "str"}
    wanted: set[str] = set(getattr(error, "accepts", ()) or getattr(error, "allowed", ()))
    return " or ".join(sorted({{**words, **_TERMINALS}[name] for name in wanted - {"SPACE"}}))
