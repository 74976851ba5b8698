"""The question before a file is written over."""

from __future__ import annotations

import sys
from pathlib import Path

import typer


def ask_to_overwrite(path: Path, yes: bool) -> None:
    """Ask on a terminal; a script has thought about it.

    Raises:
        typer.Abort: the answer is no.
    """
    if path.is_file() and path.stat().st_size and sys.stdin.isatty() and not yes:
        typer.confirm(f"{path} exists; write over it?", abort=True, err=True)
