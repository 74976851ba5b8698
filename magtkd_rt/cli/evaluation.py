"""`magtkd eval`: judge a bundle; without a sub-command's name, on the test splits."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Final

import typer
from typer.core import TyperGroup

from magtkd_rt.cli.speakers import need_bench
from magtkd_rt.errors import ExtraMissing

_DEFAULT: Final = "bundle"

Data = Annotated[Path, typer.Option(metavar="DIR", help="The corpora.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Where the results go.")]
_Bundle = Annotated[str, typer.Option(metavar="NAME|DIR", help="The bundle to be judged.")]
_Threads = Annotated[int, typer.Option(min=1, help="Threads that a model may compute on.")]


class _BundleUnlessNamed(TyperGroup):
    """`magtkd eval --data DIR ...` is `magtkd eval bundle --data DIR ...`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        named = bool(args) and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if named else [_DEFAULT, *args])


eval_app = typer.Typer(
    cls=_BundleUnlessNamed,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="  magtkd eval --bundle starter --data ../shared/data --out report",
)


@eval_app.callback()
def evaluation() -> None:
    """Judge a bundle. Without a command's name it is [bold]bundle[/bold]."""


@eval_app.command(
    _DEFAULT, epilog="  magtkd eval --bundle starter --data ../shared/data --out report"
)
def evaluate_bundle(
    data: Data, out: Out, bundle: _Bundle = "starter", threads: _Threads = 2
) -> None:
    """Judge a bundle on the test splits: a JSON file, a page to read, and plots."""
    need_training()
    from magtkd_rt.train.evaluate import evaluate

    evaluate(bundle, data, out, threads=threads)
    _tell(out)


@eval_app.command(
    "speakers", epilog="  magtkd eval speakers --data ../shared/data --out report --seeds 20"
)
def evaluate_speakers_command(
    data: Data,
    out: Out,
    bundle: _Bundle = "starter",
    threads: _Threads = 2,
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="How many conversations are built.")
    ] = 20,
    actors: Annotated[
        str, typer.Option(metavar="A-B", help="The actors of RAVDESS that speak in them.")
    ] = "21-24",
    steady: Annotated[
        bool, typer.Option("--steady", help="The clips of a turn are of one emotion.")
    ] = False,
    context: Annotated[
        bool, typer.Option(help="Also see what the speakers are worth to the fusion, on MELD.")
    ] = True,
) -> None:
    """Judge how well speakers are told apart, in conversations built of RAVDESS clips.

    Two to four actors take turns without a pause.
    """
    need_training()
    need_bench()
    from magtkd_rt.train.diarization.evaluate import evaluate_speakers

    evaluate_speakers(
        bundle,
        data,
        out,
        seeds=seeds,
        actors=actors,
        steady=steady,
        context=context,
        threads=threads,
    )
    _tell(out)


def need_training() -> None:
    """Make sure that the extra `train` is installed.

    Raises:
        ExtraMissing: it is not.
    """
    for module in ("torch", "sklearn", "matplotlib"):
        if importlib.util.find_spec(module) is None:
            raise ExtraMissing(module, "train")


def _tell(out: Path) -> None:
    print(f"the results are in {out / 'index.html'} and {out / 'results.json'}")
