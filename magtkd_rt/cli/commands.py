"""`magtkd` and its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magtkd_rt.cli.benches import bench_app
from magtkd_rt.cli.client_options import (
    CaOption,
    TokenFileOption,
    TokenOption,
    find_token,
    trusting,
)
from magtkd_rt.cli.compiling import EXAMPLES as COMPILE_EXAMPLES
from magtkd_rt.cli.compiling import compile_bundle
from magtkd_rt.cli.data import data_app
from magtkd_rt.cli.evaluation import eval_app
from magtkd_rt.cli.export import export
from magtkd_rt.cli.live import VersionFlag
from magtkd_rt.cli.live import live as live_command
from magtkd_rt.cli.serve import EXAMPLES as SERVE_EXAMPLES
from magtkd_rt.cli.serve import serve as serve_command
from magtkd_rt.cli.stage2 import fuse, given, leaderboard
from magtkd_rt.cli.training import train_app

_SETTINGS = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": "rich",
    "no_args_is_help": True,
}

app = typer.Typer(
    **_SETTINGS,  # type: ignore[arg-type]
    epilog="""
[bold]Examples[/bold]

  magtkd live --input talk.mp4 [dim](the same as magtkd-live)[/dim]

  magtkd serve

  magtkd send talk.mp4

  magtkd doctor

  magtkd devices

  magtkd watch

  magtkd export talk.jsonl --to html

  magtkd bundle show starter

  magtkd compile starter

  magtkd bench run --input talk.mp4

  magtkd bench speakers --audio call.wav --rttm call.rttm
""",
)
bundle_app = typer.Typer(**_SETTINGS, help="Look at bundles.")  # type: ignore[arg-type]
models_app = typer.Typer(**_SETTINGS, help="Fetch models for use without network.")  # type: ignore[arg-type]
app.command("live")(live_command)
app.command(epilog="  magtkd export talk.jsonl --to html")(export)
app.command("compile", epilog=COMPILE_EXAMPLES)(compile_bundle)
app.command("serve", epilog=SERVE_EXAMPLES)(serve_command)
app.add_typer(train_app, name="train")
app.add_typer(eval_app, name="eval")
app.add_typer(data_app, name="data")
app.add_typer(bundle_app, name="bundle")
app.add_typer(models_app, name="models")
app.add_typer(bench_app, name="bench")
train_app.command(
    "fuse", epilog="  magtkd train fuse --features meld.npz --out build/fusion --seeds 5"
)(fuse)
eval_app.command("given", epilog="  magtkd eval given --data ../shared/data --out report")(given)
eval_app.command(
    "leaderboard", epilog="  magtkd eval leaderboard report build/fusion --out leaderboard.html"
)(leaderboard)


@app.callback()
def magtkd(version: VersionFlag = False) -> None:
    """Emotion recognition for conversations, live: words, voice, face and context together."""


@app.command(epilog="  magtkd watch 127.0.0.1:9000 --json | jq .label")
def watch(
    url: Annotated[
        str, typer.Argument(metavar="[URL]", help="The server: ws://host:port or host:port.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with the next session, without end.")
    ] = False,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    ca: CaOption = None,
) -> None:
    """Watch the session of a running magtkd-live, from its first event to its last."""
    from magtkd_rt.clients import DEFAULT_URL
    from magtkd_rt.clients.watch import run_watch

    code = run_watch(
        url or DEFAULT_URL,
        json=json,
        once=not follow,
        token=find_token(token, token_file),
        tls_context=trusting(ca),
    )
    raise typer.Exit(code)


@app.command(epilog="  magtkd send talk.mp4 --to ws://127.0.0.1:8765 --speaker Ada")
def send(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording, of any container.")],
    to: Annotated[
        str, typer.Option(metavar="URL", help="The server: ws://host:port or host:port.")
    ] = "",
    speaker: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who is heard, where that is one person.")
    ] = None,
    channels_are_speakers: Annotated[
        bool, typer.Option("--channels-are-speakers", help="Each channel is one speaker.")
    ] = False,
    fps: Annotated[float, typer.Option(help="Pictures a second that are sent, at most.")] = 10.0,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    ca: CaOption = None,
) -> None:
    """Send a recording to a running `magtkd serve`, in real time, as a microphone would."""
    from magtkd_rt.cli.send import run_send
    from magtkd_rt.clients import DEFAULT_URL

    run_send(
        file,
        to or DEFAULT_URL,
        speaker=speaker,
        token=find_token(token, token_file),
        tls_context=trusting(ca),
        fps=fps,
        channels_are_speakers=channels_are_speakers,
    )


@app.command(epilog="  magtkd devices")
def devices() -> None:
    """List microphones and cameras; ends with exit code 1 where there are none."""
    from magtkd_rt.cli.devices import show_devices

    raise typer.Exit(show_devices())


@app.command(epilog="  magtkd doctor --camera 1")
def doctor(
    mic: Annotated[
        str | None, typer.Option(metavar="NAME|INDEX", help="Look at this microphone.")
    ] = None,
    camera: Annotated[
        str | None, typer.Option(metavar="INDEX|URL|FILE", help="Look at this camera.")
    ] = None,
    no_devices: Annotated[
        bool, typer.Option("--no-devices", help="Open neither microphone nor camera.")
    ] = False,
    bundle: Annotated[
        str | None, typer.Option(metavar="NAME|DIR", help="The trained models.")
    ] = None,
    asr: Annotated[
        str | None, typer.Option(metavar="auto|whisper|pocketsphinx|none", help="Who transcribes.")
    ] = None,
    whisper_model: Annotated[
        str | None, typer.Option(metavar="NAME|DIR", help="Whisper's weights.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="The server's port.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="The settings of magtkd-live.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Look whether magtkd-live would work here, and say how to mend what would not.

    Listens for a second and looks at a few pictures; nothing of it is kept, nothing is fetched.
    Exit code 1 where something stops magtkd-live.
    """
    from magtkd_rt.cli.doctor import run_doctor

    flags = {
        "mic": mic,
        "camera": camera,
        "bundle": bundle,
        "asr": asr,
        "whisper_model": whisper_model,
        "port": port,
    }
    raise typer.Exit(run_doctor(config, flags, open_devices=not no_devices, json=json))


@models_app.callback()
def models() -> None:
    """Fetch models for use without network."""


@models_app.command("list", epilog="  magtkd models list")
def list_() -> None:
    """Say which models there are, which are at hand, and where."""
    from magtkd_rt.cli.models import list_models

    list_models()


@models_app.command(epilog="  magtkd models pull base yunet")
def pull(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="tiny, base, small ... or yunet.")
    ],
) -> None:
    """Fetch models, so that magtkd-live works without network."""
    from magtkd_rt.cli.models import pull_models

    pull_models(names)


@bundle_app.callback()
def bundle() -> None:
    """Look at bundles."""


@bundle_app.command(epilog="  magtkd bundle show starter")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|DIR", help="The bundle.")] = "starter",
) -> None:
    """Say what a bundle is made of, and check every hash and the golden outputs."""
    from magtkd_rt.cli.bundles import show_bundle

    show_bundle(name)


@bench_app.callback()
def bench() -> None:
    """Measure this machine."""
