"""An editor talks to `mergegraph lsp` over standard input and output, about whole recipes and half-typed ones."""

import asyncio
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from families import make_family
from lsprotocol import types as t
from pygls.lsp.client import LanguageClient

RECIPE = """\
# Two fine-tunes of one base.
import "own.merge"
base = model("./base")
a = model("./a")
b = model("./b")

fn half(x, base) = base + 0.5 * (x - base)

density = select { "*.self_attn.*": 0.4, _: 0.5 }
merged = ties(a, b, base=base, density=density)
save halve(half(merged, base)) to "out" with dtype="bfloat16"
save stack(a.layers[0..1], b.layers[1..2], rest=a) to "tall"
"""
OWN = "# Go half of the way.\nfn halve(x) = 0.5 * x + 0.5 * x\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("editor")
    make_family(folder, models=("base", "a", "b"))
    (folder / "own.merge").write_text(OWN)
    return folder


class Editor:
    """One text in an editor; `|` in it is where the cursor stands."""

    def __init__(self, client, uri, published):
        self.client, self.uri, self.published = client, uri, published

    async def type(self, text):
        """Replace the whole text; return what the server finds wrong with it."""
        changes = [t.TextDocumentContentChangeWholeDocument(text)]
        self.client.text_document_did_change(
            t.DidChangeTextDocumentParams(t.VersionedTextDocumentIdentifier(2, self.uri), changes)
        )
        return list((await asyncio.wait_for(self.published.get(), 30)).diagnostics)

    async def at(self, text):
        """Replace the text and return what a request about the cursor needs."""
        before, _, after = text.partition("|")
        await self.type(before + after)
        lines = before.split("\n")
        units = len(lines[-1].encode("utf-16-le")) // 2
        return t.TextDocumentIdentifier(self.uri), t.Position(len(lines) - 1, units)

    async def complete(self, text):
        document, position = await self.at(text)
        found = await self.client.text_document_completion_async(t.CompletionParams(document, position))
        return {item.label: item for item in found.items}

    async def hover(self, text):
        document, position = await self.at(text)
        found = await self.client.text_document_hover_async(t.HoverParams(document, position))
        return found.contents.value if found else None

    async def define(self, text):
        document, position = await self.at(text)
        found = await self.client.text_document_definition_async(t.DefinitionParams(document, position))
        return (Path(found.uri.removeprefix("file://")).name, found.range.start.line) if found else None

    async def format(self, text):
        await self.type(text)
        document, options = t.TextDocumentIdentifier(self.uri), t.FormattingOptions(4, True)
        return await self.client.text_document_formatting_async(t.DocumentFormattingParams(document, options))


@pytest.fixture(scope="module")
def edit(folder):
    """Return what runs one scene in an editor; all scenes have the same server."""
    loop = asyncio.new_event_loop()
    client = LanguageClient("editor", "1")
    published = asyncio.Queue()
    client.feature(t.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(lambda found: published.put_nowait(found))
    uri = (folder / "recipe.merge").as_uri()

    async def begin():
        await client.start_io(sys.executable, "-m", "mergegraph", "lsp", cwd=folder)
        await client.initialize_async(t.InitializeParams(t.ClientCapabilities(), root_uri=folder.as_uri()))
        client.initialized(t.InitializedParams())
        item = t.TextDocumentItem(uri, "mergegraph", 1, RECIPE)
        client.text_document_did_open(t.DidOpenTextDocumentParams(item))
        assert not (await asyncio.wait_for(published.get(), 60)).diagnostics

    async def end():
        await client.shutdown_async(None)
        client.exit(None)
        await client.stop()

    loop.run_until_complete(begin())
    yield lambda scene: loop.run_until_complete(scene(Editor(client, uri, published)))
    loop.run_until_complete(end())
    loop.close()


def test_all_findings_at_once_with_places_and_help(edit):
    text = 'a = model("./a")\nm = mean(a, weight=2, wieght=1)\nn = tiess(a, base=a)\nsave m to "out"\n'
    found = edit(lambda editor: editor.type(text))
    assert [(d.code, d.range.start.line, d.range.start.character) for d in found] == [("MG212", 1, 22), ("MG204", 2, 4)]
    assert found[1].message == (
        "unknown function `tiess`\n= help: did you mean `ties`?  (`mergegraph methods` lists them)"
    )
    assert found[1].severity == t.DiagnosticSeverity.Error


def test_saving_looks_at_the_models_too(edit, folder):
    async def scene(editor):
        await editor.type('a = model("./a")\nsave stack(a.layers[0..9], rest=a) to "out"\n')
        document = t.TextDocumentIdentifier(editor.uri)
        editor.client.text_document_did_save(t.DidSaveTextDocumentParams(document))
        return (await asyncio.wait_for(editor.published.get(), 30)).diagnostics

    assert [(d.code, d.message) for d in edit(scene)] == [
        ("MG312", "this model has only 2 layers\n= help: `.layers[0..2]` takes all of them")
    ]


def test_places_are_counted_as_editors_count(edit):
    (found,) = edit(lambda editor: editor.type('a = model("./a")\nsave mean(a, "😀😀", c) to "out"\n'))
    assert found.code == "MG201"
    assert (found.range.start.character, found.range.end.character) == (21, 22)


def test_findings_in_yaml(edit, folder):
    async def scene(editor):
        uri = (folder / "linear.yml").as_uri()
        text = "merge_method: linear\nmodles:\n  - model: ./a\n"
        item = t.TextDocumentItem(uri, "yaml", 1, text)
        editor.client.text_document_did_open(t.DidOpenTextDocumentParams(item))
        return await asyncio.wait_for(editor.published.get(), 30)

    published = edit(scene)
    assert published.uri.endswith("linear.yml")
    assert [(d.code, d.range.start.line) for d in published.diagnostics] == [("MG160", 1)]


def test_a_model_that_is_not_here_is_no_finding_while_typing(edit):
    assert edit(lambda editor: editor.type('save model("org/name") to "out"\n')) == []


@pytest.mark.parametrize(
    ("typed", "expected", "others"),
    [
        ("sa|", {"save", "import", "for", "fn", "seed"}, {"a", "ties"}),
        ("x = |", {"a", "base", "density", "ties", "slerp", "halve", "half", "select"}, {"save"}),
        ("x = ties(a, ba|", {"base=", "weight=", "density=", "b", "slerp"}, {"t="}),
        ("x = ties(a, base=base, |", {"weight=", "density="}, {"base="}),
        ("x = half(|", {"x=", "base="}, {"weight="}),
        ('x = select { "*.self|', {"*.self_attn.*", "*.mlp.*", "lm_head.weight", "model.layers.1.*"}, {"a"}),
        ("x = stack(a.|", {"layers[0..2]"}, {"a"}),
        ('x = a.layers("|', {"model.layers"}, {"a"}),
        ('x = model("./|', {"./a", "./b", "./base", "./own.merge"}, {"a"}),
        ('import "|', {"./own.merge"}, {"a"}),
        ('save a to "out" with |', {"dtype=", "tokenizer=", "shard_size="}, {"a"}),
        ('save a to "out" with dtype="b|', {"bfloat16", "float32"}, {"a"}),
        ('save a to "out" with dtype="float32", tokenizer="|', {"base", "a", "b"}, {"ties"}),
        ('x = drop(a - base, density=0.3, rescale="|', {"l1", "inverse", "none"}, {"a"}),
        ("# a comment |", set(), {"a", "save"}),
    ],
)
def test_completion_of_half_a_line(edit, typed, expected, others):
    before, after = RECIPE.split("density =")
    text = before + typed + "\ndensity =" + after
    found = edit(lambda editor: editor.complete(text))
    assert expected <= found.keys()
    assert not others & found.keys()


def test_a_completion_replaces_what_was_typed_and_says_what_it_is(edit):
    found = edit(lambda editor: editor.complete(RECIPE + 'x = select { "*.self|'))
    item = found["*.self_attn.*"]
    assert item.detail == "8 tensors"
    assert item.text_edit.new_text == "*.self_attn.*"
    assert (item.text_edit.range.start.character, item.text_edit.range.end.character) == (14, 20)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("t|ies(a", "TIES: trim each task vector, elect a sign per weight, average what agrees."),
        ("half(merged", "fn half(x, base) = base + 0.5 * (x - base)"),
        ("halve(", "# Go half of the way.\nfn halve(x) = 0.5 * x + 0.5 * x"),
        ("a.layers", "layers: `model.layers` × 2"),
        ("./b", "types: bfloat16 × "),
        ("*.self_attn.*", "matches 8 of 21 tensors\n\n- `model.layers.0.self_attn.k_proj.weight`"),
        ("merged, base", "merged = ties(a, b, base=base, density=density)\n```\n\na Model"),
        ("base=base, density", "parameter `base`"),
    ],
)
def test_hover(edit, place, expected):
    marked = place if "|" in place else f"|{place}"
    assert expected in edit(lambda editor: editor.hover(RECIPE.replace(place.replace("|", ""), marked, 1)))


def test_hover_over_a_text_with_a_broken_line(edit):
    text = RECIPE.replace("density = select", "broken = mean(a,\ndensity = select").replace("ties(a", "t|ies(a")
    assert "TIES: trim each task vector" in edit(lambda editor: editor.hover(text))


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("merged, base", ("recipe.merge", 9)),
        ("half(merged", ("recipe.merge", 6)),
        ("x - base", ("recipe.merge", 6)),
        ("halve(", ("own.merge", 1)),
        ("own.merge", ("own.merge", 0)),
        ("0.5 * (x", None),
    ],
)
def test_definition(edit, place, expected):
    assert edit(lambda editor: editor.define(RECIPE.replace(place, f"|{place}", 1))) == expected


def test_definition_of_a_method_is_in_the_prelude(edit):
    file, line = edit(lambda editor: editor.define(RECIPE.replace("ties(", "t|ies(")))
    assert file == "task_vectors.merge"
    prelude = files("mergegraph.prelude") / file
    assert prelude.read_text().splitlines()[line].startswith("fn ties(")


def test_formatting(edit):
    (found,) = edit(lambda editor: editor.format('a=model( "./a" )\nsave   a to "out"'))
    assert found.new_text == 'a = model("./a")\nsave a to "out"\n'
    assert (found.range.start.line, found.range.end.line) == (0, 1)


def test_what_can_not_be_parsed_is_not_formatted(edit):
    assert not edit(lambda editor: editor.format("a = model("))


def test_every_beginning_of_a_recipe_can_be_asked_about(edit):
    async def scene(editor):
        for end in range(0, len(RECIPE), 19):
            await editor.complete(RECIPE[:end] + "|")
            await editor.hover(RECIPE[:end] + "|")

    edit(scene)


def test_the_server_ends_as_it_is_told_to():
    messages = ['{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}']
    messages += ['{"jsonrpc":"2.0","id":2,"method":"shutdown"}', '{"jsonrpc":"2.0","method":"exit"}']
    sent = "".join(f"Content-Length: {len(message)}\r\n\r\n{message}" for message in messages)
    command = [sys.executable, "-m", "mergegraph", "lsp"]
    done = subprocess.run(command, input=sent, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert '"id": 2' in done.stdout
    assert "MG999" not in done.stderr
