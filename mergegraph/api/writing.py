"""Write expressions of Python as a recipe: what is used more than once is bound to a name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mergegraph.api.expression import Expression, Operand, is_model, literal
from mergegraph.diagnostics import Source, Span
from mergegraph.ir.node import Node
from mergegraph.recipe.recipe import text_attribute
from mergegraph.syntax import nodes as s
from mergegraph.syntax.format import format_recipe
from mergegraph.syntax.vocabulary import KEYWORDS

DEEPEST = 12
"""How many unnamed expressions may stand inside each other."""

NAME = "<python>"


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """What is to be saved, and how."""

    value: Expression
    path: str
    options: Mapping[str, Operand]
    span: Span


def recipe_syntax(outputs: Sequence[Output], seed: int | None) -> tuple[s.Recipe, Source]:
    """Return the recipe of these outputs, every part with its place in Python, and its text in the language."""
    roots = [r for o in outputs for r in (o.value, *(v for v in o.options.values() if isinstance(v, Expression)))]
    writer = _Writer(roots)
    statements: list[s.Statement] = list(writer.bindings())
    if seed is not None:
        place = outputs[0].span
        statements.insert(0, s.Seed(s.Number(float(seed), str(seed), place), place))
    statements += [_save(output, writer) for output in outputs]
    source = Source(NAME, format_recipe(s.Recipe(tuple(statements), outputs[0].span)))
    return s.Recipe(tuple(statements), Span(source, 0, len(source.text))), source


def _save(output: Output, writer: _Writer) -> s.Save:
    options = tuple(
        s.Argument(s.Name(name, output.span), literal(value, writer.refer, output.span), output.span)
        for name, value in output.options.items()
    )
    return s.Save(writer.refer(output.value), s.String(output.path, output.span), options, output.span)


class _Writer:
    def __init__(self, roots: Sequence[Expression]) -> None:
        self.order = list(_postorder(roots))
        uses: dict[object, set[object]] = {}
        for expression in self.order:
            for part in expression._parts:
                uses.setdefault(_key(part), set()).add(_key(expression))
        for number, root in enumerate(roots):
            uses.setdefault(_key(root), set()).add(number)
        self.shared = {key for key, users in uses.items() if len(users) > 1}
        self.names: dict[object, str] = {}
        self.depth: dict[object, int] = {}

    def bindings(self) -> Iterator[s.Binding]:
        """Yield the statements that name models and what is used more than once, each after what it is made of."""
        for expression in self.order:
            key = _key(expression)
            if key in self.depth:
                continue
            self.depth[key] = 1 + max((self.depth[_key(part)] for part in expression._parts), default=0)
            if self._is_named(expression):
                value = expression._shape(self.refer, expression._span)
                self.names[key] = self._free(expression)
                self.depth[key] = 0
                yield s.Binding(s.Name(self.names[key], expression._span), value, expression._span)

    def refer(self, expression: Expression) -> s.Expression:
        """Return the name of an expression, or how it is written where it has none."""
        name = self.names.get(_key(expression))
        return expression._shape(self.refer, expression._span) if name is None else s.Name(name, expression._span)

    def _is_named(self, expression: Expression) -> bool:
        """Tell whether an expression gets a name; a weighted sum of models has none before its weights sum to 1."""
        key = _key(expression)
        named = key in self.shared or self.depth[key] > DEEPEST or is_model(expression)
        return named and isinstance(expression._value, Node)

    def _free(self, expression: Expression) -> str:
        stem = "value"
        if isinstance(expression._value, Node) and expression._value.op == "model":
            last = text_attribute(expression._value, "source").rstrip("/").split("/")[-1]
            stem = re.sub(r"\W+", "_", last.removesuffix(".safetensors"), flags=re.ASCII).strip("_") or "model"
            stem = f"model_{stem}" if stem[0].isdigit() or stem in KEYWORDS.values() else stem
        taken = set(self.names.values())
        candidates = (stem, *(f"{stem}_{number}" for number in range(2, len(taken) + 3)))
        return next(name for name in candidates if name not in taken)


def _key(expression: Expression) -> object:
    """Return what equal expressions have in common: the node that they stand for."""
    return expression._value if isinstance(expression._value, Node) else expression


def _postorder(roots: Iterable[Expression]) -> Iterator[Expression]:
    seen: set[Expression] = set()
    stack = [(root, False) for root in reversed([*roots])]
    while stack:
        expression, ready = stack.pop()
        if ready:
            yield expression
        elif expression not in seen:
            seen.add(expression)
            stack.append((expression, True))
            stack.extend((part, False) for part in reversed(expression._parts))
