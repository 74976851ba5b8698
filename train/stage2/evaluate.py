"""`magtkd eval given`: train and judge MAGT on the feature corpora that others made."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from magtkd_rt.errors import InputError
from magtkd_rt.train.loop import progress_bar
from magtkd_rt.train.stage2 import page
from magtkd_rt.train.stage2.judge import Results
from magtkd_rt.train.stage2.meld import run_meld
from magtkd_rt.train.stage2.mosi import run_mosi
from magtkd_rt.train.stage2.ravdess import run_ravdess

CORPORA: Final = {"mosi": run_mosi, "meld": run_meld, "ravdess": run_ravdess}


def evaluate_given(
    data: Path,
    out: Path,
    *,
    only: Sequence[str] = (),
    seeds: int = 5,
    rounds: int = 1000,
) -> Results:
    """Train on MOSI, MELD's embeddings and RAVDESS's action units, and judge what came out.

    Trained models stay in `out / "runs"`, so that a run that was interrupted goes on.

    Args:
        data: folder with `mosi`, `meld` and `ravdess`.
        out: gets `results.json`, `index.html`, `leaderboard.html` and PNG plots.
        only: of :data:`CORPORA`; all if not given.
        seeds: of each system.
        rounds: of bootstrap and permutation.

    Returns:
        what `results.json` holds.

    Raises:
        DataError: a corpus is missing or not as it should be.
        InputError: there is no such corpus, or `out` cannot be made.
    """
    unknown = set(only) - CORPORA.keys()
    if unknown:
        raise InputError(
            f"no corpus {', '.join(sorted(unknown))}", remedy=f"choose of {', '.join(CORPORA)}"
        )
    make_folder(out)
    began = time.monotonic()
    with progress_bar() as bar:
        corpora = [
            run(data, out / "runs", seeds, rounds, bar)
            for name, run in CORPORA.items()
            if not only or name in only
        ]
    return publish("MAGT on given features", corpora, rounds, began, out)


def publish(title: str, corpora: list[Results], rounds: int, began: float, out: Path) -> Results:
    """Write results and pages to `out`, and show the tables.

    Args:
        title: of the page.
        corpora: see `page.write_page`.
        rounds: of the bootstrap.
        began: `time.monotonic` at the start.
        out: is there.
    """
    packages = ("magtkd-rt", "numpy", "scikit-learn", "torch")
    results: Results = {
        "title": title,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 1),
        "rounds": rounds,
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in packages},
        "corpora": corpora,
    }
    page.write_page(results, out)
    console = Console()
    for corpus in corpora:
        console.print(page.systems_table(corpus))
    if any("goals" in corpus for corpus in corpora):
        console.print(page.goals_table(results))
    return results


def make_folder(out: Path) -> None:
    """Make the folder of the results.

    Raises:
        InputError: it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {out} ({error.strerror})", remedy="name another with --out DIR"
        ) from error
