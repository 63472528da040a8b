"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path

import typer


def existing_path(text: str) -> Path:
    """The path, where `~` means the home folder: shells leave it alone in quotes, and zsh behind an equals sign."""
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # there is no such user
        path = Path(text)
    if not path.exists():
        raise typer.BadParameter(f"Path '{text}' does not exist.")
    return path
