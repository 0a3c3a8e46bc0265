"""What every test may use: text fixtures that are compared, or rewritten with `--rewrite-fixtures`."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

# No test asks the real Hub: those that speak to it have one of their own.
os.environ["HF_HUB_OFFLINE"] = "1"


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
