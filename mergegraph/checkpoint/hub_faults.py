"""Say in plain words why the Hub, the network or the cache failed, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from mergegraph.checkpoint.faults import cut, fault, quoted
from mergegraph.diagnostics import Diagnostic, MergeGraphError, escape

LOCAL = "a folder is named by a path that begins with `./`, `/` or `~`"
LOGIN = "log in with `hf auth login`, or set HF_TOKEN"

_BROKEN_OFF = frozenset({"ReadTimeout", "ReadError", "RemoteProtocolError"})
"""How the errors are called that the client of HTTP raises when an answer has begun and does not end."""

_UNREACHABLE = frozenset({"MG527", "MG547", "MG574"})


def unreachable(error: BaseException) -> bool:
    """Tell whether it is only that the Hub can't be asked now, so that what the cache holds may do."""
    return isinstance(error, MergeGraphError) and error.diagnostics[0].code in _UNREACHABLE


def refusal(error: Exception, place: str) -> MergeGraphError:
    """Return the error for what huggingface_hub raised about the model, or the file of a model, at `place`."""
    found = list(causes(error))
    for cause in found:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return full("the disk of the Hub's cache is full", place)
    return _told(found, place) or fault("MG527", f"the Hub cannot be reached: {first_line(found[-1])}", place, LOCAL)


def broken_off(error: Exception, name: str, place: str) -> MergeGraphError | None:
    """Return the error for a server that stopped in the middle of a file, None for any other failure."""
    for cause in causes(error):
        if type(cause).__name__ in _BROKEN_OFF:
            message = f"the download of {quoted(name)} broke off several times: {first_line(cause)}"
            patience = "HF_HUB_DOWNLOAD_TIMEOUT is how many seconds a silent server is waited for"
            return fault("MG573", message, place, "run again: files that are complete are kept", patience)
    return None


def full(message: str, place: str) -> MergeGraphError:
    """Return the error for a cache that has no space left."""
    help = ("free some space, or let HF_HOME name a folder on another disk; what is complete is kept",)
    return MergeGraphError(Diagnostic("MG570", message, place=place, help=help, status=4))


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it was made from: the client wraps what it met."""
    while True:
        yield error
        following = error.__cause__
        if following is None:
            return
        error = following


def _told(found: list[BaseException], place: str) -> MergeGraphError | None:
    """Return the error for an answer of the Hub. A private model looks like one that does not exist."""
    from huggingface_hub import errors as hub

    for cause in found:
        match cause:
            case hub.OfflineModeIsEnabled():
                message = "this model is not in the cache of this machine, and HF_HUB_OFFLINE is set"
                return fault("MG547", message, place, "unset HF_HUB_OFFLINE to download it", LOCAL)
            case hub.GatedRepoError():
                message = "the Hub gives this model only to those who have accepted its conditions"
                return fault("MG544", message, place, f"accept them on its page; then {LOGIN}")
            case hub.RepositoryNotFoundError():
                message = "the Hub has no such model, or it is private"
                return fault("MG542", message, place, f"if it is private, {LOGIN}", LOCAL)
            case hub.RevisionNotFoundError():
                help = "a revision is a branch, a tag or a commit: its page lists them under `Files and versions`"
                return fault("MG545", "the model has no such revision", place, help)
            case hub.EntryNotFoundError() if isinstance(cause, hub.HfHubHTTPError):
                message = "a file of this commit is no longer there"
                return fault("MG546", message, place, "its history may have been rewritten: run again")
            case hub.HfHubHTTPError():
                return _status(cause, cause.response.status_code, place)
            case hub.HFValidationError():
                return fault("MG528", f"the Hub does not take this name: {first_line(cause)}", place, LOCAL)
    return None


def _status(error: Exception, status: int, place: str) -> MergeGraphError:
    if status == 401:
        return fault("MG543", "the Hub does not accept the token", place, LOGIN)
    if status == 403:
        return fault("MG544", "the token may not read this model", place, f"use one that may: {LOGIN}")
    if status == 429 or status >= 500:
        reason = "takes no more requests now" if status == 429 else f"is out of order (status {status})"
        return fault("MG574", f"the Hub {reason}", place, "run again later")
    return fault("MG528", f"the Hub refuses: {first_line(error)}", place)


def first_line(error: BaseException) -> str:
    return escape(cut(str(error).strip().partition("\n")[0])) or type(error).__name__
