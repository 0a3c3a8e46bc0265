"""Match the arguments of a call with the parameters of a function or an operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from mergegraph.diagnostics import Label, Span, did_you_mean, suggest
from mergegraph.recipe.scope import Findings
from mergegraph.recipe.values import Value
from mergegraph.syntax import nodes as s


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter as a caller sees it; `gathers` takes all positional arguments, or one list, `named` none of them."""

    name: str
    required: bool
    gathers: bool
    named: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """The value of an argument and where it was written."""

    value: Value
    span: Span


Evaluated: TypeAlias = Sequence[tuple[s.Argument, Value]]


def match(call: s.Call, arguments: Evaluated, slots: Sequence[Slot], findings: Findings) -> dict[str, Given] | None:
    """Return the arguments by parameter; None, and errors in `findings`, if they do not fit."""
    before = len(findings.diagnostics)
    given: dict[str, Given] = {}
    positional = [(a, v) for a, v in arguments if a.name is None]
    rest = _gathered(call, positional, slots, given)
    free = [slot for slot in slots if not slot.gathers and not slot.named]
    _match_positional(call, rest, free, slots, given, findings)
    for argument, value in arguments:
        if argument.name is not None:
            _match_named(call, argument, value, slots, given, findings)
    for slot in _missing(arguments, slots, given):
        findings.error(
            "MG211",
            f"`{call.function.name}` needs `{slot.name}`",
            call.span,
            f"`{slot.name}` is not given",
            help=(_wanting(call.function.name, slot),),
        )
    return given if len(findings.diagnostics) == before else None


def _missing(arguments: Evaluated, slots: Sequence[Slot], given: Mapping[str, Given]) -> list[Slot]:
    """Return the parameters that have to be given and are not, but those that a name which is none was meant for."""
    names = [slot.name for slot in slots]
    unknown = [a.name.name for a, _ in arguments if a.name is not None and a.name.name not in names]
    missing = [slot for slot in slots if slot.required and slot.name not in given]
    meant = {suggest(name, names) for name in unknown}
    return [slot for slot in missing if slot.name not in meant] if len(missing) > len(unknown) else []


def signature(slots: Sequence[Slot]) -> str:
    """Return the parameters as they are written in a call; those after models in any number are named."""
    gathers = any(slot.gathers for slot in slots)
    return "(" + ", ".join(_shown(slot, named=gathers or not slot.required) for slot in slots) + ")"


def _shown(slot: Slot, *, named: bool) -> str:
    if slot.gathers:
        return "a, b, …"
    return f"{slot.name}=…" if named else slot.name


def _wanting(function: str, slot: Slot) -> str:
    return f"write `{function}(a, b, …)`" if slot.gathers else f"write `{function}(…, {slot.name}=…)`"


def _gathered(call: s.Call, positional: Evaluated, slots: Sequence[Slot], given: dict[str, Given]) -> Evaluated:
    """Give the positional arguments to the parameter that gathers them; return those that are left for others.

    A list in first place is the group itself, and what follows it belongs to the next parameters.
    """
    gathering = next((slot for slot in slots if slot.gathers), None)
    if gathering is None or not positional:
        return positional
    first, value = positional[0]
    if isinstance(value, tuple):
        given[gathering.name] = Given(value, first.span)
        return positional[1:]
    span = Span(first.span.source, first.span.start, positional[-1][0].span.end)
    given[gathering.name] = Given(tuple(v for _, v in positional), span)
    return ()


def _match_positional(
    call: s.Call,
    rest: Evaluated,
    free: Sequence[Slot],
    slots: Sequence[Slot],
    given: dict[str, Given],
    findings: Findings,
) -> None:
    for (argument, value), slot in zip(rest, free, strict=False):
        given[slot.name] = Given(value, argument.span)
    if len(rest) > len(free):
        extra = rest[len(free)][0]
        findings.error(
            "MG210",
            f"`{call.function.name}` takes fewer arguments",
            extra.span,
            "there is no parameter left for this",
            help=(f"write `{call.function.name}{signature(slots)}`",),
        )


def _match_named(
    call: s.Call,
    argument: s.Argument,
    value: Value,
    slots: Sequence[Slot],
    given: dict[str, Given],
    findings: Findings,
) -> None:
    assert argument.name is not None
    name = argument.name.name
    names = [slot.name for slot in slots]
    if name not in names:
        findings.error(
            "MG212",
            f"`{call.function.name}` has no parameter `{name}`",
            argument.name.span,
            "unknown parameter",
            help=(*did_you_mean(name, names), f"write `{call.function.name}{signature(slots)}`"),
        )
    elif name in given:
        findings.error(
            "MG213",
            f"`{name}` is given twice",
            argument.name.span,
            "second value",
            Label(given[name].span, "first value"),
            help=("keep one of them", f"write `{call.function.name}{signature(slots)}`"),
        )
    else:
        given[name] = Given(value, argument.span)
