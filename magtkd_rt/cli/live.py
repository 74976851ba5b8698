"""`magtkd-live`: its options."""

from __future__ import annotations

from importlib.metadata import version
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

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")

_EXAMPLES = """
[bold]Examples[/bold]

  magtkd-live [dim](the default microphone and camera)[/dim]

  magtkd-live --mic "USB Audio" --camera 1

  magtkd-live --camera http://192.168.1.20:8080/video

  magtkd-live --input talk.mp4

  magtkd-live --input call.wav --channels-are-speakers --fast --jsonl call.jsonl --no-view

  magtkd-live --input talk.mp4 --speaker Ann=ann.wav --speaker Ben=ben.wav

  magtkd-live --record talks [dim](keeps sound and pictures, and says so)[/dim]

  magtkd-live --input talk.mp4 --asr whisper --whisper-model base --port 9000

  magtkd watch 127.0.0.1:9000 [dim](in a second terminal)[/dim]
"""


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"magtkd-rt {version('magtkd-rt')}")
        raise typer.Exit


VersionFlag = Annotated[
    bool,
    typer.Option("--version", callback=_print_version, is_eager=True, help="Say which and exit."),
]


@app.command(epilog=_EXAMPLES)
@with_server_options
def live(
    input: Annotated[  # noqa: A002  (the option's name)
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="The recording to hear, of any format, instead of microphone and camera.",
        ),
    ] = None,
    mic: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|INDEX",
            help="The microphone, as `magtkd devices` lists it.",
            show_default="the system's default",
        ),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(
            metavar="INDEX|URL|FILE",
            help="The camera: its number, a stream's address, or a video played as one.",
            show_default="0",
        ),
    ] = None,
    no_mic: Annotated[
        bool | None,
        typer.Option("--no-mic", help="Hear nothing; without sound there are no utterances."),
    ] = None,
    no_camera: Annotated[bool | None, typer.Option("--no-camera", help="See nothing.")] = None,
    fast: Annotated[
        bool | None,
        typer.Option("--fast/--real-time", help="A recording as fast as this machine can."),
    ] = None,
    provisional: ProvisionalOption = None,
    fps: Annotated[
        float | None,
        typer.Option(help="Pictures a second that are looked at, at most.", show_default="10"),
    ] = None,
    channels_are_speakers: Annotated[
        bool | None,
        typer.Option(
            "--channels-are-speakers/--mix-channels",
            help="Each channel of the sound is a speaker; else voices tell.",
        ),
    ] = None,
    speaker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="A recording of one voice, at least 2 s, to know it by; may be repeated.",
        ),
    ] = None,
    asr: AsrOption = None,
    whisper_model: WhisperModelOption = None,
    bundle: BundleOption = None,
    threads: ThreadsOption = None,
    engine: EngineOption = None,
    device: DeviceOption = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep sound and pictures there; without it neither is written."
        ),
    ] = None,
    jsonl: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write every event there, one JSON object a line."),
    ] = None,
    view: Annotated[
        bool | None,
        typer.Option("--view/--no-view", help="The terminal view, or a line for each event."),
    ] = None,
    server: Annotated[
        bool | None,
        typer.Option("--server/--no-server", help="Let others watch over a websocket."),
    ] = None,
    linger: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="How long the server stays after the end.", show_default="0"
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            help="Settings, named like the options; options win over them.",
            show_default="~/.config/magtkd/config.toml, where there is one",
        ),
    ] = None,
    yes: Annotated[
        bool | None,
        typer.Option(
            "--yes", "-y", help="Answer every question with yes: those present know of it."
        ),
    ] = None,
    version: VersionFlag = False,  # noqa: ARG001  (acts in its callback)
    *,
    server_flags: ServerFlags,
) -> None:
    """Hear a conversation and tell, utterance by utterance, which emotion it expresses.

    It is heard by the microphone and seen by the camera, or taken from a recording.
    Words, voice, face and the conversation so far count together.
    The result is an expression, not an inner state.
    Nothing leaves this machine, and nothing is stored unless asked for.
    """
    from magtkd_rt.config import LiveConfig, find_config

    flags = {
        "input": input,
        "mic": mic,
        "camera": camera,
        "no_mic": no_mic,
        "no_camera": no_camera,
        "fast": fast,
        "provisional": provisional,
        "fps": fps,
        "channels_are_speakers": channels_are_speakers,
        "speaker": speaker or None,
        "asr": asr,
        "whisper_model": whisper_model,
        "bundle": bundle,
        "threads": threads,
        "engine": engine,
        "device": device,
        "record": record,
        "jsonl": jsonl,
        "view": view,
        "server": server,
        **server_flags,
        "linger": linger,
        "yes": yes,
    }
    settings = find_config(LiveConfig, config, flags)

    from magtkd_rt.cli.session import run_live

    run_live(settings)
