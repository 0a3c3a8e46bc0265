"""The names that a recipe made of mergekit's configurations binds: models, models cut to some layers, parts, merges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mergegraph.diagnostics import Span
from mergegraph.syntax import nodes as s
from mergegraph.syntax.inline import inline
from mergegraph.syntax.yaml.make import argument, call, layers, stack
from mergegraph.syntax.yaml.references import Reference, binding_name
from mergegraph.syntax.yaml.slices import Layers


@dataclass(slots=True)
class Bindings:
    """Gathers bindings, one for each value. `donors` are the checkpoints that merges get config and tokenizer from."""

    statements: list[s.Binding] = field(default_factory=list)
    donors: dict[str, str] = field(default_factory=dict)
    _values: dict[str, str] = field(default_factory=dict)
    _models: list[s.Binding] = field(default_factory=list)

    def __iter__(self) -> Iterator[s.Binding]:
        """Yield the bindings: models first, then what is made of them."""
        yield from self._models
        yield from self.statements

    def model(self, found: Reference, span: Span) -> str:
        """Return the name of a checkpoint; it is bound where it is named first."""
        base = self._bind(found.source, _source("model", found, span), self._models)
        if found.adapter is None:
            return base
        model = s.Name(base, span)
        adapter = _source("lora", found.adapter, span, argument("base", model))
        name = self._bind(found.adapter.source, s.Binary("+", model, adapter, span), self._models)
        self.donors[name] = base
        return name

    def cut(self, model: str, name: s.String | None, taken: Layers, span: Span) -> str:
        """Return the name of a model that has some layers of another, of the stack `name`, and all else of it."""
        whole = s.Name(model, span)
        value = stack([layers(whole, name, taken.start, taken.stop, span)], whole, span)
        return self._bind(f"{model}_{taken.start}_{taken.stop}", value, self.statements)

    def value(self, value: s.Expression, wanted: str) -> s.Name:
        """Return a value by its name: one like `wanted` if it has none yet."""
        name = value.name if isinstance(value, s.Name) else self._bind(wanted, value, self.statements)
        return s.Name(name, value.span)

    def donor(self, name: str) -> str:
        """Return the checkpoint that gives config and tokenizer of a checkpoint or merge."""
        return self.donors.get(name, name)

    def _bind(self, wanted: str, value: s.Expression, statements: list[s.Binding]) -> str:
        text = inline(value)
        if text not in self._values:
            name = binding_name(wanted, self._values.values())
            self._values[text] = name
            statements.append(s.Binding(s.Name(name, value.span), value, value.span))
        return self._values[text]


def _source(function: str, found: Reference, span: Span, *more: s.Argument) -> s.Call:
    """Return the call that names files."""
    revision = [argument("revision", s.String(found.revision, span))] if found.revision else []
    return call(s.Name(function, span), [s.String(found.source, span)], [*more, *revision])
