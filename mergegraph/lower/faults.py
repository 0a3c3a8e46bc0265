"""Faults of shapes, names and types, gathered over all tensors and reported once per cause."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from mergegraph.checkpoint.checkpoint import Checkpoint
from mergegraph.diagnostics import Diagnostic, Label, MergeGraphError, Span, escape, listed, suggest
from mergegraph.dtypes import Dtype
from mergegraph.ir.graph import Binding
from mergegraph.ir.node import Node
from mergegraph.recipe.recipe import Recipe, Save, numbers_attribute
from mergegraph.vocabulary.align import Alignment

OPTIONAL = 'where it may match nothing, write `"glob"?: value`'


class Faults:
    """Gathers what is wrong while the tensors of a recipe are lowered."""

    def __init__(self, recipe: Recipe, checkpoints: Mapping[Node, Checkpoint]) -> None:
        self.recipe = recipe
        self.checkpoints = checkpoints
        self._found: list[Diagnostic] = []
        self._missing: dict[tuple[Node, Save], list[str]] = defaultdict(list)
        self._left_out: dict[tuple[Node, Save], list[str]] = defaultdict(list)
        self._kept: dict[tuple[Save, Dtype], list[str]] = defaultdict(list)
        self._shapes: dict[Node, list[str]] = defaultdict(list)
        self._outside: dict[Node, dict[str, None]] = defaultdict(dict)
        self._arithmetic: dict[Node, list[str]] = defaultdict(list)
        self._warnings: list[Diagnostic] = []
        self._problems: dict[tuple[Node, str, tuple[str, ...]], str] = {}
        self._strangers: dict[tuple[Node, Save], Alignment] = {}

    def missing(self, model: Node, name: str, save: Save) -> None:
        """Record that a model lacks a tensor that others have."""
        self._missing[model, save].append(name)

    def left_out(self, model: Node, name: str, save: Save) -> None:
        """Record that a tensor is left out, since the model named by `missing` lacks it too."""
        self._left_out[model, save].append(name)

    def kept(self, name: str, dtype: Dtype, save: Save) -> None:
        """Record that a tensor keeps its dtype, since no other can be made of it."""
        self._kept[save, dtype].append(name)

    def shapes(self, node: Node, name: str, inputs: Sequence[Node], bindings: Mapping[Binding, int]) -> None:
        """Record that the inputs of an operation have different shapes."""
        shapes = " and ".join(sorted({str(list(n.tensor.shape)) for n in inputs}))
        self._shapes[node].append(f"{name}: {shapes}")

    def outside(self, ramp: Node, name: str) -> None:
        """Record that a ramp has no value for a tensor."""
        self._outside[ramp][name] = None

    def arithmetic(self, node: Node, name: str, inputs: Sequence[Node]) -> None:
        """Record that a tensor has a type that no arithmetic is defined on."""
        kinds = " and ".join(sorted({str(n.tensor.dtype) for n in inputs}))
        self._arithmetic[node].append(f"{name}: {kinds}")

    def problem(self, node: Node, name: str, message: str, *help: str) -> None:
        """Record that the parameters of an operation make no sense for a tensor."""
        self._problems.setdefault((node, message, help), name)

    def stranger(self, model: Node, alignment: Alignment, save: Save) -> None:
        """Record that a model has other tokens than the output, or other rows for them."""
        self._strangers[model, save] = alignment

    def glob(self, select: Node, glob: str, names: Iterable[str]) -> None:
        """Record that a glob matches no tensor."""
        place = self.recipe.spans[select]
        made = place.source.name.endswith((".yml", ".yaml")) and glob not in place.text
        help = (*_meant_glob(glob, names), *(() if made else ("`*` stands for any characters, dots too", OPTIONAL)))
        message = f'no tensor is named like "{escape(glob)}"'
        self._found.append(Diagnostic("MG321", message, (Label(_inside(place, glob)),), help))

    def unreached(self, select: Node, case: str) -> None:
        """Record that the cases before it take every tensor that a case of a `select` is for."""
        place = Label(_inside(self.recipe.spans[select], case))
        message = f"the case `{escape(case)}` is never reached: those above it take all that it matches"
        help = ("the first case that matches counts",)
        self._warnings.append(Diagnostic("MG190", message, (place,), help, severity="warning"))

    def too_long(self, ramp: Node, layers: int) -> None:
        """Record that a ramp has more values than there are layers to give them to."""
        count = len(numbers_attribute(ramp, "values"))
        message = f"a `ramp` of {count} values for {_counted(layers)}: some have no effect"
        place = Label(self.recipe.spans[ramp])
        help = ("values are spread evenly from the first layer to the last; give fewer",)
        self._warnings.append(Diagnostic("MG191", message, (place,), help, severity="warning"))

    def check(self) -> None:
        """Raise MergeGraphError if anything was recorded that is an error."""
        found = list(dict.fromkeys([*self._found, *self._all()]))
        if found:
            raise MergeGraphError(*sorted(found, key=lambda d: d.labels[0].span.start))

    def warnings(self) -> Iterator[Diagnostic]:
        """Yield what was recorded that is no error."""
        yield from dict.fromkeys(self._warnings)
        for (model, save), names in self._left_out.items():
            verb = "are" if len(names) > 1 else "is"
            message = f"{_count(names)} {verb} left out: `{self.recipe.name(model)}` lacks {listed(names)}"
            yield Diagnostic("MG305", message, (Label(save.span),), severity="warning")
        for (save, dtype), names in self._kept.items():
            verb = "stay" if len(names) > 1 else "stays"
            message = f"{_count(names)} {verb} {dtype}, which nothing can be computed from: {listed(names)}"
            yield Diagnostic("MG306", message, (Label(save.span),), severity="warning")

    def _all(self) -> Iterable[Diagnostic]:
        for (model, save), names in self._missing.items():
            yield self._lacking(model, save, names)
        for (node, message, ways), name in self._problems.items():
            yield self._at(node, "MG323", message, (f"first for the tensor {listed([name])}", *ways))
        for (model, save), alignment in self._strangers.items():
            yield self._strange(model, save, alignment)
        for node, names in self._shapes.items():
            help = (
                'leave these tensors out: `select { "glob": base, _: … }`',
                "where models have other tokens, say which the output has: `save … with tokenizer=union(a, b)`",
            )
            message = f"the shapes of {_count(names)} differ: {listed(names)}"
            yield self._at(node, "MG301", message, help)
        for node, names in self._arithmetic.items():
            help = ("convert the model to float16, bfloat16 or float32 first", "or copy these tensors with `select`")
            yield self._at(node, "MG303", f"no arithmetic is defined on {_count(names)}: {listed(names)}", help)
        for ramp, tensors in self._outside.items():
            help = ("give them a value: `ramp(…, outside=0.5)`", "or a case of their own in a `select`")
            message = f"`ramp` has no value for {_count(tensors)} outside layers: {listed(tensors)}"
            yield self._at(ramp, "MG322", message, help)

    def _lacking(self, model: Node, save: Save, names: Sequence[str]) -> Diagnostic:
        message = f"`{self.recipe.name(model)}` lacks {_count(names)} that other inputs have: {listed(names)}"
        labels = (Label(self.recipe.spans[model], "this model"), Label(save.span, "is needed here"))
        other = next(
            (self.recipe.names[m] for m in self.recipe.models if m is not model and m in self.recipe.names), "a"
        )
        help = (
            *(_renamed(names, self.checkpoints[model].tensors) if model.op == "model" else ()),
            f'take them from a model that has them: `save … with missing="{other}"`',
        )
        return Diagnostic("MG302", message, labels, help)

    def _strange(self, model: Node, save: Save, alignment: Alignment) -> Diagnostic:
        nodes = (model, alignment.tokenizer)
        names = [escape(self.recipe.name(node)) for node in nodes]
        message = f"the vocabulary of `{names[0]}` is not that of `{names[1]}`: {alignment.strangers[model]}"
        this = "this model" if model.op == "model" else "this adapter"
        labels = (Label(self.recipe.spans[model], this), Label(save.span, "is merged with others here"))
        unnamed = [node for node in nodes if node.op == "lora" and node not in self.recipe.names]
        name, tokenizer = ("adapter" if node in unnamed else called for node, called in zip(nodes, names, strict=True))
        help = (
            f"keep the tokens of one model: `save … with tokenizer={tokenizer}`",
            f"or those of all: `save … with tokenizer=union({tokenizer}, {name})`",
            *(("where the adapter has a name: `adapter = lora(…)`",) if unnamed else ()),
        )
        return Diagnostic("MG340", message, labels, help)

    def _at(self, node: Node, code: str, message: str, help: tuple[str, ...]) -> Diagnostic:
        return Diagnostic(code, message, (Label(self.recipe.spans[node]),), help)


def _inside(span: Span, glob: str) -> Span:
    """Return where a glob stands in the text of a `select`; the whole text where it is spelled otherwise."""
    start = span.text.find(glob)
    if start < 0:
        return span
    quotes = span.text[start - 1 : start] == '"'
    return Span(span.source, span.start + start - quotes, span.start + start + len(glob) + quotes)


def _meant_glob(glob: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return the help line with what names have before the glob, or with the words that no name has replaced."""
    end = glob.rstrip("*")
    longer = (f"{name.partition(f'.{end}')[0]}.{glob}" for name in names)
    whole = next((text for text, name in zip(longer, names, strict=True) if fnmatchcase(name, text)), None)
    if whole is not None:
        return (f"did you mean `{escape(whole)}`?",)
    known = {word for name in names for word in name.split(".")}
    words = [word if not word.replace("_", "").isalnum() else suggest(word, known) or word for word in glob.split(".")]
    meant = ".".join(words)
    return (f"did you mean `{escape(meant)}`?",) if meant != glob else ()


def _renamed(names: Sequence[str], held: Collection[str]) -> tuple[str, ...]:
    """Return the help line for a model that has all of these tensors under longer names, or under shorter ones."""
    name = names[0]
    for other in held:
        longer, shorter = other.removesuffix(f".{name}"), name.removesuffix(f".{other}")
        if longer != other and all(f"{longer}.{each}" in held for each in names):
            return (f"it has them with `{escape(longer)}.` before their names, which other inputs leave out",)
        if shorter != name and all(each.removeprefix(f"{shorter}.") in held for each in names):
            way = "load it with the class of transformers that the others were saved by, and save it anew"
            return (f"it has them without `{escape(shorter)}.` before their names: {way}",)
    return ()


def _counted(layers: int) -> str:
    return f"{layers} layers" if layers != 1 else "1 layer"


def _count(names: Collection[str]) -> str:
    return f"{len(names)} tensors" if len(names) > 1 else "a tensor"
