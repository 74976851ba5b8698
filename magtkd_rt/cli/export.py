"""`magtkd export`: the events of a session as subtitles, a table, EmotionML or a page to read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from magtkd_rt.cli.overwrite import ask_to_overwrite
from magtkd_rt.errors import InputError

if TYPE_CHECKING:
    from magtkd_rt.clients.export import Session

STDOUT: Final = "-"


def export(
    session_file: Annotated[
        Path,
        typer.Argument(
            metavar="SESSION.jsonl", help="What magtkd-live --jsonl or magtkd watch --json wrote."
        ),
    ],
    to: Annotated[str, typer.Option(metavar="srt|vtt|csv|emotionml|html", help="The format.")],
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE|-", help="Where to; a file beside SESSION.jsonl if not given."),
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="ID", help="Which session, where the file has several.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write over a file without asking.")] = False,
) -> None:
    """Write a session as subtitles, a table, EmotionML or a page to read and print."""
    from magtkd_rt.clients.export import FORMATS, read_session

    write = FORMATS.get(to)
    if write is None:
        raise InputError(f"there is no format {to!r}", remedy=f"choose one of {', '.join(FORMATS)}")
    target = None if out == STDOUT else session_file.with_suffix(f".{to}")
    if target is not None:
        target = Path(out) if out is not None else target
        _check(session_file, target)
        ask_to_overwrite(target, yes)
    told = read_session(session_file, session)
    if target is None:
        _print(write(told))
    else:
        _save(target, write(told))
    _tell(told, target)


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
