"""`magtkd eval speakers`: built conversations through the product, and what speakers are worth."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.errors import InputError
from magtkd_rt.runtime.hearing import hear_source
from magtkd_rt.train.diarization import page
from magtkd_rt.train.diarization.conversations import (
    SPEAKERS,
    Conversation,
    build,
    read_clips,
)
from magtkd_rt.train.diarization.judging import HEADLINE, draw, judge, make_folder
from magtkd_rt.train.diarization.scoring import delay_percentiles
from magtkd_rt.train.loop import progress_bar
from magtkd_rt.train.measure import track
from magtkd_rt.train.metrics import bootstrap_interval

Results = dict[str, Any]

ROUNDS: Final = 1000
"""Of every bootstrap."""


def evaluate_speakers(
    bundle: str | Path,
    data: Path,
    out: Path,
    *,
    seeds: int = 20,
    actors: str = "21-24",
    steady: bool = False,
    context: bool = True,
    threads: int = 2,
) -> Results:
    """Build conversations, hear them, judge; write `results.json`, `index.html` and pictures.

    Args:
        bundle: name of an installed bundle, or its directory.
        data: folder with `ravdess`, and for the context `meld` and `fer2013` too.
        out: made if it is not there; older results in it are replaced.
        seeds: how many conversations, of the seeds 0, 1, ...
        actors: of one split of RAVDESS, as in `21-24`.
        steady: the clips of a turn are of one emotion.
        context: also see what the speakers are worth to the fusion.
        threads: that each graph may compute on.

    Returns:
        what `results.json` holds.

    Raises:
        BundleError: the bundle is missing or damaged; with `context`, it has no usable pairing.
        DataError: a corpus is missing.
        InputError: `out` cannot be written to, or `actors` or `seeds` cannot be used.
        EngineError: a graph cannot be run.
    """
    if seeds < 1:
        raise InputError(f"{seeds} conversations are too few", remedy="ask for 1 or more")
    began = time.monotonic()
    opened = Bundle.load(bundle)
    clips = read_clips(data, actors)
    make_folder(out)
    with progress_bar() as bar:
        heard = [
            {"seed": seed} | _hear(build(clips, seed, steady=steady), str(bundle), threads)
            for seed in track(bar, range(seeds), "conversations")
        ]
        results: Results = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "bundle": {"name": opened.manifest.name, "sha256": opened.sha256},
            "actors": actors,
            "steady": steady,
            "bootstrap_rounds": ROUNDS,
            "conversations": heard,
            "summary": summarise(heard),
            "context": None,
        }
        if context:
            from magtkd_rt.train.diarization.context import measure_context

            results["context"] = measure_context(opened, data, threads, ROUNDS, bar)
    results["seconds"] = round(time.monotonic() - began, 1)
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    page.write(results, _draw_some(heard, out), out)
    Console(highlight=False).print(_table(results))
    return results


def _hear(built: Conversation, bundle: str, threads: int) -> Results:
    return judge(hear_source(built.source(), bundle=bundle, threads=threads), built.turns)


def summarise(heard: list[Results]) -> Results:
    """Means over the conversations, with bootstrap intervals over conversations; counts."""
    real = np.array([len(one["speakers"]["true"]) for one in heard])
    found = np.array([len(one["speakers"]["found"]) for one in heard])
    rates = np.array([one["diarization_error_rate"][HEADLINE]["rate"] for one in heard])
    right = found == real
    delays, cut_delays = (
        [delay for one in heard for delay in one["changes"][key]]
        for key in ("delays_s", "cut_delays_s")
    )
    return {
        "error_rate": _mean(rates),
        "speakers_right": _mean(right.astype(np.float64)),
        "by_speakers": {
            str(count): {
                "conversations": int((real == count).sum()),
                "error_rate": float(rates[real == count].mean()),
                "speakers_right": int(right[real == count].sum()),
            }
            for count in SPEAKERS
            if (real == count).any()
        },
        "changes": {
            name: sum(one["changes"][name] for one in heard)
            for name in ("true", "found", "missed", "false")
        }
        | {
            "delay_s": delay_percentiles(delays),
            "cut_delay_s": delay_percentiles(cut_delays),
        },
        "unsure_utterances": sum(one["utterances"]["unsure"] for one in heard),
        "utterances": sum(one["utterances"]["found"] for one in heard),
        "compute_per_speech_second": float(
            np.mean([one["compute"]["per_speech_second"] for one in heard])
        ),
    }


def _mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> Results:
    low, high = bootstrap_interval(lambda rows: float(values[rows].mean()), len(values), ROUNDS)
    return {"value": float(values.mean()), "low": low, "high": high}


def _draw_some(heard: list[Results], out: Path) -> list[tuple[str, str]]:
    """Draw the best, the middle and the worst conversation: captions and files."""
    order = sorted(heard, key=lambda one: one["diarization_error_rate"][HEADLINE]["rate"])
    chosen = {"best": order[0], "middle": order[len(order) // 2], "worst": order[-1]}
    drawn = []
    for which, one in chosen.items():
        file = f"timeline-{which}.png"
        draw(one, f"seed {one['seed']}", out / file)
        drawn.append((f"The {which}: seed {one['seed']}", file))
    return drawn


def _table(results: Results) -> Table:
    summary = results["summary"]
    table = Table("measured", "value", "95 % interval", "wanted", box=None, pad_edge=False)
    for name, key, wanted in (
        ("diarization error rate, collar 0.25 s, mean", "error_rate", "20 % at most"),
        ("conversations with the right number of speakers", "speakers_right", "80 % at least"),
    ):
        one = summary[key]
        interval = f"{100 * one['low']:.1f} to {100 * one['high']:.1f}"
        table.add_row(name, f"{100 * one['value']:.1f} %", interval, wanted)
    for count, row in summary["by_speakers"].items():
        many = row["conversations"]
        table.add_row(
            f"  {count} speakers, {many} conversations", f"{100 * row['error_rate']:.1f} %"
        )
    changes = summary["changes"]
    table.add_row("changes of the speaker", str(changes["true"]))
    table.add_row("  missed", str(changes["missed"]))
    table.add_row("  false", str(changes["false"]))
    for name, key, wanted in (
        ("delay of a change, p95", "delay_s", "1.2 s"),
        ("  until the old utterance was cut", "cut_delay_s", ""),
    ):
        p95 = changes[key]["p95"]
        table.add_row(name, "-" if p95 is None else f"{p95:.2f} s", "", wanted)
    if results["context"]:
        for name, one in results["context"]["weighted_f1"].items():
            interval = f"{100 * one['low']:.1f} to {100 * one['high']:.1f}"
            table.add_row(f"fusion's W-F1, {name}", f"{100 * one['value']:.1f}", interval)
    return table
