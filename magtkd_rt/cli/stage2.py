"""`magtkd train fuse`, `magtkd eval given` and `magtkd eval leaderboard`: stage 2 by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from magtkd_rt.cli.evaluation import Data, Out, need_training
from magtkd_rt.errors import InputError

MODES: Final = ("streaming", "paper", "both")
IMBALANCE: Final = ("auto", "none", "weighted", "focal", "adjusted")

_Seeds = Annotated[int, typer.Option(min=1, help="How many seeds each system is trained with.")]
_Rounds = Annotated[int, typer.Option(min=1, help="Rounds of the bootstrap.")]


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise InputError(f"--{name} {value} is none", remedy=f"choose of {', '.join(choices)}")
    return value


def fuse(
    features: Annotated[
        Path,
        typer.Option(
            metavar="FILE.npz", help="Features of stage 1; docs/stage2.md says what it holds."
        ),
    ],
    out: Out,
    mode: Annotated[
        str,
        typer.Option(
            metavar="|".join(MODES), help="Causal, as published (sees the future), or both."
        ),
    ] = "both",
    seeds: _Seeds = 5,
    imbalance: Annotated[
        str,
        typer.Option(metavar="|".join(IMBALANCE), help="What helps rare labels; auto: dev says."),
    ] = "auto",
    right: Annotated[
        int, typer.Option(min=1, max=8, help="Later utterances that a second look sees at most.")
    ] = 2,
    window: Annotated[
        int, typer.Option(min=2, max=512, help="Utterances that one looks at, itself included.")
    ] = 24,
    size: Annotated[int, typer.Option(min=8, help="Width of the model, a multiple of 8.")] = 64,
    epochs: Annotated[int, typer.Option(min=1, help="How often training sees all dialogues.")] = 30,
    batch: Annotated[int, typer.Option(min=1, help="Dialogues a step.")] = 16,
    learning_rate: Annotated[float, typer.Option(min=0.0, help="The highest.")] = 1e-3,
    dropout: Annotated[float, typer.Option(min=0.0, max=0.9, help="Inside the model.")] = 0.4,
    input_dropout: Annotated[float, typer.Option(min=0.0, max=0.9, help="Of the features.")] = 0.2,
    absent: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of modalities dropped in training.")
    ] = 0.15,
    noise: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            metavar="TEXT AUDIO VIDEO",
            help="How much training features are spoiled, in standard deviations; if not given, as "
            "much as makes them as hard as dev.",
        ),
    ] = None,
    alone: Annotated[
        bool, typer.Option(help="Also train on each modality alone, for comparison.")
    ] = True,
    rounds: _Rounds = 1000,
) -> None:
    """Train MAGT on features that stage 1 left, and judge it: a JSON file, pages and plots.

    Everything is chosen on dev, the test split is answered once at the end. Goes on where it was
    interrupted.
    """
    need_training()
    chosen_mode = _one_of("mode", mode, MODES)
    chosen_imbalance = _one_of("imbalance", imbalance, IMBALANCE)
    if size % 8:
        raise InputError(f"--size {size} is no multiple of 8", remedy="e.g. 64")
    if noise is not None and min(noise) < 0:
        raise InputError("--noise below 0 means nothing", remedy="give 0 or more for each modality")
    from magtkd_rt.train.stage2 import fuse as stage2
    from magtkd_rt.train.stage2.training import Stage2Recipe

    recipe = Stage2Recipe(
        size=size,
        feature_size=size,
        right=right,
        window=max(window, right + 2),
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        dropout=dropout,
        input_dropout=input_dropout,
        absent=absent,
        average=0.98,
    )
    settings = stage2.FuseSettings(chosen_mode, seeds, chosen_imbalance, noise, alone, rounds)
    stage2.fuse(features, out, recipe, settings)
    _tell(out)


def given(
    data: Data,
    out: Out,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="mosi|meld|ravdess", help="Only this corpus; may be repeated."),
    ] = None,
    seeds: _Seeds = 5,
    rounds: _Rounds = 1000,
) -> None:
    """Train and judge MAGT on given features: MOSI, MELD's embeddings, RAVDESS's action units.

    Makes the numbers of docs/results.md anew, which says with how many seeds. Takes a quarter of an
    hour on a quiet core, and goes on where it was interrupted.
    """
    need_training()
    from magtkd_rt.train.stage2.evaluate import evaluate_given

    evaluate_given(data, out, only=only or (), seeds=seeds, rounds=rounds)
    _tell(out)


def leaderboard(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS...", help="Folders or results.json of `magtkd eval`."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="The page.")],
) -> None:
    """Set results beside published ones, and say which rows see the future."""
    need_training()
    from magtkd_rt.train.stage2.page import read_results, write_leaderboard

    many = [read_results(path) for path in results]
    try:
        write_leaderboard(many, out)
    except OSError as error:
        raise InputError(
            f"cannot write {out} ({error.strerror})", remedy="name another with --out FILE.html"
        ) from error
    print(f"the leaderboard is in {out}")


def _tell(out: Path) -> None:
    names = " and ".join(str(out / name) for name in ("index.html", "leaderboard.html"))
    print(f"the results are in {names}, the numbers in {out / 'results.json'}")
