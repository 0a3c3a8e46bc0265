"""What every test may use: text fixtures that are compared, or rewritten with `--rewrite-fixtures`; a Hub."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_server import Hub, serving
from hypothesis import settings
from merging import PROCESS_BYTES

# No test asks the real Hub: those that speak to it have one of their own.
os.environ["HF_HUB_OFFLINE"] = "1"

# A run is a verdict on the change alone: the same examples each time. `--hypothesis-profile default` draws others.
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-fixtures", action="store_true", help="write what the tests get as what they expect")


@pytest.fixture
def check_text(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare a text with the file that holds what is expected of it; with `--rewrite-fixtures`, write the file."""
    rewrite = request.config.getoption("--rewrite-fixtures")

    def check(path: Path, actual: str) -> None:
        if rewrite:
            path.write_text(actual, encoding="utf-8", newline="\n")
        assert actual == path.read_text(encoding="utf-8")

    return check


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub on this machine that huggingface_hub asks in place of the real one, without a token, and an empty cache."""
    from huggingface_hub import close_session, constants

    with serving() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.endpoint)
        template = found.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        yield found
        close_session()


@pytest.fixture(autouse=True, scope="session")
def loops_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep compiled loops where no other run of the tests, and nobody else, finds them."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def small_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plan as if this process were as small as that of a command: after many tests it has more than a gigabyte."""
    monkeypatch.setattr("mergegraph.compiler.resident_bytes", lambda: PROCESS_BYTES)
