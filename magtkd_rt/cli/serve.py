"""`magtkd serve`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magtkd_rt.cli.model_options import (
    AsrOption,
    BundleOption,
    DeviceOption,
    EngineOption,
    ProvisionalOption,
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

_SENDERS = "Limits of senders"


@with_server_options
def serve(
    max_sessions: Annotated[
        int | None,
        typer.Option(
            help="Conversations at once; more are refused.",
            show_default="8",
        ),
    ] = None,
    provisional: ProvisionalOption = None,
    asr: AsrOption = None,
    whisper_model: WhisperModelOption = None,
    bundle: BundleOption = None,
    threads: ThreadsOption = None,
    engine: EngineOption = None,
    device: DeviceOption = None,
    jsonl: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write every event there, one file for each conversation."
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Pictures a second that are looked at; more are left out.",
            show_default="10",
            rich_help_panel=_SENDERS,
        ),
    ] = None,
    max_senders: Annotated[
        int | None,
        typer.Option(
            help="Connections that may send at once; then 1013.",
            show_default="64",
            rich_help_panel=_SENDERS,
        ),
    ] = None,
    max_media_bytes: Annotated[
        int | None,
        typer.Option(
            help="Of one message with sound or a picture; then 1009.",
            show_default="1048576",
            rich_help_panel=_SENDERS,
        ),
    ] = None,
    max_media_bytes_per_second: Annotated[
        int | None,
        typer.Option(
            help="That one may send beside the sound that was announced; then 1008.",
            show_default="2097152",
            rich_help_panel=_SENDERS,
        ),
    ] = None,
    ahead_seconds: Annotated[
        float | None,
        typer.Option(
            help="That media may run ahead of real time; then it is refused.",
            show_default="5",
            rich_help_panel=_SENDERS,
        ),
    ] = None,
    media_queue_seconds: Annotated[
        float | None,
        typer.Option(
            help="That media may wait to be taken; then it is refused.",
            show_default="10",
            rich_help_panel=_SENDERS,
        ),
    ] = None,
    idle_seconds: Annotated[
        float | None,
        typer.Option(
            help="Without a message, then 1008.", show_default="120", rich_help_panel=_SENDERS
        ),
    ] = None,
    resume_seconds: Annotated[
        float | None,
        typer.Option(
            help="That a conversation waits for a sender whose connection was lost.",
            show_default="30",
            rich_help_panel=_SENDERS,
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
        "engine": engine,
        "device": device,
        "jsonl": jsonl,
        "fps": fps,
        "max_senders": max_senders,
        "max_media_bytes": max_media_bytes,
        "max_media_bytes_per_second": max_media_bytes_per_second,
        "ahead_seconds": ahead_seconds,
        "media_queue_seconds": media_queue_seconds,
        "idle_seconds": idle_seconds,
        "resume_seconds": resume_seconds,
        **server_flags,
    }
    settings = find_config(ServeConfig, config, flags)

    from magtkd_rt.cli.hosting import run_serve

    run_serve(settings)
