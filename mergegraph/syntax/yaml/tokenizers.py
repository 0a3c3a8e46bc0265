"""Read which tokens an output is to have: `tokenizer_source` and `tokenizer` of a mergekit configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mergegraph.diagnostics import Span, did_you_mean, escape
from mergegraph.syntax import nodes as s
from mergegraph.syntax.yaml.make import argument, call
from mergegraph.syntax.yaml.notes import Notes
from mergegraph.syntax.yaml.scalars import number, switch, written
from mergegraph.syntax.yaml.section import Section
from mergegraph.syntax.yaml.tree import Entry, Map, Scalar, Tree, head, kind

KEYS = ("source", "tokens", "pad_to_multiple_of")
"""The keys of `tokenizer`."""

TOKEN_KEYS = ("source", "force")
"""The keys of a token."""

KINDS = {"zero": ("kind",), "model_token": ("kind", "model", "token", "token_id")}
"""The kinds of sources of a token, and the keys of each."""


@dataclass(frozen=True, slots=True)
class Tokenizers:
    """Reads the tokenizer of one configuration.

    `model` gives the checkpoint that a value names. `models` are those of the merge, the base first if there is one.
    """

    notes: Notes
    model: Callable[[Tree | None], str | None]
    models: Sequence[str]
    base: str | None

    def option(self, top: Section) -> s.Argument | None:
        """Return `tokenizer=union(…)`; None where nothing is asked for, or, with the errors noted, nothing sensible."""
        settings = top.get("tokenizer")
        if settings is None:
            return self._union(top.get("tokenizer_source"), (), top.place("tokenizer_source"))
        section = Section(settings, "`tokenizer`", KEYS, self.notes)
        source = section.get("source") or top.get("tokenizer_source")
        more = tuple(self._more(section))
        if source is None:
            return None if section.damaged else self._call(self.models, more, top.place("tokenizer"))
        return self._union(source, more, top.place("tokenizer"))

    def _union(self, source: Tree | None, more: tuple[s.Argument, ...], place: Span) -> s.Argument | None:
        if source is None:
            return None
        word = source.text if isinstance(source, Scalar) else ""
        if word == "union":
            return self._call(self.models, more, place)
        found = self.models[0] if word == "base" else self.model(source)
        return self._call((found,), more, place) if found else None

    def _call(self, models: Sequence[str], more: tuple[s.Argument, ...], place: Span) -> s.Argument:
        base = s.Name(self.base, place) if self.base else s.Constant(None, place)
        # Without it the base is the model itself where there is one, and none where there are several.
        usual = models[0] if len(models) == 1 else None
        given = (argument("base", base),) if self.base != usual else ()
        value = call(s.Name("union", place), [s.Name(model, place) for model in models], (*given, *more))
        return argument("tokenizer", value, place)

    def _more(self, section: Section) -> Iterator[s.Argument]:
        tokens, multiple = section.get("tokens"), section.get("pad_to_multiple_of")
        if isinstance(tokens, Map):
            found = tuple(call for entry in tokens.entries for call in self._token(entry))
            yield from (argument("tokens", s.List(found, tokens.span), section.place("tokens")),) if found else ()
        elif tokens is not None:
            help = ("such as `tokens: {<pad>: {source: ./model}}`",)
            self.notes.error("MG161", "`tokens` must be a map", head(tokens.span), f"this is {kind(tokens)}", help=help)
        if multiple is not None:
            value = number(multiple, "pad_to_multiple_of", self.notes)
            if value is not None:
                place = section.place("pad_to_multiple_of")
                yield argument("pad_to_multiple_of", written(value, multiple.span), place)

    def _token(self, entry: Entry) -> Iterator[s.Call]:
        """Yield the call of `token` that a token's settings mean."""
        section = Section(entry.value, f"the token `{escape(entry.key.text)}`", TOKEN_KEYS, self.notes)
        section.need("source", "such as `source: ./model` or `source: {kind: zero}`")
        source, forced = section.get("source"), section.get("force")
        force = switch(forced, "force", self.notes) if forced else None
        for given in self._source(source) if source else ():
            extra = (argument("force", s.Constant(True, section.place("force"))),) if force else ()
            place = entry.key.span
            yield call(s.Name("token", place), [s.String(entry.key.text, place), given[0]], (*given[1:], *extra))

    def _source(self, source: Tree) -> Iterator[tuple[s.Expression, *tuple[s.Argument, ...]]]:
        """Yield the model that gives a token's row, `none` for zeros, and which token of it is meant."""
        word = _kind_of(source)
        if word is None:
            yield from self._of(source, ())
            return
        if word.text not in KINDS:
            help = (*did_you_mean(word.text, KINDS), f"it is one of: {', '.join(KINDS)}")
            self.notes.error("MG171", f"unknown kind of source `{escape(word.text)}`", word.span, help=help)
            return
        section = Section(source, f"a source of kind `{word.text}`", KINDS[word.text], self.notes)
        if word.text == "zero":
            yield (s.Constant(None, word.span),)
            return
        section.need("model", "name the model that has the token")
        given = [key for key in ("token", "token_id") if key in section]
        if len(given) != 1:
            message = "a source of kind `model_token` has either `token` or `token_id`"
            self.notes.error("MG172", message, head(source.span), help=('write `token: "<s>"` or `token_id: 1`',))
            return
        value = self._named(given[0], section)
        model = section.get("model")
        if value and model:
            yield from self._of(model, (argument("of", value, section.place(given[0])),))

    def _named(self, key: str, section: Section) -> s.Expression | None:
        tree = section.get(key)
        if key == "token":
            word = section.text(key)
            return s.String(word.text, word.span) if word else None
        value = number(tree, key, self.notes) if tree else None
        return written(value, tree.span) if tree and value is not None else None

    def _of(self, source: Tree, more: tuple[s.Argument, ...]) -> Iterator[tuple[s.Expression, *tuple[s.Argument, ...]]]:
        found = self.model(source)
        if found:
            yield (s.Name(found, head(source.span)), *more)


def _kind_of(source: Tree) -> Scalar | None:
    """Return the kind that a source is said to be of."""
    for entry in source.entries if isinstance(source, Map) else ():
        if entry.key.text == "kind" and isinstance(entry.value, Scalar):
            return entry.value
    return None
