"""Run recipes as a user of the package would, and read what comes out."""

from __future__ import annotations

import hashlib
from pathlib import Path

from families import Tensors, read_model

from mergegraph.compiler import KERNELS_MARGIN_BYTES, MARGIN_BYTES, Compilation
from mergegraph.diagnostics import Source
from mergegraph.merge import Options, Result, merge

PROCESS_BYTES = 300_000_000
"""What plans in tests take this process for, whatever it has by then."""


def tight() -> int:
    """Return a memory cap in which tests stream: what a process begins with, and little more."""
    return PROCESS_BYTES + MARGIN_BYTES + KERNELS_MARGIN_BYTES + 45_000_000


def ample() -> int:
    """Return a memory cap that leaves nothing to the page cache: units hold what they look at more than once."""
    return 1 << 50


def compilation(folder: Path, text: str, *, exact: bool = True) -> Compilation:
    """Return the compilation of a text whose models lie in `folder`."""
    return Compilation(Source("test.merge", text), folder, exact)


def run(folder: Path, text: str, out: Path, *, exact: bool = True, **options: object) -> Result:
    """Run the text of a recipe whose models lie in `folder`."""
    return merge(compilation(folder, text, exact=exact), out, Options(**options))


def merged(folder: Path, text: str, out: Path) -> Tensors:
    """Run the text of a recipe with one `save` and return the tensors it wrote."""
    run(folder, text, out)
    return read_model(out)


def digest(folder: Path) -> str:
    """Return one hash of the names and bytes of all files of a directory, below it too."""
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        whole.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()
