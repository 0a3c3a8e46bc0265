"""Speak the Language Server Protocol over standard input and output."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from lsprotocol import types as t
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path

from mergegraph import __version__
from mergegraph.diagnostics import Diagnostic, MergeGraphError, Source, Span
from mergegraph.language_server.completion import Item, completions
from mergegraph.language_server.definition import definition
from mergegraph.language_server.document import Document
from mergegraph.language_server.findings import findings
from mergegraph.language_server.hover import hover
from mergegraph.syntax.format import format_text

KINDS = {
    "function": t.CompletionItemKind.Function,
    "parameter": t.CompletionItemKind.Property,
    "variable": t.CompletionItemKind.Variable,
    "keyword": t.CompletionItemKind.Keyword,
    "value": t.CompletionItemKind.Value,
    "file": t.CompletionItemKind.File,
}
TRIGGERS = ["(", ",", ".", '"', "=", "/", "*"]


def make_server() -> LanguageServer:
    """Return a server that knows recipes; `start_io` runs it."""
    server = LanguageServer("mergegraph", __version__)

    def document(uri: str) -> Document:
        return _document(uri, server.workspace.get_text_document(uri).source)

    def publish(uri: str, *, headers: bool) -> None:
        held = document(uri)
        found = [_diagnostic(finding, held.source, uri) for finding in findings(held, headers=headers)]
        server.text_document_publish_diagnostics(t.PublishDiagnosticsParams(uri, found))

    @server.feature(t.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: t.DidOpenTextDocumentParams) -> None:
        publish(params.text_document.uri, headers=True)

    @server.feature(t.TEXT_DOCUMENT_DID_SAVE)
    def saved(params: t.DidSaveTextDocumentParams) -> None:
        _document.cache_clear()
        publish(params.text_document.uri, headers=True)

    @server.feature(t.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: t.DidChangeTextDocumentParams) -> None:
        publish(params.text_document.uri, headers=False)

    @server.feature(t.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: t.DidCloseTextDocumentParams) -> None:
        server.text_document_publish_diagnostics(t.PublishDiagnosticsParams(params.text_document.uri, []))

    @server.feature(t.TEXT_DOCUMENT_HOVER)
    def hovered(params: t.HoverParams) -> t.Hover | None:
        held = document(params.text_document.uri)
        found = hover(held, _offset(held.source, params.position))
        return t.Hover(t.MarkupContent(t.MarkupKind.Markdown, found[0]), _range(found[1])) if found else None

    @server.feature(t.TEXT_DOCUMENT_COMPLETION, t.CompletionOptions(trigger_characters=TRIGGERS))
    def completed(params: t.CompletionParams) -> t.CompletionList:
        held = document(params.text_document.uri)
        offset = _offset(held.source, params.position)
        typed, items = completions(held, offset)
        return t.CompletionList(False, [_item(item, typed, rank) for rank, item in enumerate(items)])

    @server.feature(t.TEXT_DOCUMENT_DEFINITION)
    def defined(params: t.DefinitionParams) -> t.Location | None:
        held = document(params.text_document.uri)
        found = definition(held, _offset(held.source, params.position))
        if found is None:
            return None
        path, span = found
        uri = params.text_document.uri if path is None else from_fs_path(str(path.resolve()))
        return t.Location(uri or params.text_document.uri, _range(span))

    @server.feature(t.TEXT_DOCUMENT_FORMATTING)
    def formatted(params: t.DocumentFormattingParams) -> list[t.TextEdit]:
        held = document(params.text_document.uri)
        if held.is_yaml:
            return []
        try:
            text = format_text(held.source.text, held.source.name)
        except MergeGraphError:
            return []
        whole = Span(held.source, 0, len(held.source.text))
        return [t.TextEdit(_range(whole), text)] if text != held.source.text else []

    return server


@lru_cache(maxsize=8)
def _document(uri: str, text: str) -> Document:
    path = Path(to_fs_path(uri) or uri)
    return Document(Source(str(path), text), path.parent)


def _diagnostic(found: Diagnostic, source: Source, uri: str) -> t.Diagnostic:
    """Return a finding at its place; one about an import or a file is shown at the head of the recipe."""
    here = [label for label in found.labels if label.span.source.text == source.text]
    message = [found.message, *(f"= help: {line}" for line in found.help)]
    return t.Diagnostic(
        range=_range(here[0].span) if here else t.Range(t.Position(0, 0), t.Position(0, 0)),
        message="\n".join(message if here or not found.place else [f"{found.place}: {message[0]}", *message[1:]]),
        severity=t.DiagnosticSeverity.Error if found.severity == "error" else t.DiagnosticSeverity.Warning,
        code=found.code,
        source="mergegraph",
        related_information=[
            t.DiagnosticRelatedInformation(t.Location(uri, _range(label.span)), label.text)
            for label in here[1:]
            if label.text
        ],
    )


def _item(item: Item, typed: Span, rank: int) -> t.CompletionItem:
    """Return a completion that replaces the word or string that is being typed."""
    return t.CompletionItem(
        item.label,
        kind=KINDS[item.kind],
        detail=item.detail or None,
        sort_text=f"{rank:06}",
        filter_text=item.label,
        text_edit=t.TextEdit(_range(typed), item.label),
    )


def _range(span: Span) -> t.Range:
    return t.Range(_position(span.source, span.start), _position(span.source, span.end))


def _position(source: Source, offset: int) -> t.Position:
    """Return the place of an offset as editors count: lines from 0, characters in units of UTF-16."""
    line, column = source.place(offset)
    return t.Position(line - 1, _units(source.line(line)[: column - 1]))


def _offset(source: Source, position: t.Position) -> int:
    lines = source.text.split("\n")
    if position.line >= len(lines):
        return len(source.text)
    start = sum(len(line) + 1 for line in lines[: position.line])
    line = lines[position.line]
    return start + next((n for n in range(len(line)) if _units(line[:n]) >= position.character), len(line))


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
