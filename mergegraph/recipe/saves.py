"""Resolve `save` statements: paths and options."""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from mergegraph.diagnostics import Diagnostic, Label, Span, did_you_mean, escape, listed
from mergegraph.dtypes import DTYPES
from mergegraph.ir.node import Node
from mergegraph.ir.types import Type
from mergegraph.ops import OPS
from mergegraph.recipe.chat import TEMPLATES
from mergegraph.recipe.evaluate import Evaluator
from mergegraph.recipe.recipe import DEFAULT_SHARD_SIZE, Save, Template, donor
from mergegraph.recipe.scope import Findings, Scope
from mergegraph.recipe.tokens import Vocabulary, files_of
from mergegraph.recipe.values import FAILED, Value, failed, interpolated, kind, with_article
from mergegraph.recipe.vocabulary import adapter_of
from mergegraph.sizes import parse_size
from mergegraph.syntax import nodes as s

OPTIONS = ("dtype", "tokenizer", "chat_template", "config", "missing", "shard_size")
ADAPTER_OPTIONS = ("tokenizer",)
"""The options of an adapter: those that say what the model is that it is made of."""
OUTPUT_DTYPES = tuple(name for name, dtype in DTYPES.items() if dtype.mergeable)
SHORT_DTYPES = {
    "half": "float16", "fp16": "float16", "f16": "float16", "bf16": "bfloat16", "fp32": "float32", "f32": "float32",
    "float": "float32", "fp64": "float64", "double": "float64",
}  # fmt: skip
"""What types are called elsewhere."""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def save_of(save: s.Save, value: Value, scope: Scope, evaluator: Evaluator, findings: Findings) -> Save | None:
    """Return the output that a statement asks for; None, with the errors reported, if it can't be."""
    path = _path(save.path, scope, evaluator, findings)
    options = _options(save, scope, evaluator, findings)
    if failed(value):
        return None
    adapter = isinstance(value, Node) and value.op == "extract_lora"
    if not isinstance(value, Node) or (value.type is not Type.MODEL and not adapter):
        findings.error(
            "MG240",
            f"only a model can be saved, this is {with_article(kind(value))}",
            save.value.span,
            help=_savable(value),
        )
        return None
    if path is None or options is None:
        return None
    if adapter and not _fit_an_adapter(save, value, findings):
        return None
    models = {name: options.get(name) for name in ("config", "missing")}
    named = {name: node if isinstance(node, Node) else None for name, node in models.items()}
    tokens, template = options.get("tokenizer"), options.get("chat_template")
    dtype, size = options.get("dtype"), options.get("shard_size", float(sys.maxsize if adapter else DEFAULT_SHARD_SIZE))
    return Save(
        value,
        path,
        dtype if isinstance(dtype, str) else None,
        tokens if isinstance(tokens, Vocabulary) else files_of(donor(value), stated=False),
        named["config"] or donor(value),
        named["missing"],
        int(size) if isinstance(size, float) else DEFAULT_SHARD_SIZE,
        save.span,
        template if isinstance(template, Template) else None,
    )


def _fit_an_adapter(save: s.Save, adapter: Node, findings: Findings) -> bool:
    """Tell whether an adapter can have the rank and the options that are given; report what it can't."""
    problem = OPS[adapter.op].problem(adapter)
    if problem:
        findings.error("MG393", problem, save.value.span, help=("write `extract_lora(model, base=base, rank=32)`",))
    strange = [option for option in save.options if option.name and option.name.name not in ADAPTER_OPTIONS]
    for option in strange:
        assert option.name is not None
        message = f"an adapter is saved without `{option.name.name}`"
        help = "it is one file of float32 and a configuration; `tokenizer` says which tokens the model has"
        findings.error("MG392", message, option.span, help=(help,))
    return not strange and not problem


def _savable(value: Value) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return (
            "merge its elements into one, such as `mean([a, b])`",
            "for a number that changes over the layers write `ramp(0.2, 0.8)`, not a list",
        )
    if isinstance(value, str):
        return (f'a path alone is a string; write `model("{escape(value)}")`',)
    return {
        "Delta": ("add a delta to a model: `base + delta`",),
        "Layers": ("put layers together: `stack(a.layers[0..16], …, rest=a)`",),
    }.get(kind(value), ("a model is `model(…)`, or what a method makes of models, such as `mean(a, b)`",))


def clashes(saves: Sequence[Save], places: Sequence[PurePath]) -> list[Diagnostic]:
    """Return an error for each output whose place is that of another, or lies inside it."""
    return [_clash(saves[i], saves[j], same=places[i] == places[j]) for i, j in _overlaps(places)]


def _overlaps(places: Sequence[PurePath]) -> Iterator[tuple[int, int]]:
    first: dict[PurePath, int] = {}
    for number, place in enumerate(places):
        if first.setdefault(place, number) != number:
            yield first[place], number
    for number, place in enumerate(places):
        yield from ((first[outer], number) for outer in place.parents if outer in first and outer != place)


def _clash(one: Save, other: Save, *, same: bool) -> Diagnostic:
    code, message, notes = (
        ("MG243", f"two outputs go to the same folder `{escape(other.path)}`", ("second", "first"))
        if same
        else ("MG248", f"the output `{escape(other.path)}` lies inside another", ("the inner", "the outer"))
    )
    if one.span == other.span:
        help = 'name the value of the `for` in the path, in braces: `"out-{t}"` where it is called `t`'
        return Diagnostic(code, message, (Label(one.span, "this is saved several times"),), (help,))
    places = (Label(other.span, notes[0]), Label(one.span, notes[1]))
    return Diagnostic(code, message, places, ("give each `save` a folder of its own",))


def _path(path: s.String, scope: Scope, evaluator: Evaluator, findings: Findings) -> str | None:
    good = True

    def filled(found: re.Match[str]) -> str:
        nonlocal good
        name = found.group(1)
        bound = scope.find(name)
        evaluator.used.add(name)
        text = interpolated(bound.value) if bound else None
        if text is None:
            good = False
            findings.error(
                "MG245",
                f"`{{{name}}}` can't be part of a path",
                path.span,
                "no number or string has this name here",
                help=(*did_you_mean(name, _fitting(scope)), "`{t}` stands for the value of `t`"),
            )
        return text or ""

    text = _PLACEHOLDER.sub(filled, path.value)
    if good and not text.strip():
        findings.error("MG245", "an output needs a folder", path.span, help=('write `save model to "folder"`',))
        return None
    if good and posixpath.basename(posixpath.normpath(text)) in ("", ".", ".."):
        message = "an output needs a name of its own"
        findings.error("MG245", message, path.span, help=("name a folder that does not exist yet",))
        return None
    return text if good else None


def _fitting(scope: Scope) -> Iterator[str]:
    """Return the names that can be part of a path."""
    bound = ((name, scope.find(name)) for name in scope.names())
    return (name for name, found in bound if found and interpolated(found.value) is not None)


def _options(save: s.Save, scope: Scope, evaluator: Evaluator, findings: Findings) -> dict[str, Value] | None:
    found: dict[str, Value] = {}
    places: dict[str, Span] = {}
    good = True
    for option in save.options:
        assert option.name is not None
        name = option.name.name
        if name in places:
            findings.error(
                "MG213",
                f"`{name}` is given twice",
                option.span,
                "second value",
                Label(places[name], "first value"),
                help=("keep one of them",),
            )
            good = False
            continue
        places[name] = option.span
        value = _option(name, option, scope, evaluator, findings)
        good = good and not failed(value)
        found[name] = value
    return found if good else None


def _option(name: str, option: s.Argument, scope: Scope, evaluator: Evaluator, findings: Findings) -> Value:
    if name not in OPTIONS:
        assert option.name is not None
        findings.error(
            "MG241",
            f"`save` has no option `{name}`",
            option.name.span,
            "unknown option",
            help=(*did_you_mean(name, OPTIONS), f"it takes: {', '.join(OPTIONS)}"),
        )
        return FAILED
    value = evaluator.evaluate(option.value, scope)
    if failed(value):
        return FAILED
    if name == "dtype":
        return _dtype(value, option.value.span, findings)
    if name == "shard_size":
        return _size(value, option.value.span, findings)
    if name == "chat_template":
        return _template(value, option.value.span, scope, evaluator, findings)
    if isinstance(value, Vocabulary) and name == "tokenizer":
        return value
    adapter = adapter_of(value) if name == "tokenizer" else None
    model = adapter or _model(name, value, option.value.span, scope, evaluator, findings)
    return files_of(model, stated=True) if isinstance(model, Node) and name == "tokenizer" else model


def _dtype(value: Value, span: Span, findings: Findings) -> Value:
    if isinstance(value, str) and value in OUTPUT_DTYPES:
        return value
    plain = value.lower().removeprefix("torch.") if isinstance(value, str) else ""
    meant = did_you_mean(SHORT_DTYPES.get(plain, plain), OUTPUT_DTYPES)
    findings.error(
        "MG242",
        "this is no type that can be written",
        span,
        help=(*meant, f"it is one of: {', '.join(OUTPUT_DTYPES)}"),
    )
    return FAILED


def _size(value: Value, span: Span, findings: Findings) -> Value:
    try:
        size = parse_size(value if isinstance(value, str) else int(value))  # type: ignore[arg-type]
    except (ValueError, TypeError):
        size = 0
    if size > 0:
        return float(size)
    findings.error("MG242", "`shard_size` is not a size", span, help=('write `shard_size="2GB"`',))
    return FAILED


def _template(value: Value, span: Span, scope: Scope, evaluator: Evaluator, findings: Findings) -> Value:
    """Return the chat template that is asked for: that of a model, the one most models have, or the text itself."""
    bound = scope.find(value) if isinstance(value, str) else None
    if bound:
        evaluator.used.add(str(value))
    model = bound.value if bound else value
    if isinstance(model, Node) and model.op == "model":
        return Template(model, None, span)
    if isinstance(value, str) and (value == "auto" or value in TEMPLATES or "{" in value):
        return Template(None, None if value == "auto" else TEMPLATES.get(value, value), span)
    meant = did_you_mean(value, ["auto", *TEMPLATES, *scope.names()]) if isinstance(value, str) else ()
    findings.error(
        "MG276",
        "`chat_template` is neither a template nor where to find one",
        span,
        help=(*meant, f'it is "auto", a model, one of {listed(TEMPLATES)}, or the text of a template'),
    )
    return FAILED


def _model(name: str, value: Value, span: Span, scope: Scope, evaluator: Evaluator, findings: Findings) -> Value:
    node = value
    if isinstance(value, str):
        bound = scope.find(value)
        evaluator.used.add(value)
        node = bound.value if bound else None
    if isinstance(node, Node) and node.op == "model":
        return node
    meant = did_you_mean(value, scope.names()) if isinstance(value, str) else ()
    findings.error(
        "MG242",
        f"`{name}` must name a checkpoint of this recipe",
        span,
        help=(*meant, f'write `{name}="base"` after `base = model("…")`'),
    )
    return FAILED
