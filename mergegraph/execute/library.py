"""Build C functions with the compiler of the machine, and keep them for the next merge that needs the same."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
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

PLAIN = ("-x", "c", "-w", "-O0", "-march=native", "-shared", "-fPIC", "-nostdlib", "-ffp-contract=off")
"""One operation after the other is done, as it is written."""

KEPT = 64
"""The most libraries that are kept."""

WITHOUT = "say `--no-compile`: the output has the same bytes"


@dataclass(frozen=True, slots=True)
class Library:
    """Functions, in the order of their texts; `agreed` tells of each whether it gives the bits that it should.

    None where that was not found out yet: it is to be compared with that of `plain`, and `keep` takes what was found.
    """

    functions: tuple[Function, ...]
    agreed: tuple[bool, ...] | None
    plain: tuple[Function, ...]
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

    These are the source, the compiler, the processor, and the code that calls and compares them.
    """
    program = Path(compiler).resolve()
    found = program.stat()
    ours = [path.read_bytes() for path in _callers()]
    parts = (
        *(source, *FLAGS, *PLAIN, program, found.st_size, found.st_mtime_ns),
        *(_processor(), platform.libc_ver(), sys.version, version("numpy")),
        *(hashlib.sha256(text).hexdigest() for text in ours),
    )
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


def _callers() -> Iterator[Path]:
    """Yield the files that say what the functions are given, and how they are compared."""
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
        return Library(functions, tuple(map(bool, record["agreed"])), (), name, data)
    return None


def _ours(path: Path) -> bool:
    """Tell whether nobody else can have written a file: it is code that this process is to run."""
    return all(
        found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        for found in (path.stat(), path.parent.stat())
    )


def _built(source: str, compiler: str, name: str, count: int) -> Library:
    """Compile functions twice, side by side, and load them. MergeGraphError (MG461) if that fails in any way."""
    try:
        with TemporaryDirectory(prefix="mergegraph-") as folder:
            text, loops, plain = (Path(folder) / each for each in ("loops.c", "loops.so", "plain.so"))
            text.write_text(source, encoding="utf-8")
            started = [_start(compiler, flags, text, path) for flags, path in ((FLAGS, loops), (PLAIN, plain))]
            # All have ended before one is looked at: the folder goes with what they write.
            for reason in [_reason(process) for process in started]:
                if reason:
                    raise _failed(reason)
            return Library(_functions(loops, count), None, _functions(plain, count), name, loops.read_bytes())
    except OSError as error:
        # What can't be loaded is named with the folder, which is gone by now.
        raise _failed(error.strerror or re.sub(r"\S+/(?=\w+\.so)", "", str(error))) from None


def _start(compiler: str, flags: Sequence[str], text: Path, path: Path) -> subprocess.Popen[str]:
    command = [compiler, *flags, str(text), "-lm", "-o", str(path)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")


def _reason(process: subprocess.Popen[str]) -> str:
    """Wait for a compiler; return why it failed, if it did."""
    _, told = process.communicate()
    return next(iter(told.splitlines()), f"it ended with {process.returncode}") if process.returncode else ""


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


def has_compiler() -> bool:
    """Tell whether there is a compiler."""
    return _found() is not None


def _found() -> str | None:
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def _compiler() -> str:
    found = _found()
    if found is None:
        message = "no C compiler was found to compile the merge with"
        named = f"{', '.join(COMPILERS[:-1])} or {COMPILERS[-1]}"
        help = (f"install one, such as Debian's package `gcc`, so that there is a program {named}", WITHOUT)
        raise MergeGraphError(Diagnostic("MG460", message, help=help, status=1))
    return found


def _failed(reason: str) -> MergeGraphError:
    return MergeGraphError(Diagnostic("MG461", f"the C compiler failed: {escape(reason)}", help=(WITHOUT,), status=1))
