"""Read a recipe of the language that is written as a map, its expressions in strings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mergegraph.diagnostics import Source, Span
from mergegraph.syntax import nodes as s
from mergegraph.syntax.yaml.expressions import expression, function
from mergegraph.syntax.yaml.make import argument
from mergegraph.syntax.yaml.notes import Notes
from mergegraph.syntax.yaml.scalars import is_number, number, written
from mergegraph.syntax.yaml.section import Section
from mergegraph.syntax.yaml.tree import Entry, Items, Map, Scalar, Tree, head, kind

KEYS = ("import", "seed", "fn", "let", "save")
"""The keys of a recipe, in the order in which they count."""

OPTIONS = ("dtype", "tokenizer", "config", "missing", "shard_size", "chat_template")
"""The keys of an output that are options of `save`."""

_EXAMPLES = {"fn": "half(x): 0.5 * x", "let": 'base: model("./base")', "select": "_: 0.5", "for": "t: [0.3, 0.7]"}
"""An entry of each key whose value is a map."""

_FUNCTION = f"such as `{_EXAMPLES['fn']}`"
_SIGNATURE = re.compile(r"\s*\w+\s*\(")


def read_native(document: Tree, source: Source, notes: Notes) -> s.Recipe:
    """Return the recipe of a document. MergeGraphError with every mistake in its YAML and in its expressions."""
    section = Section(document, "a recipe", KEYS, notes)
    section.need("save", 'such as `save: [{value: model("./a"), to: out}]`')
    statements = tuple(_statements(section, notes))
    notes.check()
    return s.Recipe(statements, Span(source, 0, len(source.text)))


def _statements(section: Section, notes: Notes) -> Iterator[s.Statement]:
    for path in _each(section.get("import")):
        if isinstance(path, Scalar):
            yield s.Import(s.String(path.text, path.span), path.span)
        else:
            help = ("such as `import: methods.merge`, or a list of paths",)
            what = "`import` must be the path of a recipe"
            notes.error("MG161", what, head(path.span), f"this is {kind(path)}", help=help)
    yield from _seed(section, notes)
    for entry in _entries(section, "fn"):
        if not _SIGNATURE.match(entry.key.text):
            notes.error("MG170", "a function needs a name and parameters", entry.key.span, help=(_FUNCTION,))
        elif isinstance(entry.value, Scalar):
            made = function(entry.key, entry.value, notes)
            yield from (made,) if made else ()
        else:
            found, help = f"this is {kind(entry.value)}", (_FUNCTION,)
            notes.error("MG161", "a function is text", head(entry.value.span), found, help=help)
    for entry in _entries(section, "let"):
        yield from _binding(entry, notes)
    for tree in _each(section.get("save")):
        yield from _save(tree, notes)


def _seed(section: Section, notes: Notes) -> Iterator[s.Seed]:
    tree = section.get("seed")
    value = number(tree, "seed", notes) if tree else None
    if tree and value is not None:
        found = written(value, tree.span)
        yield s.Seed(found if isinstance(found, s.Number) else s.Number(value, str(value), tree.span), tree.span)


def _entries(section: Section, key: str) -> tuple[Entry, ...]:
    tree = section.get(key)
    if tree is None or isinstance(tree, Map):
        return tree.entries if tree else ()
    help = (f"such as `{key}: {{{_EXAMPLES[key]}}}`",)
    section.notes.error("MG161", f"`{key}` must be a map", head(tree.span), f"this is {kind(tree)}", help=help)
    return ()


def _binding(entry: Entry, notes: Notes) -> Iterator[s.Binding]:
    name, value = _name(entry.key, notes), _value(entry.value, notes)
    if name and value:
        yield s.Binding(name, value, value.span)


def _name(key: Scalar, notes: Notes) -> s.Name | None:
    if key.text.isidentifier():
        found = expression(key, notes)
        if found is None or isinstance(found, s.Name):
            return found
    notes.error("MG170", "this must be a name", key.span, help=("names are made of letters, digits and `_`",))
    return None


def _value(tree: Tree, notes: Notes) -> s.Expression | None:
    """Return an expression, a list of them, or a `select` that is written as a map."""
    match tree:
        case Scalar():
            return expression(tree, notes)
        case Items(items, span):
            values = [_value(item, notes) for item in items]
            return None if None in values else s.List(tuple(v for v in values if v), span)
        case Map(entries, span):
            section = Section(tree, "a value", ("select",), notes)
            cases = [_case(e, notes) for e in _entries(section, "select")]
            return None if None in cases or not entries else s.Select(tuple(c for c in cases if c), span)


def _case(entry: Entry, notes: Notes) -> s.Case | None:
    value, glob = _value(entry.value, notes), entry.key.text
    if value is None:
        return None
    optional = glob.endswith("?")
    pattern = None if glob == "_" else s.String(glob.removesuffix("?"), entry.key.span)
    return s.Case(pattern, value, entry.key.span, optional=optional)


def _save(tree: Tree, notes: Notes) -> Iterator[s.Save | s.For]:
    section = Section(tree, "an output", ("for", "value", "to", *OPTIONS), notes)
    section.need("value", "such as `value: slerp(a, b, t=0.5)`")
    section.need("to", "name a folder: `to: out`")
    made, path = section.get("value"), section.text("to")
    value = _value(made, notes) if made else None
    options = tuple(_options(section))
    if value is None or path is None:
        return
    save = s.Save(value, s.String(path.text, path.span), options, section.span)
    if "for" not in section:
        yield save
    for entry in _entries(section, "for")[:1]:
        name, values = _name(entry.key, notes), _value(entry.value, notes)
        if name and values:
            yield s.For(name, values, save, section.span)


def _options(section: Section) -> Iterator[s.Argument]:
    for key in OPTIONS:
        word = section.text(key)
        if word:
            value = _option(key, word, section.notes)
            yield from (argument(key, value, section.place(key)),) if value else ()


def _option(key: str, word: Scalar, notes: Notes) -> s.Expression | None:
    """Return a number or a text; a tokenizer may be a call of `union`."""
    if key == "tokenizer" and "(" in word.text:
        return expression(word, notes)
    numeric = number(word, key, notes) if is_number(word) else None
    return s.String(word.text, word.span) if numeric is None else written(numeric, word.span, word.text)


def _each(tree: Tree | None) -> tuple[Tree, ...]:
    """Return the items of a list; a value alone counts as a list of it."""
    return tree.items if isinstance(tree, Items) else (tree,) if tree else ()
