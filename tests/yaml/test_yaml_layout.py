"""`fmt` tidies spaces in YAML, and never a value."""

import pytest

from mergegraph.cli.app import run
from mergegraph.diagnostics import Source
from mergegraph.syntax.yaml.layout import format_yaml

UNTIDY = "\n\n# a comment  \r\nmerge_method: linear   \n\n\n\nmodels: # both\n  - model: ./a \n  - {model:   ./b}\n\n"
TIDY = "# a comment\nmerge_method: linear\n\nmodels: # both\n  - model: ./a\n  - {model:   ./b}\n"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (UNTIDY, TIDY),
        (TIDY, TIDY),
        ("let:\n  a: |\n    one  \n\n\n    two\n", "let:\n  a: |\n    one  \n\n\n    two\n"),
        ("a: 'x  '", "a: 'x  '\n"),
    ],
)
def test_spaces_and_blank_lines(text, result):
    assert format_yaml(Source("x.yml", text)) == result


def test_the_command(tmp_path, capsys):
    path = tmp_path / "x.yml"
    path.write_text(UNTIDY, "utf-8", newline="")
    assert run(["fmt", "--check", str(path)]) == 1
    assert run(["fmt", str(path)]) == 0
    assert path.read_text("utf-8") == TIDY
    assert run(["fmt", "--check", str(path)]) == 0
    assert capsys.readouterr().out == f"would format {path}\nformatted {path}\n"
    path.write_text("a: [", "utf-8")
    assert run(["fmt", str(path)]) == 2
    assert "error[MG151]" in capsys.readouterr().err
