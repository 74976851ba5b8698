"""`magtkd bench capacity`: the search, trial by trial."""

from __future__ import annotations

import asyncio
import json as jsonlib
from pathlib import Path

from rich.console import Console

from magtkd_rt.bench.capacity import Trial, measure_capacity
from magtkd_rt.config import ServeConfig, load_config


def run_bench_capacity(
    recording: Path, *, bundle: str, asr: str, engine: str, threads: int, most: int, json: bool
) -> None:
    """Measure and print.

    Raises:
        MagtkdError: the recording or the models cannot be used.
    """
    flags = {"bundle": bundle, "asr": asr, "engine": engine, "threads": threads}
    config = load_config(ServeConfig, None, flags)
    console = Console(highlight=False, stderr=json)

    def tell(trial: Trial) -> None:
        verdict = "fits" if trial.fits else "is too much"
        console.print(
            f"{trial.conversations} at once {verdict}: lag p50 {trial.lag_p50_ms:.0f} ms, "
            f"p95 {trial.lag_p95_ms:.0f} ms; {trial.cores} cores; {trial.dropped} dropped"
        )

    found = asyncio.run(measure_capacity(recording, config, most, tell))
    if json:
        print(jsonlib.dumps(found, indent=1))
    else:
        console.print(f"{found['conversations']} conversations fit; {found['engine']}")
