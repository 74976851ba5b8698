"""`magtkd data`: look at a corpus, and read the authors' features."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from magtkd_rt.cli.evaluation import need_training
from magtkd_rt.errors import InputError

if TYPE_CHECKING:
    from magtkd_rt.train.corpora.check import Findings

DIFFERS: Final = 1
GIVEN: Final = ("mosi", "meld", "ravdess")
_SHOWN: Final = 20

data_app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    no_args_is_help=True,
    help="Look at corpora.",
)


@data_app.callback()
def data() -> None:
    """Look at corpora."""


@data_app.command("check", epilog="  magtkd data check MELD.Raw")
def check_command(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|FILE", help="MELD.Raw, IEMOCAP_full_release, or a manifest (CSV, JSONL)."
        ),
    ],
    no_decode: Annotated[
        bool, typer.Option("--no-decode", help="Only look whether the media files are there.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Files decoded side by side; all cores if not given.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of tables.")] = False,
) -> None:
    """Count a corpus, decode all its media, and compare it with the published counts.

    Exit code 1 where counts differ or something is missing or broken.
    """
    from magtkd_rt.train.corpora.check import check
    from magtkd_rt.train.progress import progress_bar

    with progress_bar(Console(stderr=True)) as bar:
        findings = check(place, decode=not no_decode, workers=workers, bar=bar)
    if json:
        print(jsonlib.dumps(findings.as_json(), indent=1, ensure_ascii=False))
    else:
        _show(findings)
    raise typer.Exit(0 if findings.fine else DIFFERS)


@data_app.command("features", epilog="  magtkd data features archive/MELD --out meld.npz")
def features_command(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="With first_stage_{train,dev,test}_features.pkl."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.npz", help="Where the features go.")],
    undistilled: Annotated[
        bool, typer.Option("--undistilled", help="Voice and face before distillation.")
    ] = False,
) -> None:
    """Read the MAGTKD authors' pickled features into a feature file, running no code in them."""
    from magtkd_rt.train.corpora.pickles import read_pickles
    from magtkd_rt.train.files import write_npz

    arrays = read_pickles(folder, distilled=not undistilled)
    write_npz(out, arrays)
    counts = ", ".join(
        f"{len(array)} {name.removesuffix('_label')}"
        for name, array in arrays.items()
        if name.endswith("_label")
    )
    print(f"{out}: {counts} utterances")


@data_app.command("given", epilog="  magtkd data given mosi --data ../shared/data --out mosi.npz")
def given_command(
    corpus: Annotated[str, typer.Argument(metavar="|".join(GIVEN))],
    data: Annotated[Path, typer.Option(metavar="DIR", help="With mosi, meld and ravdess.")],
    out: Annotated[Path, typer.Option(metavar="FILE.npz", help="Where the features go.")],
) -> None:
    """Make a feature file of features that others shared, for `magtkd train fuse`."""
    if corpus not in GIVEN:
        raise InputError(f"no corpus {corpus}", remedy=f"choose of {', '.join(GIVEN)}")
    need_training()
    from magtkd_rt.train.stage2.features import write_features
    from magtkd_rt.train.stage2.given import read_given

    splits = read_given(data, corpus)
    write_features(out, splits)
    counts = ", ".join(f"{len(given)} {split}" for split, given in splits.items())
    print(f"{out}: {counts} utterances")


def _show(findings: Findings) -> None:
    console = Console(highlight=False, markup=False)
    table = Table(findings.corpus.name, *findings.counts, box=None)
    for name in ("dialogues", "utterances", "heard", "seen"):
        row = (str(getattr(count, name)) for count in findings.counts.values())
        table.add_row(name, *row)
    for label in findings.corpus.labels:
        table.add_row(f"  {label}", *(str(one.labels[label]) for one in findings.counts.values()))
    console.print(table)
    if findings.compared:
        compared = Table("published", "dialogues", "utterances", "here", "", box=None)
        for one in findings.compared:
            here = f"{one.found[0]}, {one.found[1]}"
            verdict = "the same" if one.found == one.published else "DIFFERS"
            compared.add_row(one.what, *map(str, one.published), here, verdict)
        console.print(compared)
    for note in findings.notes:
        console.print(note)
    for title, problems in (
        ("missing or left out", findings.problems),
        ("broken", findings.broken or []),
    ):
        if problems:
            console.print(f"{title}: {len(problems)}")
        for problem in problems[:_SHOWN]:
            console.print(f"  {problem.where}: {problem.what}")
        if len(problems) > _SHOWN:
            console.print(f"  and {len(problems) - _SHOWN} more; --json names them all")
    if findings.broken is not None and findings.files:
        console.print(f"{findings.files} media files were decoded")
    console.print("fine" if findings.fine else "NOT fine")
