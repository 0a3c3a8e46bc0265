"""The Hugging Face Hub: a model pinned to one commit, headers by ranges of bytes, and the files that a merge needs.

The environment of huggingface_hub holds: `HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE` and the rest.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mergegraph.checkpoint.faults import fault, quoted, warning
from mergegraph.checkpoint.header import Header, read_header, remote_header
from mergegraph.checkpoint.hub_faults import broken_off, full, refusal, unreachable
from mergegraph.diagnostics import Diagnostic, MergeGraphError
from mergegraph.sizes import format_size

FIRST_BYTES = 65_536
"""How much of a weights file is asked for first: most headers are shorter."""

TOGETHER = 8
"""How many headers are fetched at the same time."""

Report = Callable[[int], None]
"""Is told of every number of bytes that arrived."""

Downloading = Callable[[int], AbstractContextManager[Report]]
"""Is called with the bytes of a download before it begins; what it gives is told of them for the length of a block."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Repository:
    """A model of the Hub at the commit that `revision` was when it was resolved.

    `names` are its files, `folder` is where the cache of this machine keeps them.

    `connected` False tells that the Hub could not be asked, and `names` are only those of the cache.
    """

    id: str
    revision: str
    commit: str
    names: frozenset[str]
    folder: Path
    connected: bool = True
    warnings: tuple[Diagnostic, ...] = ()

    def inside(self, folder: str) -> list[str]:
        """Return the sorted names in a folder of the model; none where it has no such folder."""
        head = f"{folder}/" if folder else ""
        return sorted({name[len(head) :].partition("/")[0] for name in self.names if name.startswith(head)})

    def has(self, name: str) -> bool:
        """Tell whether a file has been downloaded."""
        return os.path.exists(self.folder / name)

    def fetch(self, name: str, report: Report | None = None) -> None:
        """Download a file, unless it is there. Raises MG527, MG528, MG542 to MG549, MG570, MG573 and MG574."""
        if name not in self.names or self.has(name):
            return
        from huggingface_hub import hf_hub_download

        place = f"{self.id}@{self.commit[:7]}"
        with _reporting(place):
            try:
                hf_hub_download(self.id, name, revision=self.commit, tqdm_class=_counter(report or (lambda _: None)))
            except Exception as error:
                broken = broken_off(error, name, place)
                if broken is None:
                    raise
                raise broken from error

    def headers(self, paths: Sequence[Path]) -> Iterator[Callable[[], Header]]:
        """Yield, for weights files of this model, what returns the header, or raises what is wrong with it.

        Of files that are not here only the first bytes are downloaded, several at a time.
        """
        with ThreadPoolExecutor(min(TOGETHER, len(paths)), thread_name_prefix="headers") as threads:
            yield from [threads.submit(self._header, path).result for path in paths]

    def _header(self, path: Path) -> Header:
        if os.path.lexists(path):
            return read_header(path)
        with _reporting(f"{self.id}@{self.commit[:7]}"):
            start, size = self._bytes(path.name, 0, FIRST_BYTES)

            def read(offset: int, count: int) -> bytes:
                rest = b""
                if offset + count > len(start):
                    rest, _ = self._bytes(path.name, len(start), offset + count - len(start))
                return (start[offset:] + rest)[:count]

            return remote_header(read, size, path)

    def _bytes(self, name: str, offset: int, count: int) -> tuple[bytes, int]:
        """Return `count` bytes of a file, fewer where it ends, and its whole size. No more of it is read."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.constants import HF_HUB_DOWNLOAD_TIMEOUT
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

        wanted = {"Range": f"bytes={offset}-{offset + count - 1}", "Accept-Encoding": "identity"}
        url = hf_hub_url(self.id, name, revision=self.commit)
        headers = build_hf_headers(headers=wanted)
        with http_stream_backoff(
            "GET", url, headers=headers, timeout=HF_HUB_DOWNLOAD_TIMEOUT, max_retries=2, follow_redirects=True
        ) as response:
            size = _size(response.headers)
            if response.status_code == 416 and size == 0:
                return b"", 0
            hf_raise_for_status(response)
            if size is None:
                message = f"the server does not say how long {quoted(name)} is"
                raise fault("MG549", message, url, "download the model first")
            # A server that knows no ranges begins at the start.
            skipped = 0 if response.status_code == 206 else offset
            data = bytearray()
            for piece in response.iter_bytes(FIRST_BYTES):
                data += piece
                if len(data) >= skipped + count:
                    break
        found = bytes(data[skipped : skipped + count])
        if len(found) < min(count, size - offset):
            raise fault("MG573", f"the download of {quoted(name)} broke off", url, "run again")
        return found, size


def unseen(_: int) -> AbstractContextManager[Report]:
    """Tell nobody of a download."""
    return nullcontext(lambda _: None)


def resolve(id: str, revision: str | None) -> Repository:
    """Return a model of the Hub at the commit that a revision is now. One small answer is all that is asked for.

    Without a network, or with `HF_HUB_OFFLINE` set, it is the commit that the cache knows for the revision. Raises
    MG527, MG528, MG542 to MG545, MG547, MG549 and MG574.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_ETAG_TIMEOUT

    place = id if revision is None else f"{id}@{revision}"
    try:
        with _reporting(place):
            info = HfApi().model_info(id, revision=revision, timeout=HF_HUB_ETAG_TIMEOUT)
    except BaseException as error:
        found = _cached(id, revision, place) if unreachable(error) else None
        if found is None:
            raise
        return found
    if info.sha is None or not _COMMIT.fullmatch(info.sha):
        raise fault("MG549", "the server's answer is not one of the Hub: it has no commit", place)
    names = frozenset(file.rfilename for file in info.siblings or () if _is_safe(file.rfilename))
    return Repository(id, revision or "main", info.sha, names, _folder(id, info.sha))


def _cached(id: str, revision: str | None, place: str) -> Repository | None:
    """Return what the cache holds of a revision, None if that is nothing."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import is_offline_mode
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(id, revision=revision, local_files_only=True, allow_patterns=[]))
    except LocalEntryNotFoundError:
        return None
    names = frozenset(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    message = f"the Hub cannot be reached; commit {folder.name[:7]} is used, the last that was downloaded"
    warnings = () if is_offline_mode() or _COMMIT.fullmatch(revision or "") else (warning("MG572", message, place),)
    return Repository(id, revision or "main", folder.name, names, folder, connected=False, warnings=warnings)


def _folder(id: str, commit: str) -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name

    cache = Path(HF_HUB_CACHE).expanduser().resolve()
    return cache / repo_folder_name(repo_id=id, repo_type="model") / "snapshots" / commit


def _is_safe(name: str) -> bool:
    path = PurePosixPath(name)
    return path.as_posix() == name and not path.is_absolute() and ".." not in path.parts and not {*"\\\0"} & {*name}


def _size(headers: Mapping[str, str]) -> int | None:
    """Return the size of a whole file from the headers of an answer with all or some of its bytes."""
    _, slash, total = headers.get("Content-Range", "").rpartition("/")
    total = total if slash else headers.get("Content-Length", "")
    return int(total) if total.isdecimal() else None


def fetch_all(files: Iterable[tuple[Repository, str]], nbytes: int, report: Report) -> None:
    """Download files of the Hub, about `nbytes` in all, into the cache that all programs share.

    One after the other, in this thread: the client spreads a file over connections itself, and only so does Ctrl-C stop
    it. Files that are complete are kept whatever happens. Raises what `Repository.fetch` raises, and MG570 at the start
    where the disk can't hold them.
    """
    waiting = [(repository, name) for repository, name in files if not repository.has(name)]
    if waiting:
        _refuse_full_disk(waiting[0][0].folder, nbytes)
    for repository, name in waiting:
        repository.fetch(name, report)
    for repository in dict.fromkeys(repository for repository, _ in waiting):
        _remember(repository)


def _remember(repository: Repository) -> None:
    """Let the cache know which commit a branch or tag was, as huggingface_hub does: what is used without a network."""
    if _COMMIT.fullmatch(repository.revision) or not _is_safe(repository.revision):
        return
    reference = repository.folder.parent.parent / "refs" / repository.revision
    with suppress(OSError):
        reference.parent.mkdir(parents=True, exist_ok=True)
        temporary = reference.with_name(f"{reference.name}.{os.getpid()}")
        temporary.write_text(repository.commit, "utf-8")
        temporary.replace(reference)


def _refuse_full_disk(folder: Path, nbytes: int) -> None:
    place = next(path for path in folder.parents if path.exists())
    free = shutil.disk_usage(place).free
    if free < nbytes:
        message = f"{format_size(nbytes)} have to be downloaded, and the disk of the cache has {format_size(free)} free"
        raise full(message, str(place))


def _counter(report: Report) -> type[Any]:
    """Return what huggingface_hub takes for a progress bar: it only passes on how many bytes of a file arrived."""

    class Counter:
        def __init__(self, **_: object) -> None:
            self.total = None

        def update(self, count: float | None = 1) -> None:
            report(int(count or 0))

        def update_transfer(self, count: float | None = 1) -> None:
            """Take what went over the network, which can be less than what it makes."""

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def __getattr__(self, name: str) -> Any:
            return lambda *_, **options: None

    return Counter


@contextmanager
def _reporting(place: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into errors that say what to do."""
    try:
        yield
    except MergeGraphError:
        raise
    except Exception as error:
        raise refusal(error, place) from error
