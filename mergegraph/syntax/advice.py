"""Say how to write what was meant where a word was not expected."""

from __future__ import annotations

from mergegraph.syntax.stops import END, Stop
from mergegraph.syntax.vocabulary import VALUES

BETWEEN = "between two values stands an operator or, in a list or call, a comma; a statement begins a line"
_CASES = 'a choice is written `select { "*.mlp.*": value, _: value }`'
_FUNCTION = "a function is written `fn name(parameters) = value`"
_IMPORT = 'a recipe is imported by `import "path"`'
_LAYERS = "layers are taken from the first to before the last: `.layers[0..16]`"
_NAMED_LAYERS = 'several stacks of layers are told apart by a name: `.layers("encoder")[0..16]`'
_SAVE = 'a merge is saved by `save model to "path"`'
_SEED = "a seed is a whole number, written out: `seed 42`"
_SWEEP = 'a sweep repeats one `save`: `for t in [0.3, 0.7]: save … to "out-{t}"`'
VALUE = "a value is a name, a number, a string, a list `[a, b]`, a `select { … }` or a call `mean(a, b)`"
_WITH = 'options are written `with dtype="bfloat16"`'


def advice(stop: Stop) -> tuple[str, ...]:
    """Return how what stands at the stop is written in the language, or else what could have stood there."""
    found = _foreign(stop) or _form(stop)
    return (found,) if found else ()


def _foreign(stop: Stop) -> str:
    expected, kind = stop.expected, stop.word.kind
    match kind:
        case "EQUAL" if stop.after("SEED"):
            return "the seed is written without `=`: `seed 42`"
        case "EQUAL" if stop.after("EQUAL"):
            return "a binding has one `=`"
        case "STAR" if stop.after("STAR"):
            return "there is no power operator"
        case "STAR" if "WILDCARD" not in expected and (stop.after("LPAR") or stop.after("COMMA")):
            return "a list is passed as it is: `mean(models)`"
        case "SLASH" if {END, "SAVE"} <= expected:
            return "a comment begins with `#`"
        case "DOT" | "SLASH" if expected >= VALUES:
            return 'a path is a string in double quotes: `"./folder"`'
        case "NAME" if expected == {"EQUAL"} and stop.after("NAME") and stop.recent[-1].text in ("def", "function"):
            return _FUNCTION
        case "STAR" if "WILDCARD" in expected:
            return 'a pattern is a string: `"*.mlp.*"`'
        case "NAME" if "WILDCARD" in expected:
            return "the last case, for all that no pattern matches, is `_: value`"
        case "NAME" if expected == {"STRING"}:
            return 'a path is a string: `"text"`'
        case "LBRACE" if "SELECT" in expected:
            return "braces belong to `select { … }`"
        case "LSQB" if "DOT" in expected:
            return "only the layers of a model are counted: `.layers[0..16]`"
        case "STRING" if "TO" in expected:
            return _SAVE
    return ""


def _form(stop: Stop) -> str:
    """Return how the thing is written that the parser was in."""
    expected = stop.expected
    if expected >= VALUES:
        return VALUE
    match stop.recent[-1].kind if stop.recent else "":
        case "SEED":
            return _SEED
        case "IMPORT":
            return _IMPORT
        case "FN":
            return _FUNCTION
        case "FOR":
            return _SWEEP
        case "TO":
            return _SAVE
        case "WITH":
            return _WITH
    if stop.after("FN", 2):
        return _FUNCTION
    if stop.after("LPAR") and stop.after("LAYERS", 2):
        return _NAMED_LAYERS
    if expected <= {"LAYERS", "NUMBER", "RANGE"} or any(word.kind in ("LAYERS", "RANGE") for word in stop.recent[-2:]):
        return _LAYERS
    if expected == {"EQUAL"}:
        return _FUNCTION if stop.after("RPAR") else "a name is bound by `name = value`"
    if "LBRACE" in expected or ("COLON" in expected and stop.opened):
        return _CASES
    if expected & {"IN", "COLON"} or expected == {"SAVE"}:
        return _SWEEP
    if "TO" in expected:
        return _SAVE
    if stop.after("STAR", 2) and stop.word.kind == "EQUAL":
        return "what takes the rest, such as `*models`, has no default"
    return BETWEEN if END in expected else ""
