"""Find all that is wrong with a recipe, without reading a tensor or asking the Hub."""

from __future__ import annotations

from mergegraph.checkpoint.source import is_local
from mergegraph.diagnostics import Diagnostic, MergeGraphError
from mergegraph.language_server.document import Document
from mergegraph.recipe.recipe import text_attribute


def findings(document: Document, *, headers: bool) -> tuple[Diagnostic, ...]:
    """Return errors, or else warnings. With `headers` the models are opened too, if all of them are on this machine."""
    compilation = document.compilation
    try:
        recipe = compilation.recipe
        local = all(is_local(text_attribute(model, "source"), document.folder) for model in recipe.models)
        return compilation.warnings() if headers and local else (*compilation.text_warnings, *recipe.warnings)
    except MergeGraphError as error:
        return error.diagnostics
    except OSError as error:
        return (Diagnostic("MG540", f"a model can't be read: {error.strerror}", place=str(error.filename)),)
