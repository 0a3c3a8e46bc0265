"""Colour recipes with Pygments: in terminals, documentation and notebooks."""

from __future__ import annotations

from pygments.lexer import RegexLexer, bygroups, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Text

KEYWORDS = ("fn", "select", "save", "to", "with", "for", "in", "seed", "import")
CONSTANTS = ("true", "false", "none")
CALLED = r"(?=[ \t]*\()"
NAMES = r"(?=[ \t]*=(?!=))"


class RecipeLexer(RegexLexer):  # type: ignore[misc]
    """The lexer of MergeGraph recipes."""

    name = "MergeGraph recipe"
    aliases = ["mergegraph", "merge"]  # noqa: RUF012 - Pygments reads plain lists
    filenames = ["*.merge"]  # noqa: RUF012
    mimetypes = ["text/x-mergegraph"]  # noqa: RUF012
    url = ""

    tokens = {  # noqa: RUF012
        "root": [
            (r"\s+", Text),
            (r"#[^\n]*", Comment.Single),
            (r'"', String.Double, "string"),
            (r"(fn)(\s+)([A-Za-z_]\w*)", bygroups(Keyword, Text, Name.Function)),
            (r"(seed)(?=\s*[=,)])", Name),
            (words(KEYWORDS, suffix=r"(?!\w)"), Keyword),
            (words(CONSTANTS, suffix=r"(?!\w)"), Keyword.Constant),
            (r"_(?!\w)", Keyword),
            (r"(\.)(layers)(?!\w)", bygroups(Operator, Name.Attribute)),
            (r"[A-Za-z_]\w*" + CALLED, Name.Function),
            (r"^[A-Za-z_]\w*" + NAMES, Name.Variable),
            (r"[A-Za-z_]\w*" + NAMES, Name.Attribute),
            (r"[A-Za-z_]\w*", Name),
            (r"[0-9]+(_[0-9]+)*(\.[0-9]+(_[0-9]+)*)?([eE][+-]?[0-9]+)?(?!\w)", Number),
            (r"\.\.|<=|>=|==|!=|[<>+\-*/=?]", Operator),
            (r"[()\[\]{},:]", Punctuation),
        ],
        "string": [
            (r"\\.", String.Escape),
            (r"\{[A-Za-z_]\w*\}", String.Interpol),
            (r'[^"\\{\n]+|\{', String.Double),
            (r'"|(?=\n)', String.Double, "#pop"),
        ],
    }
