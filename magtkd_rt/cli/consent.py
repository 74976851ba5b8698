"""The question before anybody is heard or seen."""

from __future__ import annotations

import sys

import typer

from magtkd_rt.config import LiveConfig, usual_file
from magtkd_rt.errors import InputError
from magtkd_rt.sources import MediaInfo


def ask_consent(config: LiveConfig, media: MediaInfo) -> None:
    """Ask on a terminal whether to begin; `--yes` and `consent = true` have answered.

    Args:
        config: the settings.
        media: what the source brings, by name.

    Raises:
        InputError: nobody can be asked.
        typer.Abort: the answer is no.
    """
    if config.yes or config.consent:
        return
    question = consent_line(config, media)
    if not sys.stdin.isatty():
        raise InputError(
            "there is no terminal to ask whether those who are heard and seen know of it",
            remedy="if they do, say so with --yes, or with `consent = true` in a --config file "
            f"or in {usual_file()}",
        )
    typer.confirm(question, default=True, abort=True, err=True)


def consent_line(config: LiveConfig, media: MediaInfo) -> str:
    """What will be heard and seen, what becomes of it, and who has to know."""
    what = " and ".join(name for name in (media.audio, media.video) if name is not None)
    kept = (
        "no sound or picture is kept"
        if config.record is None
        else f"sound and pictures are RECORDED in {config.record}"
    )
    return (
        f"What {what} will take is analysed for the expressions of all who are present; {kept}. "
        "They have to know of it. Begin?"
    )
