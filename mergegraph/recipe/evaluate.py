"""Evaluate expressions: from Syntax to values, calls expanded."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, Span, did_you_mean
from mergegraph.ir.node import Node
from mergegraph.ir.types import Type
from mergegraph.ops import OPS
from mergegraph.ops.typing import NUMERIC, OperandError
from mergegraph.recipe.apply import Applier, Rejected, field_select, ramp_field, slots, weighted
from mergegraph.recipe.arguments import Evaluated, Given, Slot, match
from mergegraph.recipe.recipe import number
from mergegraph.recipe.scope import Bound, Definition, Findings, Scope
from mergegraph.recipe.values import FAILED, Value, Weighted, failed, kind, leaves, with_article
from mergegraph.recipe.vocabulary import token, union
from mergegraph.syntax import nodes as s

OPERATORS: Mapping[str, str] = MappingProxyType(
    {
        "+": "add", "-": "subtract", "*": "multiply", "/": "divide", "<": "less", "<=": "less_equal",
        ">": "greater", ">=": "greater_equal", "==": "equal", "!=": "not_equal",
    }
)  # fmt: skip

MOST_EFFORT = 100_000
"""How many calls, and elements of lists, a recipe may come to: a few lines can ask for 2¹⁰⁰ of them."""

DEEPEST_VALUE = 150
"""How many expressions may be under evaluation at a time; what evaluates them calls itself for each."""


SPECIAL: Mapping[str, tuple[Slot, ...]] = MappingProxyType(
    {
        "model": (Slot("source", True, False), Slot("revision", False, False)),
        "lora": (
            Slot("source", True, False),
            Slot("scale", False, False),
            Slot("base", False, False),
            Slot("revision", False, False),
        ),
        "ramp": (Slot("values", True, True), Slot("outside", False, False)),
    }
)
"""The parameters of functions that are no plain operations."""


class Evaluator:
    """Evaluates the expressions of one recipe."""

    def __init__(self, findings: Findings, functions: Mapping[str, Definition], exists: Callable[[str], bool]) -> None:
        self.findings = findings
        self.functions = functions
        self.exists = exists
        self._effort = 0
        self._depth = 0
        self.used: set[str] = set()
        self.folder = ""
        self.applier = Applier(findings)
        self._calls: list[tuple[str, Span, bool]] = []
        self._special: Mapping[str, Callable[[s.Call, Evaluated], Value]] = {
            "model": self._model,
            "lora": self._lora,
            "ramp": self._ramp,
            "union": lambda call, arguments: union(call, arguments, findings),
            "token": lambda call, arguments: token(call, arguments, findings),
        }

    def evaluate(self, expression: s.Expression, scope: Scope) -> Value:
        """Return the value of an expression; FAILED, with the error reported, if it has none."""
        if self._depth == DEEPEST_VALUE:
            message = f"more than {DEEPEST_VALUE} expressions stand inside each other, those of functions included"
            label = Label(expression.span, "this is one too many")
            raise MergeGraphError(
                Diagnostic(
                    "MG272", message, (label,), ("let functions call fewer others, or bind an inner part to a name",)
                )
            )
        self._depth += 1
        try:
            return self._value(expression, scope)
        finally:
            self._depth -= 1

    def _value(self, expression: s.Expression, scope: Scope) -> Value:
        match expression:
            case s.Number(value=value) | s.String(value=value) | s.Constant(value=value):
                return value
            case s.Name():
                return self._name(expression, scope)
            case s.List(items=items):
                found = tuple(self.evaluate(item, scope) for item in items)
                self._spend(leaves(found), expression.span)
                return found
            case s.Negative(value=inner):
                return self._negative(self.evaluate(inner, scope), inner.span, expression.span)
            case s.Binary():
                return self._binary(expression, scope)
            case s.Call():
                return self._call(expression, scope)
            case s.Select():
                return self._select(expression, scope)
            case s.LayerRange():
                return self._layers(expression, scope)

    def point(self, value: Value, span: Span) -> Value:
        """Return a weighted sum of models as one model; FAILED if its weights do not sum to 1."""
        try:
            return self.applier.point(value, self._place(span))
        except Rejected:
            return FAILED

    def _spend(self, effort: int, span: Span) -> None:
        """Count calls and the elements of lists. MergeGraphError when a recipe has grown out of all bounds."""
        self._effort += effort
        if self._effort > MOST_EFFORT:
            message = f"this recipe expands to more than {MOST_EFFORT:,} calls and elements of lists"
            help = ("bind what is used twice to a name", "save an intermediate model and go on from it")
            raise MergeGraphError(Diagnostic("MG271", message, (Label(span, "counted up to here"),), help))

    def _place(self, span: Span) -> Span:
        """Return where a node is shown to come from: inside a prelude method, the call of the method."""
        return next((call for _, call, builtin in self._calls if builtin), span)

    def _name(self, name: s.Name, scope: Scope) -> Value:
        bound = scope.find(name.name)
        self.used.add(name.name)
        if bound is not None:
            return bound.value
        if name.name in self.functions or name.name in OPS:
            self.findings.error(
                "MG201",
                f"`{name.name}` is a function",
                name.span,
                "used as a value",
                help=(f"call it: `{name.name}(…)`",),
            )
        else:
            self.findings.error(
                "MG201",
                f"unknown name `{name.name}`",
                name.span,
                "nothing has this name here",
                help=_meant(name.name, scope),
            )
        return FAILED

    def _negative(self, value: Value, inner: Span, span: Span) -> Value:
        scaled = weighted(value, -1.0)
        return scaled if scaled else self.applier.operator("negate", [(value, inner)], self._place(span))

    def _binary(self, expression: s.Binary, scope: Scope) -> Value:
        left, right = self.evaluate(expression.left, scope), self.evaluate(expression.right, scope)
        if failed(left) or failed(right):
            return FAILED
        if expression.operator in ("==", "!=") and not {type(left), type(right)} & {Node, tuple, Weighted, float}:
            return (left == right) == (expression.operator == "==")
        if expression.operator in ("==", "!=") and None in (left, right):
            return expression.operator == "!="
        mixed = _weighted_sum(expression.operator, left, right)
        if mixed is not None:
            return mixed
        operands = [(left, expression.left.span), (right, expression.right.span)]
        return self.applier.operator(OPERATORS[expression.operator], operands, self._place(expression.span))

    def _call(self, call: s.Call, scope: Scope) -> Value:
        if call.function.name == "where" and len(call.arguments) == 3:
            mask = self.evaluate(call.arguments[0].value, scope)
            if isinstance(mask, (bool, float)):
                # What is not chosen need not even make sense: `where(base == none, a, a - base)`.
                return self.evaluate(call.arguments[1 if mask else 2].value, scope)
        arguments = [(a, self.evaluate(a.value, scope)) for a in call.arguments]
        name = call.function.name
        self.used.add(name)
        if name in self._special:
            return self._special[name](call, arguments)
        if name in self.functions:
            return self._function(call, arguments, self.functions[name])
        op = OPS.get(name)
        if op is None or op.internal:
            return self._unknown_function(call)
        given = match(call, arguments, slots(op), self.findings)
        return FAILED if given is None else self.applier.apply(op, given, self._place(call.span))

    def _unknown_function(self, call: s.Call) -> Value:
        name = call.function.name
        known = [*self.functions, *self._special, *(op.name for op in OPS.values() if not op.internal)]
        meant = did_you_mean(name, known)
        hint = f"{meant[0]}  (`mergegraph methods` lists them)" if meant else "`mergegraph methods` lists them"
        self.findings.error(
            "MG204", f"unknown function `{name}`", call.function.span, "no function has this name", help=(hint,)
        )
        return FAILED

    def _function(self, call: s.Call, arguments: Evaluated, definition: Definition) -> Value:
        name = definition.syntax.name.name
        if any(name == running for running, _, _ in self._calls):
            help = ("write the inner call out, or give the functions two names",)
            self.findings.error("MG206", f"`{name}` calls itself", call.span, "functions can't be recursive", help=help)
            return FAILED
        self._spend(1, call.span)
        parameters = definition.syntax.parameters
        known = [Slot(p.name.name, p.default is None and not p.variadic, p.variadic) for p in parameters]
        given = match(call, arguments, known, self.findings)
        if given is None:
            return FAILED
        return self._body(call, definition, given)

    def _body(self, call: s.Call, definition: Definition, given: Mapping[str, Given]) -> Value:
        before, folder = len(self.findings.diagnostics), self.folder
        self.folder = definition.folder
        self._calls.append((definition.syntax.name.name, call.span, definition.builtin))
        local = Scope(definition.home)
        try:
            for p in definition.syntax.parameters:
                local.values[p.name.name] = Bound(self._argument(p, given, local), p.span)
            value = self.evaluate(definition.syntax.body, local)
            return self.point(value, call.span)
        finally:
            self._calls.pop()
            self.folder = folder
            self._explain(call, definition, given, before)

    def _argument(self, parameter: s.Parameter, given: Mapping[str, Given], local: Scope) -> Value:
        if parameter.name.name in given:
            return given[parameter.name.name].value
        return () if parameter.default is None else self.evaluate(parameter.default, local)

    def _explain(self, call: s.Call, definition: Definition, given: Mapping[str, Given], before: int) -> None:
        """Point errors inside a function's body at the call that led there.

        The text of the prelude is nobody's mistake: such an error is shown at the argument it speaks of, or the call.
        """
        found = self.findings.diagnostics
        for i in range(before, len(found)):
            if definition.builtin:
                told = _told_of_call(found[i], definition, call, given)
            else:
                told = replace(found[i], labels=(*found[i].labels, Label(call.span, "in this call")))
            self.findings.change(i, told)

    def _model(self, call: s.Call, arguments: Evaluated) -> Value:
        given = match(call, arguments, SPECIAL["model"], self.findings)
        return FAILED if given is None else self._source(call, [], given)

    def _lora(self, call: s.Call, arguments: Evaluated) -> Value:
        given = match(call, arguments, SPECIAL["lora"], self.findings)
        if given is None:
            return FAILED
        base, scale = given.pop("base", None), given.pop("scale", None)
        model = self.point(base.value, base.span) if base else None
        if base and not (isinstance(model, Node) and model.type is Type.MODEL):
            if not failed(model):
                note, help = f"this is {with_article(kind(model))}", ("name the model that the adapter is added to",)
                self.findings.error("MG220", "`base` of `lora` must be a Model", base.span, note, help=help)
            return FAILED
        adapter = self._source(call, [model] if isinstance(model, Node) else [], given)
        if scale is None or failed(adapter):
            return adapter
        return self.applier.operator("multiply", [(scale.value, scale.span), (adapter, call.span)], call.span)

    def _source(self, call: s.Call, inputs: list[Node], given: Mapping[str, Given]) -> Value:
        """Return the node that stands for files, after looking whether they are named by strings."""
        name = call.function.name
        for parameter, argument in given.items():
            if not isinstance(argument.value, str) or not argument.value:
                if not failed(argument.value):
                    self.findings.error(
                        "MG225",
                        f"`{parameter}` of `{name}` must be a string",
                        argument.span,
                        f"this is {with_article(kind(argument.value))}",
                        help=(f'write `{name}("./folder")` or `{name}("org/name", revision="main")`',),
                    )
                return FAILED
        source = self._from_here(str(given["source"].value))
        revision = str(given["revision"].value) if "revision" in given else None
        node = OPS[name].apply(inputs, [("source", source), ("revision", revision)])
        return self.applier.placed(node, self._place(call.span))

    def _from_here(self, source: str) -> str:
        """Return a relative path of an imported recipe as seen from the recipe that imports it."""
        if not self.folder or source.startswith(("/", "~", "python:")):
            return source
        moved = posixpath.normpath(posixpath.join(self.folder, source))
        moved = moved if moved.startswith(("/", "~", "..")) else f"./{moved}"
        return moved if source.startswith(".") or self.exists(moved) else source

    def _ramp(self, call: s.Call, arguments: Evaluated) -> Value:
        given = match(call, arguments, SPECIAL["ramp"], self.findings)
        if given is None or any(failed(g.value) for g in given.values()):
            return FAILED
        values, outside = given["values"].value, given["outside"].value if "outside" in given else None
        numbers = values if isinstance(values, tuple) else (values,)
        for value in (*numbers, *(() if outside is None else (outside,))):
            if not isinstance(value, float):
                self.findings.error(
                    "MG231",
                    "`ramp` interpolates between numbers",
                    call.span,
                    f"this has {with_article(kind(value))}",
                    help=("write `ramp(0.9, 0.4)`, first layer to last",),
                )
                return FAILED
        node = ramp_field(
            tuple(v for v in numbers if isinstance(v, float)), outside if isinstance(outside, float) else None
        )
        return self.applier.placed(node, self._place(call.span))

    def _select(self, select: s.Select, scope: Scope) -> Value:
        values = [self.point(self.evaluate(case.value, scope), case.value.span) for case in select.cases]
        if not self._well_formed(select) or any(failed(v) for v in values):
            return FAILED
        nodes = []
        for case, value in zip(select.cases, values, strict=True):
            node = number(value) if isinstance(value, float) else value
            if not isinstance(node, Node) or node.type not in {*NUMERIC, Type.MODEL, Type.DELTA, Type.MASK}:
                self.findings.error(
                    "MG233",
                    "a `select` chooses between numbers, models or deltas",
                    case.value.span,
                    f"this is {with_article(kind(value))}",
                    help=('such as `select { "*.mlp.*": 0.5, _: 0.7 }`',),
                )
                return FAILED
            nodes.append(node)
        patterns = tuple(case.pattern.value for case in select.cases if case.pattern)
        try:
            chosen = self.applier.placed(field_select(nodes, patterns), self._place(select.span))
        except OperandError as error:
            self.findings.error("MG221", error.message, select.span, help=error.help)
            return FAILED
        self.findings.optional |= {(chosen, c.pattern.value) for c in select.cases if c.pattern and c.optional}
        return chosen

    def _well_formed(self, select: s.Select) -> bool:
        wild = [i for i, case in enumerate(select.cases) if case.pattern is None]
        if wild == [len(select.cases) - 1]:
            return True
        place = select.span if not wild else select.cases[wild[0]].span
        message = "a `select` needs a case for all other tensors" if not wild else "`_` must be the last case, once"
        self.findings.error("MG230", message, place, help=("end it with `_: value`",))
        return False

    def _layers(self, layers: s.LayerRange, scope: Scope) -> Value:
        value = self.point(self.evaluate(layers.model, scope), layers.model.span)
        if failed(value):
            return FAILED
        start, stop = layers.start.value, layers.stop.value
        if not (start.is_integer() and stop.is_integer() and 0 <= start < stop):
            self.findings.error(
                "MG234",
                "layers are counted in whole numbers, from a lower to a higher",
                layers.span,
                help=("`.layers[0..16]` takes layers 0 to 15",),
            )
            return FAILED
        attributes = {
            "m": Given(value, layers.model.span),
            "start": Given(start, layers.start.span),
            "stop": Given(stop, layers.stop.span),
            **({"stack": Given(layers.stack.value, layers.stack.span)} if layers.stack else {}),
        }
        return self.applier.apply(OPS["layers"], attributes, self._place(layers.span))


def _told_of_call(found: Diagnostic, definition: Definition, call: s.Call, given: Mapping[str, Given]) -> Diagnostic:
    """Return an error in the text of the prelude as one of the call that led there."""
    labels = tuple(_outside(label, definition, call, given) for label in found.labels)
    moved = replace(found, labels=tuple(dict.fromkeys(labels)))
    name = next((name for name, argument in given.items() if argument.span == moved.labels[0].span), None)
    if found.code == "MG225" and name is not None:
        return replace(moved, message=f"`{name}` of `{definition.syntax.name.name}` can't have this value")
    if found.code != "MG220" or name is None:
        return moved
    value = given[name].value
    message = f"`{name}` of `{definition.syntax.name.name}` can't be {with_article(kind(value))}"
    return replace(moved, message=message, labels=(replace(moved.labels[0], text=""), *moved.labels[1:]))


def _meant(name: str, scope: Scope) -> tuple[str, ...]:
    if name.lower() in ("true", "false", "none"):
        return (f"write `{name.lower()}`",)
    return did_you_mean(name, scope.names()) or (f'bind it on a line above: `{name} = model("…")`',)


def _outside(label: Label, definition: Definition, call: s.Call, given: Mapping[str, Given]) -> Label:
    """Return a label inside the text of the prelude as one at the argument that is used there, or at the call."""
    if label.span.source is not definition.syntax.span.source:
        return label
    argument = given.get(label.span.text.rpartition("=")[2].strip())
    return Label(argument.span if argument else call.span, label.text)


def _weighted_sum(operator: str, left: Value, right: Value) -> Weighted | None:
    """Return what models times numbers, and sums of them, stand for; None where other rules hold."""
    match operator, left, right:
        case "*", float(), _:
            return weighted(right, left)
        case ("*", _, float()):
            return weighted(left, right)
        case ("/", _, float()) if right:
            return weighted(left, 1.0 / right)
        case (("+" | "-"), _, _) if isinstance(left, Weighted) or isinstance(right, Weighted):
            one, other = weighted(left, 1.0), weighted(right, 1.0 if operator == "+" else -1.0)
            return Weighted((*one.terms, *other.terms)) if one and other else None
        case _:
            return None
