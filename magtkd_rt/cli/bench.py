"""`magtkd bench run` and `magtkd bench live`: the measurements as a table or as JSON."""

from __future__ import annotations

import asyncio
import json as jsonlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from magtkd_rt.config import LiveConfig, load_config
from magtkd_rt.runtime.bench import measure_cost, measure_product, report
from magtkd_rt.runtime.bench_live import measure_live
from magtkd_rt.runtime.bench_live import report as live_report


def run_bench(recording: Path, *, bundle: str, asr: str, threads: int, json: bool) -> None:
    """Measure and print.

    Raises:
        MagtkdError: the recording, the bundle or the transcriber cannot be used.
    """
    flags = {"input": recording, "bundle": bundle, "asr": asr, "threads": threads}
    config = load_config(LiveConfig, None, flags)
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


def run_bench_live(flags: Mapping[str, object], *, loops: int, json: bool) -> None:
    """Hear a recording in real time, measure and print.

    Raises:
        MagtkdError: the recording, the bundle or the transcriber cannot be used.
    """
    config = load_config(LiveConfig, None, flags)
    console = Console(highlight=False)
    if json:
        live = asyncio.run(measure_live(config, loops))
        print(jsonlib.dumps(live_report(live), indent=1))
        return
    with console.status("hearing it in real time ..."):
        live = asyncio.run(measure_live(config, loops))
    console.print(_live_table(live_report(live)))


def _live_table(measured: dict[str, Any]) -> Table:
    table = Table("in milliseconds", "p50", "p95", "p99", "wanted", box=None, pad_edge=False)
    for column in table.columns[1:4]:
        column.justify = "right"

    def row(name: str, values: dict[str, float | None], wanted: str = "") -> None:
        numbers = ("-" if value is None else f"{value:.0f}" for value in values.values())
        table.add_row(name, *numbers, wanted)

    row("last sound to the final result", measured["final_ms"], "p50 700, p95 1000 at most")
    row("  where a pause ended it", measured["final_after_a_pause_ms"])
    for part, values in measured["final_parts_ms"].items():
        row(f"  {part.removesuffix('_ms')}", values)
    row("speech to the first provisional result", measured["provisional_ms"], "p95 1200 at most")
    row("lag", measured["lag_ms"])
    row("  in the first minute", measured["lag_first_minute_ms"])
    row("  later", measured["lag_later_ms"])
    row("  in the last minute", measured["lag_last_minute_ms"], "no larger")

    def fact(name: str, value: str) -> None:
        table.add_row(name, value, "", "", "")

    told = "{finals} final, {provisional} provisional, {revised} revised"
    fact("heard", f"{measured['media_s']:.1f} s, {measured['utterances']} utterances")
    fact("results", told.format_map(measured))
    fact("processor", f"{measured['processor_share_of_one_core']:.0%} of one core")
    fact("peak memory", f"{measured['peak_memory_mb']:.0f} MB")
    fact("gave way, taken back", f"{measured['gave_way']}, {measured['taken_back']} times")
    lost = ", ".join(f"{count} {kind}" for kind, count in measured["dropped"].items())
    fact("dropped or left out", lost or "nothing")
    return table


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
