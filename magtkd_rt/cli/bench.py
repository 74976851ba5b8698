"""`magtkd bench run`: the measurements as a table or as JSON."""

from __future__ import annotations

import asyncio
import json as jsonlib
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from magtkd_rt.config import load_config
from magtkd_rt.runtime.bench import measure_cost, measure_product, report


def run_bench(recording: Path, *, bundle: str, asr: str, threads: int, json: bool) -> None:
    """Measure and print.

    Raises:
        MagtkdError: the recording, the bundle or the transcriber cannot be used.
    """
    flags = {"input": recording, "bundle": bundle, "asr": asr, "threads": threads}
    config = load_config(None, flags)
    console = Console(highlight=False)
    if not json:
        console.print("first as fast as possible, then in real time ...", style="dim")
    product = measure_product(config)
    cost = asyncio.run(measure_cost(config, product.texts))
    measured = report(product, cost)
    if json:
        print(jsonlib.dumps(measured, indent=1))
    else:
        console.print(_table(measured))


def _table(measured: dict[str, Any]) -> Table:
    table = Table("measured", "value", "wanted", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    latency = measured["final_after_endpoint_without_asr_ms"]
    asr = measured["asr_after_endpoint_ms"]
    table.add_row("recording", f"{measured['media_s']:.1f} s", "")
    table.add_row("utterances with a result", str(measured["utterances"]), "")
    table.add_row("start to listening", f"{measured['start_to_listening_s']:.2f} s", "2 s at most")
    table.add_row("peak memory", f"{measured['peak_memory_mb']:.0f} MB", "900 MB at most")
    table.add_row("all of it, as fast as possible", f"{measured['whole_fast_run_s']:.1f} s", "")
    table.add_row(
        "compute without ASR, per second of media",
        f"{measured['compute_without_asr_per_media_second']:.3f} s",
        "0.2 s at most",
    )
    for part, seconds in measured["compute_per_media_second"].items():
        table.add_row(f"  {part}", f"{seconds:.4f} s", "")
    table.add_row(
        "processor time without ASR, per second of media",
        f"{measured['processor_without_asr_per_media_second']:.3f} s",
        "",
    )
    for name, value in latency.items():
        wanted = "150 ms at most" if name == "p95" else ""
        table.add_row(f"result after the endpoint, without ASR, {name}", _ms(value), wanted)
    for name, value in asr.items():
        table.add_row(f"words after the endpoint, {name}", _ms(value), "")
    for kind, count in measured["dropped"].items():
        table.add_row(f"dropped: {kind}", str(count), "none")
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
