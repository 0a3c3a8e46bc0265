"""Let MkDocs list the pages of a folder where the navigation names the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FIRST = ("first-merge.md", "talk-to-it.md", "from-mergekit.md", "methods.md", "cli.md", "architecture.md")
"""Pages that come before others of their folder."""


def on_config(config: Any) -> Any:
    """Replace folders in the navigation by their pages."""
    root = Path(config["docs_dir"])
    config["nav"] = [_expanded(entry, root) for entry in config["nav"]]
    return config


def _expanded(entry: Any, root: Path) -> Any:
    if isinstance(entry, str):
        return entry
    ((title, folder),) = entry.items()
    pages = sorted((root / folder).glob("*.md"), key=lambda page: (page.name not in FIRST, _place(page), page.name))
    return {title: [f"{folder}/{page.name}" for page in pages]}


def _place(page: Path) -> int:
    return FIRST.index(page.name) if page.name in FIRST else len(FIRST)
