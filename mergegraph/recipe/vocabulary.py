"""Evaluate `union(…)` and `token(…)`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mergegraph.diagnostics import Label
from mergegraph.ir.node import Node
from mergegraph.ir.types import Type
from mergegraph.recipe.anchors import SOURCES, adapters
from mergegraph.recipe.arguments import Evaluated, Given, Slot, match
from mergegraph.recipe.scope import Findings
from mergegraph.recipe.tokens import TokenRow, Vocabulary
from mergegraph.recipe.values import FAILED, Value, failed, kind, with_article
from mergegraph.syntax import nodes as s

MOST_MULTIPLE = 1 << 20
"""The largest number of rows that a vocabulary can be padded to a multiple of."""

_UNION = (
    Slot("models", True, True),
    Slot("base", False, False, named=True),
    Slot("tokens", False, False, named=True),
    Slot("pad_to_multiple_of", False, False, named=True),
)
_TOKEN = (
    Slot("name", True, False),
    Slot("source", True, False),
    Slot("of", False, False, named=True),
    Slot("force", False, False, named=True),
)


SLOTS: Mapping[str, tuple[Slot, ...]] = MappingProxyType({"union": _UNION, "token": _TOKEN})
"""The parameters of the functions on vocabularies."""


def union(call: s.Call, arguments: Evaluated, findings: Findings) -> Value:
    """Return the vocabulary that a call of `union` means; FAILED, with the error reported, if it means none."""
    given = _given(call, arguments, _UNION, findings)
    if given is None:
        return FAILED
    models, base = _models(given["models"], findings), _optional_model(given, "base", findings)
    tokens, multiple = _tokens(given, findings), _multiple(given, findings)
    if failed(models) or failed(base) or tokens is None or multiple is None:
        return FAILED
    assert isinstance(models, tuple)
    found = tuple(model for model in models if isinstance(model, Node))
    if "base" not in given and len(found) == 1:
        base = found[0]
    return Vocabulary(found, base if isinstance(base, Node) else None, tokens, multiple, exact=True, stated=True)


def token(call: s.Call, arguments: Evaluated, findings: Findings) -> Value:
    """Return the source of a row that a call of `token` means; FAILED, with the error reported, if it means none."""
    given = _given(call, arguments, _TOKEN, findings)
    if given is None:
        return FAILED
    name, source = given["name"].value, _optional_model(given, "source", findings)
    of, force = given["of"].value if "of" in given else name, given["force"].value if "force" in given else False
    if failed(source):
        return FAILED
    if not isinstance(name, str) or not name:
        return _wrong("MG274", "a token is named by its text", given["name"], findings)
    if not isinstance(force, bool):
        return _wrong("MG274", "`force` is `true` or `false`", given["force"], findings)
    number = isinstance(of, float) and of >= 0 and of.is_integer()
    if not number and not isinstance(of, str):
        return _wrong("MG274", "`of` is the text or the number of a token", given["of"], findings)
    row = int(of) if isinstance(of, float) else str(of)
    return TokenRow(name, source if isinstance(source, Node) else None, row, force, call.span)


def _given(call: s.Call, arguments: Evaluated, slots: tuple[Slot, ...], findings: Findings) -> dict[str, Given] | None:
    given = match(call, arguments, list(slots), findings)
    return None if given is None or any(failed(g.value) for g in given.values()) else given


def _models(given: Given, findings: Findings) -> Value:
    values = given.value if isinstance(given.value, tuple) else (given.value,)
    found = [adapter_of(v) or v for v in values]
    if not found or not all(isinstance(v, Node) and v.op in SOURCES for v in found):
        return _wrong("MG273", "`union` takes checkpoints and adapters", given, findings)
    return tuple(dict.fromkeys(found))


def adapter_of(value: Value) -> Node | None:
    """Return the adapter that a delta is made of, if it is one alone: `lora(…)`, scaled or not."""
    if not isinstance(value, Node) or value.type is not Type.DELTA:
        return None
    found = list(dict.fromkeys(adapters(value)))
    return found[0] if len(found) == 1 else None


def _optional_model(given: Mapping[str, Given], name: str, findings: Findings) -> Value:
    value = given[name].value if name in given else None
    if value is None or (isinstance(value, Node) and value.op == "model"):
        return value
    return _wrong("MG273", f"`{name}` must be a checkpoint", given[name], findings)


def _tokens(given: Mapping[str, Given], findings: Findings) -> tuple[TokenRow, ...] | None:
    if "tokens" not in given:
        return ()
    value = given["tokens"].value
    rows = tuple(row for row in (value if isinstance(value, tuple) else (value,)) if isinstance(row, TokenRow))
    if len(rows) != (len(value) if isinstance(value, tuple) else 1):
        _wrong("MG274", "`tokens` is a list of `token(…)`", given["tokens"], findings)
        return None
    first: dict[str, TokenRow] = {}
    for row in rows:
        if first.setdefault(row.token, row) is not row:
            other = Label(first[row.token].span, "first time")
            help = ("keep one of them",)
            findings.error("MG274", "this token is given a source twice", row.span, "second time", other, help=help)
            return None
    return rows


def _multiple(given: Mapping[str, Given], findings: Findings) -> int | None:
    value = given["pad_to_multiple_of"].value if "pad_to_multiple_of" in given else 1.0
    if isinstance(value, float) and value.is_integer() and 1 <= value <= MOST_MULTIPLE:
        return int(value)
    _wrong("MG275", "`pad_to_multiple_of` is a whole number of rows", given["pad_to_multiple_of"], findings)
    return None


_HELP = {
    "MG273": ("write `union(a, b, base=base)` with names bound to `model(…)`",),
    "MG274": ('write `tokens=[token("<|im_end|>", a, of="</s>", force=true)]`; the source `none` stands for zeros',),
    "MG275": ("write `pad_to_multiple_of=64`",),
}


def _wrong(code: str, message: str, given: Given, findings: Findings) -> Value:
    findings.error(code, message, given.span, f"this is {with_article(kind(given.value))}", help=_HELP[code])
    return FAILED
