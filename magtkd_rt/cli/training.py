"""`magtkd train`: the starter, and full-size runs stage by stage."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from magtkd_rt.cli.evaluation import Data, Out, need_training

train_app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    no_args_is_help=True,
    help="Train bundles.",
)

_Config = Annotated[
    Path, typer.Option(metavar="FILE.toml", help="What is trained how, see configs/.")
]
_Corpus = Annotated[
    Path,
    typer.Option(metavar="DIR|FILE", help="MELD.Raw, IEMOCAP_full_release, or a manifest."),
]
_Voices = Annotated[
    bool,
    typer.Option(help="Take the starter's voice graph along, which tells speakers apart."),
]
_Test = Annotated[bool, typer.Option("--test", help="Look at the test split as well.")]
_Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads to compute on; all cores if not given.")
]
_EXAMPLE = "  magtkd train {} --config configs/meld.toml --data MELD.Raw --out runs/meld"


@train_app.callback()
def train() -> None:
    """Train bundles. A run that was interrupted goes on where it stopped."""


@train_app.command(epilog="  magtkd train starter --data ../shared/data --out build/starter")
def starter(
    data: Data,
    out: Out,
    yamnet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="yamnet.tflite, from which the audio student starts."),
    ] = None,
    stages: Annotated[
        list[str] | None,
        typer.Option(metavar="STAGE", help="Only this stage; may be given several times."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="A run of `magtkd train text`, that the text student learns from."
        ),
    ] = None,
    threads: _Threads = None,
) -> None:
    """Train the starter bundle; takes hours on a CPU, and goes on where it was interrupted."""
    _get_ready(threads)

    from magtkd_rt.train.starter import STAGES, train_starter

    train_starter(data, out, yamnet, stages or STAGES, teacher)


@train_app.command(epilog="  magtkd train words --data ../shared/data --out build/starter")
def words(
    data: Data,
    out: Out,
    seed: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="Train this seed; may be given several times."),
    ] = None,
    test: _Test = False,
    threads: _Threads = None,
) -> None:
    """Train the text student again, by three seeds, from softened labels: OUT of `starter`."""
    _get_ready(threads)

    from magtkd_rt.train.words import SEEDS, train_words

    train_words(data, out, seed or SEEDS, test)


@train_app.command(epilog="  magtkd train faces --data ../shared/data --out build/starter")
def faces(data: Data, out: Out, test: _Test = False, threads: _Threads = None) -> None:
    """Train the face student, the stage `video` of `starter`, and judge it: OUT of `starter`."""
    _get_ready(threads)

    from magtkd_rt.train.faces import train_faces

    train_faces(data, out, test=test)


def _get_ready(threads: int | None) -> None:
    need_training()
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # torch reads it when it is imported


@train_app.command("all", epilog=_EXAMPLE.format("all"))
def all_stages(config: _Config, data: _Corpus, out: Out, voices: _Voices = True) -> None:
    """Train a full-size bundle, every stage: text, audio, video, distil, fuse, export."""
    need_training()
    from magtkd_rt.train.full import train_all

    train_all(config, data, out, voices)


@train_app.command(epilog=_EXAMPLE.format("text"))
def text(config: _Config, data: _Corpus, out: Out) -> None:
    """Train the teacher: a RoBERTa-like encoder with MAGTKD's prompt."""
    _stage1(config, data, out, "text")


@train_app.command(epilog=_EXAMPLE.format("audio"))
def audio(config: _Config, data: _Corpus, out: Out) -> None:
    """Train the voice student from the labels alone: a wav2vec2-like encoder."""
    _stage1(config, data, out, "audio")


@train_app.command(epilog=_EXAMPLE.format("video"))
def video(config: _Config, data: _Corpus, out: Out) -> None:
    """Train the face student from the labels alone: TimeSformer or VideoMAE."""
    _stage1(config, data, out, "video")


@train_app.command(epilog=_EXAMPLE.format("distil"))
def distil(config: _Config, data: _Corpus, out: Out) -> None:
    """Train voice and face anew, from the labels and the teacher of the stage text."""
    _stage1(config, data, out, "distil")


@train_app.command("export", epilog="  magtkd train export --run runs/meld --to bundles/meld")
def export(
    run: Annotated[Path, typer.Option(metavar="DIR", help="The OUT of `magtkd train all`.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="The bundle's directory.")],
    voices: _Voices = True,
) -> None:
    """Make a bundle of a full-size run: `magtkd-live --bundle DIR` runs it."""
    need_training()
    from magtkd_rt.train.full import export as export_bundle

    print(f"the bundle is in {export_bundle(run, to, voices).directory}")


def _stage1(config: Path, data: Path, out: Path, stage: str) -> None:
    need_training()
    from magtkd_rt.train.stage1.recipe import train_stage1

    train_stage1(config, data, out, (stage,))
