"""`magtkd export`: the events of a session as subtitles, a table, EmotionML or a page to read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from magtkd_rt.cli.overwrite import ask_to_overwrite
from magtkd_rt.clients.export import FORMATS, Session, read_session
from magtkd_rt.errors import InputError

STDOUT: Final = "-"


def run_export(
    journal: Path, to: str, out: str | None, *, session_id: str | None, yes: bool
) -> None:
    """Write one session in another format.

    Args:
        journal: its events, one JSON object a line.
        to: one of `FORMATS`.
        out: the file, or `-`; None is a file beside the journal, named like it.
        session_id: which session of the journal; None where there is but one.
        yes: write over a file without asking.

    Raises:
        InputError: the journal cannot be read, the file not be written, or there is no such format.
        typer.Abort: the file is there, and the user wants to keep it.
    """
    write = FORMATS.get(to)
    if write is None:
        raise InputError(f"there is no format {to!r}", remedy=f"choose one of {', '.join(FORMATS)}")
    target = journal.with_suffix(f".{to}") if out is None else Path(out)
    if out != STDOUT:
        _check(journal, target)
        ask_to_overwrite(target, yes)
    session = read_session(journal, session_id)
    if out == STDOUT:
        _print(write(session))
    else:
        _save(target, write(session))
    _tell(session, None if out == STDOUT else target)


def _check(journal: Path, target: Path) -> None:
    if target.exists() and journal.exists() and target.samefile(journal):
        raise InputError(
            f"{target} is the session's own file", remedy="give another one with --out"
        )
    if target.is_dir():
        raise InputError(f"{target} is a directory", remedy="give a file's name with --out")


def _print(pieces: Iterable[str]) -> None:
    """Write to the standard output; a closed pipe (`| head`) ends it quietly."""
    out = sys.stdout.buffer
    try:
        for piece in pieces:
            out.write(piece.encode())
        out.flush()
    except BrokenPipeError:
        # What is still buffered cannot be written either; Python would say so at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _save(path: Path, pieces: Iterable[str]) -> None:
    """Write a file, all of it or nothing; what is no file (a pipe) is written as it comes."""
    target = path.resolve()
    in_place = target.exists() and not target.is_file()
    part = target if in_place else target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb" if in_place else "xb") as file:
            for piece in pieces:
                file.write(piece.encode())
        if not in_place:
            os.replace(part, target)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror})", remedy="give another file with --out"
        ) from error
    finally:
        if not in_place:
            part.unlink(missing_ok=True)


def _tell(session: Session, target: Path | None) -> None:
    """Say on the standard error what was written, and what the file did not have."""
    told = f"{len(session.utterances)} utterances"
    if target is not None:
        told += f" in {target}"
    if session.cut_short:
        provisional = sum(item.provisional for item in session.utterances)
        told += f"; the session's file is cut short, {provisional} results are provisional"
    if session.unfinished:
        told += f"; {session.unfinished} utterances have no result in it"
    if session.missing:
        told += f"; it lacks {session.missing} events"
    print(f"magtkd: {told}", file=sys.stderr)
