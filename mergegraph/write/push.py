"""Upload a finished output to the Hugging Face Hub: verified before, and in one commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from shlex import join
from typing import Any

from mergegraph.checkpoint.hub_faults import LOGIN, causes, first_line
from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape, listed
from mergegraph.write.verify import verify_directory

_WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json")
_OF_EVERY_REPOSITORY = frozenset({".gitattributes", "README.md"})


@dataclass(frozen=True, slots=True)
class Pushed:
    """Where an output is on the Hub: its id with the user's name, and the address of the commit."""

    repository: str
    url: str


def check_access(repository: str) -> None:
    """Raise, before a merge takes its time, what a push would raise without a network, or a token that may write.

    One request. The Hub has the last word: a token of narrow rights may still be refused by the push.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import validate_repo_id

    with _reporting(repository, ()):
        validate_repo_id(repository)
        user = HfApi().whoami()
    if not _may_write(user, repository):
        help = f"use one that may: {LOGIN}"
        raise MergeGraphError(_finding("MG652", "the token may not write to this repository", repository, help))


def _may_write(user: Mapping[str, Any], repository: str) -> bool:
    """Tell whether a token may write, as far as the Hub says so: not if it only reads, or the name is of others."""
    if ((user.get("auth") or {}).get("accessToken") or {}).get("role") == "read":
        return False
    owner, slash, _ = repository.partition("/")
    names = {user.get("name"), *(organisation.get("name") for organisation in user.get("orgs") or ())}
    return not slash or owner in names


def push(out: Path, repository: str, *, private: bool = False, overwrite: bool = False, bars: bool = False) -> Pushed:
    """Make a repository where there is none, and commit all files of an output to it.

    Raise MG650 for an output that is not complete and unchanged, MG651 to MG655 for what the Hub or the network refuse,
    MG656 where the repository holds a model already, unless `overwrite`: that takes the place of its weights. The
    output stays as it is whatever happens. `bars` lets huggingface_hub show on stderr how far it is.
    """
    _refuse_unverified(out)
    again = (f"the output is complete; try again with: {_command(out, repository, private=private)}",)
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    files = {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if _is_pushed(path, out)}
    api = HfApi()
    with _reporting(repository, again), nullcontext() if bars else _without_bars():
        id = api.create_repo(repository, private=private or None, exist_ok=True).repo_id
        there = [file.rfilename for file in api.model_info(id).siblings or ()]
        if not overwrite:
            _refuse_occupied(there, id, again)
        removed = [CommitOperationDelete(name) for name in there if name.endswith(_WEIGHTS) and name not in files]
        added = [CommitOperationAdd(name, str(path)) for name, path in files.items()]
        done = api.create_commit(id, [*removed, *added], commit_message=f"Merge {out.resolve().name} with MergeGraph")
    return Pushed(id, str(done.commit_url))


def _refuse_unverified(out: Path) -> None:
    found = verify_directory(out)
    if found:
        message = "this output is not complete and unchanged, so it is not pushed"
        raise MergeGraphError(_finding("MG650", message, str(out), "merge again, and push the result"), *found)


def _refuse_occupied(there: list[str], id: str, again: tuple[str, ...]) -> None:
    others = sorted(set(there) - _OF_EVERY_REPOSITORY)
    if others:
        message = f"the repository `{escape(id)}` has files already: {listed(others)}"
        help = (f"{again[0]} --overwrite", "that replaces its weights; its history keeps them")
        raise MergeGraphError(_finding("MG656", message, id, *help))


def _is_pushed(path: Path, out: Path) -> bool:
    return path.is_file() and not any(part.startswith(".") for part in path.relative_to(out).parts)


def _command(out: Path, repository: str, *, private: bool) -> str:
    return escape(join(["mergegraph", "push", str(out), repository, *(["--private"] if private else [])]))


@contextmanager
def _without_bars() -> Iterator[None]:
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextmanager
def _reporting(repository: str, again: tuple[str, ...]) -> Iterator[None]:
    """Turn what huggingface_hub raises into errors that say what to do."""
    try:
        yield
    except MergeGraphError:
        raise
    except Exception as error:
        code, message, *help = _told(error)
        raise MergeGraphError(_finding(code, message, repository, *help, *again)) from error


def _told(error: Exception) -> tuple[str, ...]:
    """Return code, message and help for what happened."""
    from huggingface_hub import errors as hub

    found = list(causes(error))
    for cause in found:
        match cause:
            case hub.OfflineModeIsEnabled():
                return "MG655", "nothing can be pushed while HF_HUB_OFFLINE is set", "unset it"
            case hub.LocalTokenNotFoundError():
                return "MG651", "the Hub has to know who you are", LOGIN
            case hub.HFValidationError():
                return "MG653", f"this can't be the name of a repository: {first_line(cause)}", "write `name/model`"
            case hub.HfHubHTTPError():
                return _status(cause, cause.response.status_code)
    return "MG654", f"the Hub cannot be reached: {first_line(found[-1])}"


def _status(error: Exception, status: int) -> tuple[str, ...]:
    if status == 401:
        return "MG651", "the Hub does not accept the token", LOGIN
    if status in (403, 404):
        return "MG652", "the token may not write to this repository", f"use one that may: {LOGIN}"
    if status == 429 or status >= 500:
        return "MG654", f"the Hub takes no uploads now (status {status})"
    return "MG654", f"the Hub refuses: {first_line(error)}"


def _finding(code: str, message: str, place: str, *help: str) -> Diagnostic:
    return Diagnostic(code, message, place=place, help=help)
