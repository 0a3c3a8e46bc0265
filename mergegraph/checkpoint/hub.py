"""Fetch models from the Hugging Face Hub: only the files that a merge needs, pinned to one commit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mergegraph.checkpoint.extras import PATTERNS
from mergegraph.checkpoint.faults import cut, fault
from mergegraph.checkpoint.index import read_index
from mergegraph.checkpoint.weights import INDEX, SINGLE
from mergegraph.diagnostics import escape

_LOCAL = "a folder is named by a path that begins with `./`, `/` or `~`"
_SMALL = ("config.json", INDEX, *(pattern for patterns in PATTERNS.values() for pattern in patterns))


def fetch(repository: str, revision: str | None) -> tuple[Path, str]:
    """Return the folder of a model in the Hub's cache, downloading what is missing, and the commit that it is.

    Without a network, or with `HF_HUB_OFFLINE` set, what the cache holds is used. The first answer pins the commit: all
    files come from it even if the revision moves meanwhile. Raises MG527 when the Hub can't be reached and the cache
    does not hold the model, MG528 when the Hub refuses or does not know it.
    """
    folder = _snapshot(repository, revision, _SMALL)
    commit = folder.name
    for patterns in _weight_patterns(folder):
        _snapshot(repository, commit, patterns, ignored=("*/*",))
        if any(folder.glob("*.safetensors")):
            break
    return folder, commit


def _weight_patterns(folder: Path) -> Sequence[Sequence[str]]:
    """Return the sets of files to try, in order: the index's shards, or the one file, or any."""
    if (folder / INDEX).exists():
        return (read_index(folder / INDEX).shards,)
    return ((SINGLE,), ("*.safetensors",))


def _snapshot(repository: str, revision: str | None, patterns: Sequence[str], ignored: Sequence[str] = ()) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    place = repository if revision is None else f"{repository}@{revision}"
    try:
        return Path(
            snapshot_download(
                repository, revision=revision, allow_patterns=list(patterns), ignore_patterns=list(ignored)
            )
        )
    except LocalEntryNotFoundError as error:
        message = "the Hub cannot be reached, and its cache on this machine does not hold the whole model"
        raise fault("MG527", message, place, _LOCAL) from error
    except (HfHubHTTPError, HFValidationError) as error:
        raise fault("MG528", f"the Hub does not give this model: {_refusal(error)}", place, _LOCAL) from error
    except Exception as error:  # the client's transports have exceptions of their own
        raise fault("MG527", f"the download failed: {_first_line(error)}", place) from error


def _refusal(error: Exception) -> str:
    """Return in plain words why the Hub refuses. A private model looks like one that does not exist."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    reasons = (
        (GatedRepoError, "its conditions have to be accepted first, on its page"),
        (RepositoryNotFoundError, "it does not exist, or it is private and you are not logged in"),
        (RevisionNotFoundError, "it has no such revision"),
    )
    return next((reason for kind, reason in reasons if isinstance(error, kind)), _first_line(error))


def _first_line(error: Exception) -> str:
    return escape(cut(str(error).partition("\n")[0])) or type(error).__name__
