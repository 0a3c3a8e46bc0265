"""Turn mergekit's configurations into the Syntax of a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from mergegraph.diagnostics import Label, Source, Span, did_you_mean, escape
from mergegraph.syntax import nodes as s
from mergegraph.syntax.yaml.bindings import Bindings
from mergegraph.syntax.yaml.make import argument
from mergegraph.syntax.yaml.merging import Merged, Merging
from mergegraph.syntax.yaml.methods import ELSEWHERE, METHODS
from mergegraph.syntax.yaml.notes import Notes
from mergegraph.syntax.yaml.parameters import Level, Parameters, begins
from mergegraph.syntax.yaml.references import reference
from mergegraph.syntax.yaml.section import Section
from mergegraph.syntax.yaml.slices import Slice, slices, whole_models
from mergegraph.syntax.yaml.tokenizers import Tokenizers
from mergegraph.syntax.yaml.tree import Entry, Map, Scalar, Tree, head

KEYS = (
    *("merge_method", "base_model", "models", "slices", "modules", "parameters", "dtype", "out_dtype"),
    *("tokenizer_source", "tokenizer", "chat_template", "name"),
)
"""The keys of a configuration."""

REST = "default"
"""The module that is what no other has: alone, the whole model."""

OUTPUT = "merged"
"""The folder of an output that has no name, where the command line gives none."""


@dataclass(frozen=True, slots=True)
class _Output:
    """A merge of the text, which is written unless another merge uses it."""

    name: str
    save: s.Save


def read_mergekit(documents: Iterable[Tree], source: Source, notes: Notes) -> s.Recipe:
    """Return the recipe of one or several configurations. MergeGraphError with every mistake in them.

    A configuration may name earlier ones as models. Those that no other names are saved.
    """
    documents = tuple(documents)
    reader = _Reader(notes, below={title.text: title for document in documents for title in _titles(document)})
    for document in documents:
        reader.configuration(document)
    notes.check()
    return s.Recipe(tuple(reader.statements()), Span(source, 0, len(source.text)))


@dataclass(frozen=True, slots=True)
class _Module:
    """A part of a model, with its own layers: the tensors whose names begin with `name.`; the rest without a name."""

    name: Scalar | None
    slices: tuple[Slice, ...]

    @property
    def layers(self) -> s.String | None:
        """What its stack of layers is called."""
        return s.String(self.name.text, self.name.span) if self.name else None


@dataclass(slots=True)
class _Reader:
    """Reads one configuration after the other. `below` are the names of those that have not been read yet."""

    notes: Notes
    below: dict[str, Scalar]
    bindings: Bindings = field(default_factory=Bindings)
    outputs: list[_Output] = field(default_factory=list)
    titles: dict[str, _Output] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def statements(self) -> Iterator[s.Statement]:
        yield from self.bindings
        yield from (output.save for output in self.outputs if output.name not in self.used)

    def configuration(self, tree: Tree) -> None:
        """Read one configuration."""
        top = Section(tree, "a configuration", KEYS, self.notes, ELSEWHERE)
        top.need("merge_method", "such as `merge_method: linear`")
        word = top.text("merge_method")
        method = METHODS.get(word.text) if word else None
        if word is None or method is None:
            self._unknown_method(word)
            return
        base = self._model(top.get("base_model"))
        if method.needs_base:
            top.need("base_model", f"`{word.text}` merges others into a base")
        parameters = Parameters(word.text, method, self.notes)
        found = [module for module in self._modules(top, parameters) if module.slices]
        if not found or (method.needs_base and base is None):
            return
        merging = Merging(s.Name(word.text, word.span), method, base, parameters, self.bindings)
        given = [each.model for module in found for slice in module.slices for each in slice.inputs]
        models = [self.bindings.donor(model) for model in given]
        donor = self.bindings.donor(base or models[0])
        rest = Merged(s.Name(base or given[0], word.span), donor)
        merged = _together(found, merging, rest, top.place("modules"))
        tokenizers = Tokenizers(self.notes, self._checkpoint, tuple(dict.fromkeys((donor, *models))), base and donor)
        self._finish(top, merged, donor, tokenizers)

    def _unknown_method(self, word: Scalar | None) -> None:
        if word:
            help = (*did_you_mean(word.text, METHODS), f"it is one of: {', '.join(METHODS)}")
            self.notes.error("MG166", f"unknown merge method `{escape(word.text)}`", word.span, help=help)

    def _modules(self, top: Section, parameters: Parameters) -> Iterator[_Module]:
        levels = (parameters.level("configuration", top.get("parameters")),)
        if not self._one_of(top, ("models", "slices", "modules")) or "modules" not in top:
            yield _Module(None, tuple(self._slices(top, levels, parameters)))
            return
        for entry in self._entries(top):
            section = Section(entry.value, "a module", ("models", "slices", "parameters"), self.notes)
            own = (parameters.level("module", section.get("parameters")), *levels)
            self._one_of(section, ("models", "slices"))
            name = None if entry.key.text == REST else entry.key
            yield _Module(name, tuple(self._slices(section, own, parameters)))

    def _slices(self, section: Section, levels: tuple[Level, ...], parameters: Parameters) -> Iterator[Slice]:
        if "models" in section:
            found = whole_models(section, levels, self._model, parameters)
            yield from (found,) if found.inputs else ()
        else:
            yield from slices(section, levels, self._model, parameters)

    def _one_of(self, section: Section, keys: tuple[str, ...]) -> bool:
        """Tell whether one of the keys is there; note an error if none or several are."""
        given = [f"`{key}`" for key in keys if key in section]
        if len(given) == 1 or section.damaged:
            return len(given) == 1
        *most, last = (f"`{key}`" for key in keys)
        found = f"it has {' and '.join(given)}" if given else "it has none"
        message = f"{section.what} has one of {', '.join(most)} and {last}"
        self.notes.error("MG162", message, head(section.span), found, help=("`models` merges whole models",))
        return False

    def _entries(self, top: Section) -> tuple[Entry, ...]:
        """Return the modules. There is at least one, or the error is noted."""
        tree = top.get("modules")
        entries = tree.entries if isinstance(tree, Map) else ()
        if not entries:
            help = ("name the parts of the model: `modules: {encoder: {models: […]}, decoder: {models: […]}}`",)
            self.notes.error("MG162", "`modules` needs a module", top.place("modules"), help=help)
        return entries

    def _model(self, tree: Tree | None) -> str | None:
        """Return the name that a model is bound to; None, with the error noted, if the value names none."""
        output = self.titles.get(tree.text) if isinstance(tree, Scalar) else None
        if output:
            self.used.add(output.name)
            return output.name
        if isinstance(tree, Scalar) and tree.text in self.below:
            made = Label(self.below[tree.text].span, "it is made here")
            help = ("put the merge that makes a model above those that use it",)
            self.notes.error(
                "MG169", f"`{escape(tree.text)}` is used before it is made", tree.span, "", made, help=help
            )
            return None
        found = reference(tree, self.notes) if tree else None
        return self.bindings.model(found, head(tree.span)) if tree and found else None

    def _checkpoint(self, tree: Tree | None) -> str | None:
        """Return the checkpoint that gives the tokenizer of a model."""
        name = self._model(tree)
        return self.bindings.donor(name) if name else None

    def _finish(self, top: Section, merged: Merged, donor: str, tokenizers: Tokenizers) -> None:
        """Bind a merge to its name, and note it as an output."""
        title = top.text("name")
        self.below.pop(title.text if title else "", None)
        if title and title.text in self.titles:
            first = Label(self.titles[title.text].save.path.span, "first time")
            message = f"two merges are named `{escape(title.text)}`"
            self.notes.error("MG167", message, title.span, "second time", first, help=("rename one of them",))
            return
        path = s.String(title.text if title else OUTPUT, title.span if title else head(top.span))
        name = self.bindings.value(merged.value, path.value)
        options = tuple(self._options(top, merged.donor, donor, tokenizers))
        output = _Output(name.name, s.Save(name, path, options, name.span))
        self.bindings.donors[name.name] = donor
        self.outputs.append(output)
        if title:
            self.titles[title.text] = output

    def _options(self, top: Section, own: str, donor: str, tokenizers: Tokenizers) -> Iterator[s.Argument]:
        """Yield the options of the output. Without any, `own` gives config and tokenizer; they are to be `donor`'s."""
        key = "out_dtype" if "out_dtype" in top else "dtype"
        dtype, template = top.text(key), top.text("chat_template")
        if dtype:
            yield argument("dtype", s.String(dtype.text, dtype.span), top.place(key))
        wanted = s.String(donor, head(top.span))
        tokenizer = tokenizers.option(top) or (argument("tokenizer", wanted) if own != donor else None)
        if tokenizer:
            yield tokenizer
        if own != donor:
            yield argument("config", wanted)
        if template:
            yield argument("chat_template", s.String(template.text, template.span), top.place("chat_template"))


def _together(modules: Sequence[_Module], merging: Merging, rest: Merged, place: Span) -> Merged:
    """Return the model that modules make; what is in none of them is that of `rest`, unless a module is all others."""
    found = [(each.name, replace(merging, layers=each.layers).merge(each.slices)) for each in modules]
    cases = [s.Case(begins(f"{name.text}.", name.span), merged.value, name.span) for name, merged in found if name]
    others = next((merged for name, merged in found if name is None), rest)
    if not cases:
        return others
    return Merged(s.Select((*cases, s.Case(None, others.value, place)), place), rest.donor)


def _titles(document: Tree) -> Iterator[Scalar]:
    """Yield the name that a configuration gives to its merge."""
    for entry in document.entries if isinstance(document, Map) else ():
        if entry.key.text == "name" and isinstance(entry.value, Scalar):
            yield entry.value
