"""Build the Syntax while the parser runs: one method for each rule of the grammar."""

from __future__ import annotations

import math
from bisect import bisect_left
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from mergegraph.diagnostics import Diagnostic, Label, Source, Span
from mergegraph.syntax import nodes as s
from mergegraph.syntax.mistakes import trailing_comma
from mergegraph.syntax.nesting import MAX_DEPTH, Progress, TooDeepError
from mergegraph.syntax.strings import bad_escapes, unquote
from mergegraph.syntax.trivia import Trivia, stands_alone

if TYPE_CHECKING:
    from lark import Token

Children: TypeAlias = list[Any]
"""What the parser hands over for a rule: tokens (which are `str`) and the nodes already built, in order."""

LONGEST_NUMBER = 100

_CONSTANTS = {"true": True, "false": False, "none": None}


@dataclass(slots=True)
class Reading:
    """All that is gathered while one text is parsed."""

    source: Source
    findings: list[Diagnostic] = field(default_factory=list)
    comments: list[Span] = field(default_factory=list)
    brackets: dict[Span, Span] = field(default_factory=dict)
    held_open: list[int] = field(default_factory=list)
    parenthesized: set[Span] = field(default_factory=set)
    heights: dict[int, int] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    latest: s.Statement | None = None

    def error(self, code: str, message: str, *labels: Label, help: tuple[str, ...] = ()) -> None:
        """Note a mistake that doesn't keep the parser from going on."""
        self.findings.append(Diagnostic(code, message, labels, help))

    def trivia(self) -> Trivia:
        """Return what was gathered beside the Syntax."""
        return Trivia(
            source=self.source,
            comments=tuple(self.comments),
            brackets=self.brackets,
            held_open=tuple(sorted(self.held_open)),
            parenthesized=frozenset(self.parenthesized),
        )


Node = TypeVar("Node", bound=s.Expression)

READING: ContextVar[Reading] = ContextVar("READING")
"""The parser is built once; what a run of it gathers is found here."""


def note_comment(token: Token) -> Token:
    """Keep a comment that the parser will not see."""
    reading = READING.get()
    reading.comments.append(_span([token]))
    return token


class Build:
    """Make the node of each rule from its parts. Tokens are all kept, so that spans and commas are known."""

    def recipe(self, parts: Children) -> tuple[s.Statement, ...]:
        return tuple(parts)

    def statement(self, parts: Children) -> s.Statement:
        statement: s.Statement = parts[0]
        _check_own_line(statement)
        READING.get().latest = statement
        return statement

    def binding(self, parts: Children) -> s.Binding:
        return s.Binding(_name(parts[0]), parts[2], _span(parts))

    def function(self, parts: Children) -> s.Function:
        name, body, span = _name(parts[1]), parts[-1], _span(parts)
        closer = next(i for i, part in enumerate(parts) if part == ")")
        _note_brackets(span, parts[2 : closer + 1])
        return s.Function(name, _nodes(parts[3:closer]), body, _comment_above(span), span)

    def parameter(self, parts: Children) -> s.Parameter:
        return s.Parameter(parts[0], parts[2] if len(parts) == 3 else None, False, _span(parts))

    def variadic(self, parts: Children) -> s.Parameter:
        return s.Parameter(parts[1], None, True, _span(parts))

    def save(self, parts: Children) -> s.Save:
        options = _nodes(parts[4:])
        for comma, option in zip(parts[6::2], options[1:], strict=True):
            _check_indented(comma, option)
        return s.Save(parts[1], parts[3], options, _span(parts))

    def option(self, parts: Children) -> s.Argument:
        return self.argument(parts)

    def sweep(self, parts: Children) -> s.For:
        return s.For(_name(parts[1]), parts[3], parts[5], _span(parts))

    def seed(self, parts: Children) -> s.Seed:
        return s.Seed(parts[1], _span(parts))

    def include(self, parts: Children) -> s.Import:
        return s.Import(parts[1], _span(parts))

    def binary(self, parts: Children) -> s.Binary:
        left, operator, right = parts
        return _measured(s.Binary(operator.value, left, right, _span(parts)), operator, left, right)

    def negative(self, parts: Children) -> s.Negative:
        return _measured(s.Negative(parts[1], _span(parts)), parts[0], parts[1])

    def layer_range(self, parts: Children) -> s.LayerRange:
        model, (start, _, stop) = parts[0], parts[-4:-1]
        stack = next((part for part in parts[3:-5] if isinstance(part, s.String)), None)
        return _measured(s.LayerRange(model, stack, start, stop, _span(parts)), parts[1], model)

    def constant(self, parts: Children) -> s.Constant:
        return s.Constant(_CONSTANTS[parts[0]], _span(parts))

    def parenthesized(self, parts: Children) -> s.Expression:
        inner: s.Expression = parts[1]
        outer = replace(inner, span=_span(parts))
        reading = READING.get()
        reading.parenthesized.add(outer.span)
        if inner.span in reading.brackets:
            reading.brackets[outer.span] = reading.brackets.pop(inner.span)
        reading.heights[id(outer)] = reading.heights.get(id(inner), 0)
        return outer

    def call(self, parts: Children) -> s.Call:
        span = _span(parts)
        _note_brackets(span, parts[1:])
        arguments: tuple[s.Argument, ...] = _nodes(parts[1:])
        _check_order(arguments)
        return _measured(s.Call(parts[0], arguments, span), parts[1], *(argument.value for argument in arguments))

    def argument(self, parts: Children) -> s.Argument:
        return s.Argument(parts[0] if len(parts) == 3 else None, parts[-1], _span(parts))

    def list(self, parts: Children) -> s.List:
        span = _span(parts)
        _note_brackets(span, parts)
        items: tuple[s.Expression, ...] = _nodes(parts)
        return _measured(s.List(items, span), parts[0], *items)

    def select(self, parts: Children) -> s.Select:
        span = _span(parts)
        _note_brackets(span, parts[1:])
        cases: tuple[s.Case, ...] = _nodes(parts)
        return _measured(s.Select(cases, span), parts[1], *(case.value for case in cases))

    def case(self, parts: Children) -> s.Case:
        pattern = parts[0] if isinstance(parts[0], s.String) else None
        return s.Case(pattern, parts[-1], _span(parts), optional=parts[1] == "?")

    def name(self, parts: Children) -> s.Name:
        return _name(parts[0])

    def number(self, parts: Children) -> s.Number:
        token, span = parts[0], _span(parts)
        value = float(token)
        if len(token) > LONGEST_NUMBER or math.isinf(value):
            READING.get().error("MG109", "this number is too large", Label(span), help=_number_help(len(token)))
        return s.Number(value, token.value, span)

    def string(self, parts: Children) -> s.String:
        token, span = parts[0], _span(parts)
        for start, end in bad_escapes(token):
            place = Span(span.source, span.start + start, span.start + end)
            READING.get().error(
                "MG106",
                "a string has an escape that stands for no character",
                Label(place),
                help=(r"the escapes are `\"`, `\\`, `\n`, `\t` and `\u{1F600}`; a backslash itself is `\\`",),
            )
        return s.String(unquote(token), span)


def _span(parts: Children) -> Span:
    return Span(READING.get().source, _start(parts[0]), _end(parts[-1]))


def _start(part: Any) -> int:
    start: int = part.span.start if hasattr(part, "span") else part.start_pos
    return start


def _end(part: Any) -> int:
    end: int = part.span.end if hasattr(part, "span") else part.end_pos
    return end


def _nodes(parts: Children) -> tuple[Any, ...]:
    return tuple(part for part in parts if not isinstance(part, str))


def _name(token: Token) -> s.Name:
    return s.Name(token.value, _span([token]))


def _note_brackets(owner: Span, parts: Children) -> None:
    reading = READING.get()
    brackets = _span(parts)
    reading.brackets[owner] = brackets
    if parts[-2] == ",":
        reading.held_open.append(brackets.start)


def _measured(node: Node, token: Token, *children: s.Expression) -> Node:
    """Return the node, its height noted. TooDeepError at its token if it is too high."""
    heights = READING.get().heights
    heights[id(node)] = height = 1 + max((heights.get(id(child), 0) for child in children), default=0)
    if height > MAX_DEPTH:
        raise TooDeepError(token)
    return node


def _comment_above(span: Span) -> str:
    reading = READING.get()
    line, _ = span.source.place(span.start)
    block: list[str] = []
    for comment in reversed(reading.comments[: bisect_left(reading.comments, span.start, key=_comment_start)]):
        if not stands_alone(comment) or span.source.place(comment.start)[0] != line - len(block) - 1:
            break
        block.append(comment.text[1:].removeprefix(" ").rstrip())
    return "\n".join(reversed(block))


def _comment_start(comment: Span) -> int:
    return comment.start


def _check_own_line(statement: s.Statement) -> None:
    reading = READING.get()
    before = reading.latest
    if before is None or "\n" in reading.source.text[before.span.end : statement.span.start]:
        return
    options = isinstance(before, s.Save) and not before.options and isinstance(statement, s.Binding)
    reading.error(
        "MG117",
        "two statements stand on one line",
        Label(_head(statement), "this statement begins in the middle of a line"),
        help=("the options of a `save` come after `with`",) if options else ("begin it on a line of its own",),
    )


def _head(statement: s.Statement) -> Span:
    span = statement.name.span if isinstance(statement, s.Binding) else statement.span
    return Span(span.source, span.start, span.start + len(span.text.split(maxsplit=1)[0]))


def _check_indented(comma: Token, option: s.Argument) -> None:
    if option.span.source.place(option.span.start)[1] == 1:
        READING.get().findings.append(trailing_comma(_span([comma]), option.span))


def _check_order(arguments: tuple[s.Argument, ...]) -> None:
    named = next((argument for argument in arguments if argument.name), None)
    for argument in arguments:
        if named and argument.name is None and argument.span.start > named.span.start:
            READING.get().error(
                "MG113",
                "a positional argument stands after a named one",
                Label(argument.span, "positional"),
                Label(named.span, "named"),
                help=("put it first, or give its name: `name=value`",),
            )


def _number_help(length: int) -> tuple[str, ...]:
    if length > LONGEST_NUMBER:
        return (f"it has {length} characters; a number has at most {LONGEST_NUMBER}",)
    return ("the largest number is about 1.8e308",)
