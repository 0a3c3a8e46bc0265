"""Resolve the Syntax into a Recipe: every name bound, every type checked, every error reported at once."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from types import MappingProxyType

from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, Source, Span
from mergegraph.ir.node import Node, postorder
from mergegraph.recipe.anchors import SOURCES, anchors
from mergegraph.recipe.evaluate import Evaluator
from mergegraph.recipe.prelude import prelude_functions
from mergegraph.recipe.recipe import Recipe, Save
from mergegraph.recipe.saves import clashes, save_of
from mergegraph.recipe.scope import Bound, Definition, Findings, Scope
from mergegraph.recipe.values import failed, kind
from mergegraph.syntax import nodes as s
from mergegraph.syntax.read import read

Reader = Callable[[str], Source]
"""Reads the text of an imported recipe by its path, relative to the folder of the recipe; OSError if it can't."""


def resolve(syntax: s.Recipe, read: Reader, exists: Callable[[str], bool] = lambda _: False) -> Recipe:
    """Return the Recipe of a whole text. MergeGraphError with every error in it, in the order of the text.

    `exists` tells whether there is something at a path, relative to the folder of the recipe.
    """
    resolver = _Resolver(syntax, read, exists)
    for statement in syntax.statements:
        resolver.statement(statement, "")
    resolver.point_ahead()
    return resolver.finish()


class _Resolver:
    def __init__(self, syntax: s.Recipe, read: Reader, exists: Callable[[str], bool]) -> None:
        self.source = syntax.span.source
        self.read = read
        self.findings = Findings()
        self.functions = dict(prelude_functions())
        self.scope = Scope()
        self.evaluator = Evaluator(self.findings, self.functions, exists)
        self.saves: list[Save] = []
        self.seed: s.Seed | None = None
        self._importing: list[str] = []
        self._imported: dict[str, str] = {}

    def statement(self, statement: s.Statement, folder: str) -> None:
        self.evaluator.folder = folder
        match statement:
            case s.Binding():
                self._binding(statement)
            case s.Function():
                self._define(statement, folder)
            case s.Save():
                self._save(statement, self.scope)
            case s.For():
                self._sweep(statement)
            case s.Seed():
                self._seed(statement)
            case s.Import():
                self._import(statement, folder)

    def point_ahead(self) -> None:
        """Say of names that were used too early where they are bound."""
        found = self.findings.diagnostics
        for i, diagnostic in enumerate(found):
            name = diagnostic.labels[0].span
            bound = self.scope.values.get(name.text) if diagnostic.code == "MG201" else None
            if bound is not None and bound.span.start > name.start:
                here = Label(bound.span, "it is bound here")
                found[i] = replace(diagnostic, labels=(*diagnostic.labels, here), help=("use it below that line",))

    def finish(self) -> Recipe:
        if not self.saves and not self.findings.diagnostics:
            end = Span(self.source, len(self.source.text), len(self.source.text))
            self.findings.error(
                "MG244", "this recipe saves nothing", end, help=('end it with `save model to "folder"`',)
            )
        places = [PurePosixPath(posixpath.normpath(save.path)) for save in self.saves]
        self.findings.diagnostics.extend(clashes(self.saves, places))
        self._unused()
        values = [save.value for save in self.saves]
        needed = [node for save in self.saves for node in save.needed]
        named = {node: tuple(node.inputs) for node in needed if node.op == "lora"}
        belonging = {**named, **anchors(values)}
        self._check_anchors(belonging)
        errors = [d for d in self.findings.diagnostics if d.severity == "error"]
        if errors:
            raise MergeGraphError(*sorted(errors, key=self._position))
        models = tuple(node for node in postorder([*values, *needed]) if node.op in SOURCES)
        return Recipe(
            self.source,
            tuple(self.saves),
            int(self.seed.value.value) if self.seed else 0,
            models,
            self.findings.spans,
            self.findings.names,
            tuple(sorted(self.findings.diagnostics, key=self._position)),
            frozenset(self.findings.optional),
            MappingProxyType(dict(sorted(self._imported.items()))),
            {adapter: models[0] for adapter, models in belonging.items()},
        )

    def _check_anchors(self, belonging: Mapping[Node, Sequence[Node]]) -> None:
        for adapter, models in belonging.items():
            if len(models) != 1:
                self.findings.error(
                    "MG280",
                    "it is not plain which model this adapter belongs to",
                    self.findings.spans[adapter],
                    "it is added to several" if models else "it is added to none",
                    help=("name its base: `lora(…, base=base)`",),
                )

    def _position(self, diagnostic: Diagnostic) -> tuple[bool, int]:
        span = diagnostic.labels[0].span
        return span.source is not self.source, span.start

    def _binding(self, binding: s.Binding) -> None:
        value = self.evaluator.point(self.evaluator.evaluate(binding.value, self.scope), binding.value.span)
        name = binding.name.name
        if isinstance(value, Node):
            self.findings.names.setdefault(value, name)
        elif isinstance(value, tuple):
            for i, item in enumerate(value):
                if isinstance(item, Node):
                    self.findings.names.setdefault(item, f"{name}[{i}]")
        if self._free(binding.name, self.scope.values.get(name)):
            self.scope.values[name] = Bound(value, binding.name.span)

    def _define(self, function: s.Function, folder: str) -> None:
        name = function.name.name
        known = self.functions.get(name)
        if known is not None and not known.builtin:
            self._free(function.name, Bound(None, known.syntax.name.span))
            return
        if known is not None:
            self.findings.warn(
                "MG261",
                f"`{name}` replaces a function of the prelude",
                function.name.span,
                help=("give it another name if that is not meant",),
            )
        self._parameters(function)
        self.functions[name] = Definition(lambda: function, self.scope, folder, builtin=False)

    def _parameters(self, function: s.Function) -> None:
        seen: dict[str, Span] = {}
        for parameter in function.parameters:
            name = parameter.name
            if name.name in seen:
                self._free(name, Bound(None, seen[name.name]))
            seen[name.name] = name.span

    def _free(self, name: s.Name, bound: Bound | None) -> bool:
        if bound is None:
            return True
        self.findings.error(
            "MG202",
            f"`{name.name}` is bound twice",
            name.span,
            "second time",
            Label(bound.span, "first time"),
            help=("every name means one thing; choose another",),
        )
        return False

    def _save(self, save: s.Save, scope: Scope) -> None:
        value = self.evaluator.point(self.evaluator.evaluate(save.value, scope), save.value.span)
        found = save_of(save, value, scope, self.evaluator, self.findings)
        if found is None:
            return
        self.saves.append(found)

    def _sweep(self, sweep: s.For) -> None:
        values = self.evaluator.evaluate(sweep.values, self.scope)
        if failed(values):
            return
        if not isinstance(values, tuple):
            self.findings.error(
                "MG247",
                "`for` goes over a list",
                sweep.values.span,
                f"this is a {kind(values)}",
                help=("write `for t in [0.3, 0.5, 0.7]: save …`",),
            )
            return
        for value in values:
            turn = Scope(self.scope, {sweep.name.name: Bound(value, sweep.name.span)})
            self._save(sweep.body, turn)

    def _seed(self, seed: s.Seed) -> None:
        if self.seed is not None:
            self.findings.error(
                "MG246",
                "the seed is given twice",
                seed.span,
                "second time",
                Label(self.seed.span, "first time"),
                help=("a recipe has one seed; `drop(…, seed=1)` varies a single mask",),
            )
        elif not (seed.value.value.is_integer() and 0 <= seed.value.value < 2**53):
            message = "a seed is a whole number from 0 to 2⁵³ − 1"
            self.findings.error("MG246", message, seed.value.span, help=("write a smaller one, such as `seed 42`",))
        self.seed = self.seed or seed

    def _import(self, statement: s.Import, folder: str) -> None:
        path = posixpath.normpath(posixpath.join(folder, statement.path.value))
        if path in self._importing:
            help = ("put what both need into a third recipe",)
            self.findings.error("MG250", f"`{path}` imports itself", statement.span, help=help)
            return
        if path in self._imported:
            return
        try:
            source = self.read(path)
        except OSError as error:
            self.findings.error(
                "MG250",
                f"`{path}` can't be read",
                statement.path.span,
                error.strerror or "",
                help=("paths of imports begin at the recipe's folder",),
            )
            return
        self._imported[path] = source.text
        self._importing.append(path)
        imported = read(source)
        self.findings.diagnostics.extend(imported.warnings)
        for inner in imported.syntax.statements:
            if isinstance(inner, (s.Binding, s.Function, s.Import)):
                self.statement(inner, posixpath.dirname(path))
                if isinstance(inner, s.Binding):
                    self.evaluator.used.add(inner.name.name)
        self._importing.pop()
        self.evaluator.folder = folder

    def _unused(self) -> None:
        for name, bound in self.scope.values.items():
            if name not in self.evaluator.used and not failed(bound.value):
                self.findings.warn("MG260", f"`{name}` is never used", bound.span, help=("delete it, or `save` it",))
