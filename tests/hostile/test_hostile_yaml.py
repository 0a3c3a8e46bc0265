"""YAML that is made to confuse or to stall: a diagnostic with code and line, at once."""

import time

import pytest

from mergegraph.compiler import read_recipe
from mergegraph.diagnostics import MergeGraphError, Source
from mergegraph.syntax.yaml.load import MAX_DEPTH, load

CASES = {
    "lists in lists": ("[" * 100_000, "MG156", 1),
    "maps in maps": ("\n".join(" " * i + "a:" for i in range(1000)), "MG156", 65),
    "dashes": ("- " * 50_000, "MG156", 1),
    "question marks": ("? " * 50_000, "MG156", 1),
    "a cycle": ("&a [*a]", "MG154", 1),
    "many laughs": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "MG154", 1),
    "a tag that runs code": ("!!python/object/apply:os.system [ls]", "MG155", 1),
    "a tag of one's own": ("%TAG ! tag:example.com,2000:\n---\n!foo bar", "MG155", 3),
    "a duplicate": ("a: 1\nb: 2\na: 3", "MG153", 3),
    "a tab": ("a:\n\tb: 1", "MG152", 2),
    "NUL": ("a: \0", "MG108", 1),
    "UTF-16 read as Latin": ("m\0e\0r\0", "MG108", 1),
    "a byte order mark inside": ("a: \ufeffb", "MG108", 1),
    "right to left": ("a: \u202eb", "MG108", 1),
    "a map as a key": ("? {a: b}\n: c", "MG157", 1),
    "a list as a key": ("{[a]: b}", "MG157", 1),
    "no end": ('a: "' + "x" * 10_000, "MG151", 1),
    "brackets that do not fit": ("a: [}", "MG151", 1),
    "an escape beyond Unicode": ('a: "\\UFFFFFFFF"', "MG159", 1),
    "half a character": ('a: "\\uD800"', "MG159", 1),
    "no character": ("a: \ufffe", "MG151", 1),
    "a directive of 5,000 digits": ("%YAML 1." + "9" * 5000 + "\n---\na: b", "MG159", 1),
    "an old directive": ("%YAML 9.9\n---\na: b", "MG151", 1),
}


@pytest.mark.parametrize(("text", "code", "line"), CASES.values(), ids=CASES)
def test_hostile_text(text, code, line):
    begin = time.process_time()
    with pytest.raises(MergeGraphError) as caught:
        load(Source("hostile.yml", text))
    assert time.process_time() - begin < 0.1
    first = caught.value.diagnostics[0]
    assert first.code == code
    assert first.labels[0].span.source.place(first.labels[0].span.start)[0] == line


def test_ten_megabytes_are_refused_unread():
    source = Source("large.yml", "# comment\n" * 1_000_000)
    begin = time.process_time()
    with pytest.raises(MergeGraphError, match="has 10,000,000 bytes; at most 1,048,576 are read"):
        load(source)
    assert time.process_time() - begin < 0.1


def test_the_deepest_that_is_read():
    load(Source("deep.yml", "[" * MAX_DEPTH + "x" + "]" * MAX_DEPTH))
    for opener, closer in ("[", "]"), ("[x, ", "]"), ("{x: ", "}"):
        with pytest.raises(MergeGraphError, match="MG156"):
            load(Source("deep.yml", opener * (MAX_DEPTH + 1) + "x" + closer * (MAX_DEPTH + 1)))


@pytest.mark.parametrize("number", ["9" * 5000, ".nan", "-.inf", "1e999", "0x" + "f" * 500])
def test_numbers_that_are_none(number, tmp_path):
    text = f"merge_method: linear\nmodels:\n  - model: ./a\n    parameters: {{weight: {number}}}\n"
    (tmp_path / "a.yml").write_text(text)
    compilation = read_recipe(tmp_path / "a.yml")
    begin = time.process_time()
    with pytest.raises(MergeGraphError, match=r"a\.yml:4:26") as caught:
        compilation.syntax  # noqa: B018 - computing it is what is tested
    assert time.process_time() - begin < 0.1
    assert [d.code for d in caught.value.diagnostics] == ["MG158"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_other_encodings(encoding, tmp_path):
    (tmp_path / "a.yml").write_bytes("merge_method: linéar".encode(encoding))
    with pytest.raises(MergeGraphError, match=r"MG540|MG108") as caught:
        read_recipe(tmp_path / "a.yml").syntax  # noqa: B018 - computing it is what is tested
    assert caught.value.exit_code == 2


def test_a_byte_order_mark_and_foreign_line_ends_are_read(tmp_path):
    (tmp_path / "a.yml").write_bytes(b"\xef\xbb\xbfmerge_method: linear\r\nmodels:\r\n  - model: ./a\r\n")
    assert len(read_recipe(tmp_path / "a.yml").syntax.statements) == 3
