"""`magtkd serve`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magtkd_rt.cli.model_options import (
    AsrOption,
    BundleOption,
    ThreadsOption,
    WhisperModelOption,
)
from magtkd_rt.cli.server_options import ServerFlags, with_server_options

EXAMPLES = """
[bold]Examples[/bold]

  magtkd serve [dim](then open http://127.0.0.1:8765/capture in a browser)[/dim]

  magtkd send talk.mp4 [dim](in a second terminal: a recording, as if it were live)[/dim]

  magtkd watch [dim](the newest conversation)[/dim]

  magtkd serve --max-sessions 4 --asr whisper --whisper-model base --jsonl conversations
"""


@with_server_options
def serve(
    max_sessions: Annotated[
        int | None,
        typer.Option(
            help="Conversations at once; more are refused.",
            show_default="8",
        ),
    ] = None,
    provisional: Annotated[
        bool | None,
        typer.Option(
            "--provisional/--no-provisional", help="Results on the way, while somebody speaks."
        ),
    ] = None,
    asr: AsrOption = None,
    whisper_model: WhisperModelOption = None,
    bundle: BundleOption = None,
    threads: ThreadsOption = None,
    jsonl: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write every event there, one file for each conversation."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            help="Settings, named like the options; options win over them.",
            show_default="~/.config/magtkd/serve.toml, where there is one",
        ),
    ] = None,
    *,
    server_flags: ServerFlags,
) -> None:
    """Recognise conversations that browsers, plugins and other machines send.

    Models are loaded once; each sender gets a session of its own.
    Sound and pictures are not kept.
    """
    from magtkd_rt.config import ServeConfig, find_config

    flags = {
        "max_sessions": max_sessions,
        "provisional": provisional,
        "asr": asr,
        "whisper_model": whisper_model,
        "bundle": bundle,
        "threads": threads,
        "jsonl": jsonl,
        **server_flags,
    }
    settings = find_config(ServeConfig, config, flags)

    from magtkd_rt.cli.hosting import run_serve

    run_serve(settings)
