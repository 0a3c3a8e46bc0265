"""Build C functions with the compiler of the machine, and keep them for the next merge that needs the same."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ctypes import CDLL, c_int64, c_void_p
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory, mkstemp

from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape
from mergegraph.execute.steps import Function
from mergegraph.kernels.native import SOURCES
from mergegraph.system import cache_folder

COMPILERS = ("cc", "gcc", "clang")

FLAGS = (
    *("-x", "c", "-w", "-O3", "-march=native", "-shared", "-fPIC", "-nostdlib"),
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
)
"""A product and a sum are never rounded at once. What is given up are error numbers and traps, that nobody looks at."""

KEPT = 64
"""The most libraries that are kept."""

WITHOUT = "say `--no-compile`: the output has the same bytes"


@dataclass(frozen=True, slots=True)
class Library:
    """Functions, in the order of their texts; `agreed` tells of each whether it does what the kernels do.

    None where that was not found out yet: `keep` takes it.
    """

    functions: tuple[Function, ...]
    agreed: tuple[bool, ...] | None
    _name: str
    _data: bytes

    def keep(self, agreed: Sequence[bool]) -> None:
        """Keep the library, if there is a place for it, with what was found out."""
        record = {"sha256": hashlib.sha256(self._data).hexdigest(), "agreed": list(agreed)}
        with suppress(OSError):
            folder = _shelf()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(folder / f"{self._name}.so", self._data)
            _replace(folder / f"{self._name}.json", json.dumps(record).encode())
            _forget_the_oldest(folder)


def library(texts: Sequence[str]) -> Library:
    """Return the library of functions whose name in their text is `NAME`: one that was kept, or a new one.

    MergeGraphError if there is no compiler (MG460), or if it fails (MG461).
    """
    compiler = _compiler()
    source = _source(texts)
    name = _identity(source, compiler)
    return _kept(name, len(texts)) or _built(source, compiler, name, len(texts))


def _source(texts: Sequence[str]) -> str:
    kernels = (
        resources.files("mergegraph.kernels.native").joinpath(name).read_text(encoding="utf-8") for name in SOURCES
    )
    named = [text.replace("NAME", f"loop{number}", 1) for number, text in enumerate(texts)]
    return "\n".join([*kernels, *named, ""])


def _identity(source: str, compiler: str) -> str:
    """Return what decides the functions and what was found out about them.

    These are the source, the compiler, the processor, and the code that they are compared with.
    """
    program = Path(compiler).resolve()
    found = program.stat()
    ours = [path.read_bytes() for path in _compared_with()]
    parts = (
        *(source, *FLAGS, program, found.st_size, found.st_mtime_ns),
        *(_processor(), platform.libc_ver(), sys.version, version("torch"), version("numpy")),
        *(hashlib.sha256(text).hexdigest() for text in ours),
    )
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


def _compared_with() -> Iterator[Path]:
    """Yield the files that say what the functions must do, and how that is found out."""
    package = Path(__file__).parent.parent
    for folder in ("kernels", "kernels/native", "execute", "plan"):
        yield from sorted((package / folder).glob("*.py"))


def _processor() -> str:
    """Return what tells apart processors for which a compiler makes other code."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        told = dict.fromkeys(line for line in lines if line.startswith(("model name", "flags", "Features", "CPU")))
        return "\n".join(told)
    return " ".join(platform.uname())


def _shelf() -> Path:
    return cache_folder() / "loops"


def _kept(name: str, count: int) -> Library | None:
    """Return the library of a name that was kept, None if there is none, or it is not as it was written."""
    path = _shelf() / f"{name}.so"
    with suppress(OSError, ValueError, KeyError, TypeError):
        if not _ours(path):
            return None
        data, record = path.read_bytes(), json.loads(path.with_suffix(".json").read_bytes())
        if hashlib.sha256(data).hexdigest() != record["sha256"] or len(record["agreed"]) != count:
            return None
        functions = _functions(path, count)
        os.utime(path)
        return Library(functions, tuple(map(bool, record["agreed"])), name, data)
    return None


def _ours(path: Path) -> bool:
    """Tell whether nobody else can have written a file: it is code that this process is to run."""
    return all(
        found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        for found in (path.stat(), path.parent.stat())
    )


def _built(source: str, compiler: str, name: str, count: int) -> Library:
    """Compile functions and load them."""
    with TemporaryDirectory(prefix="mergegraph-") as folder:
        text, loops = Path(folder) / "loops.c", Path(folder) / "loops.so"
        text.write_text(source, encoding="utf-8")
        command = [compiler, *FLAGS, str(text), "-lm", "-o", str(loops)]
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if ended.returncode:
            raise _failed(next(iter(ended.stderr.splitlines()), f"it ended with {ended.returncode}"))
        try:
            return Library(_functions(loops, count), None, name, loops.read_bytes())
        except OSError as error:
            raise _failed(str(error).replace(str(loops), loops.name)) from None


def _functions(path: Path, count: int) -> tuple[Function, ...]:
    loaded = CDLL(str(path))
    functions = [loaded[f"loop{number}"] for number in range(count)]
    for function in functions:
        function.argtypes, function.restype = (c_int64, c_int64, *[c_void_p] * 5), None
    return tuple(functions)


def _replace(path: Path, data: bytes) -> None:
    """Write a file in one step, so that nobody reads a part of it."""
    descriptor, name = mkstemp(dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _forget_the_oldest(folder: Path) -> None:
    libraries = sorted(folder.glob("*.so"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in libraries[KEPT:]:
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)


def _compiler() -> str:
    found = next(filter(None, map(shutil.which, COMPILERS)), None)
    if found is None:
        message = "no C compiler was found to compile the merge with"
        named = f"{', '.join(COMPILERS[:-1])} or {COMPILERS[-1]}"
        help = (f"install one, such as Debian's package `gcc`, so that there is a program {named}", WITHOUT)
        raise MergeGraphError(Diagnostic("MG460", message, help=help, status=1))
    return found


def _failed(reason: str) -> MergeGraphError:
    return MergeGraphError(Diagnostic("MG461", f"the C compiler failed: {escape(reason)}", help=(WITHOUT,), status=1))
