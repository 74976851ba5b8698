"""`magtkd bench senders`: the measurements as a table or as JSON."""

from __future__ import annotations

import asyncio
import json as jsonlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from magtkd_rt.bench.senders import measure_senders, read_recording, report


def run_bench_senders(
    recording: Path, *, count: int, fps: float, options: Sequence[str], json: bool
) -> None:
    """Measure and print.

    Raises:
        MagtkdError: the recording cannot be read, or the server does not serve it.
    """
    sent = read_recording(recording, fps)
    console = Console(highlight=False)
    if json:
        measured = report(asyncio.run(measure_senders(sent, count, options)))
        print(jsonlib.dumps(measured, indent=1))
        return
    with console.status("starting a server ...") as status:
        senders = asyncio.run(measure_senders(sent, count, options, status.update))
    console.print(_table(report(senders)))


def _table(measured: dict[str, Any]) -> Table:
    table = Table("measured", "value", "wanted", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    count, lag = measured["senders"], measured["lag_ms"]
    after = measured["final_after_endpoint_ms"]

    def ms(value: float | None) -> str:
        return "-" if value is None else f"{value:.0f} ms"

    table.add_row("each sends", f"{measured['media_s']:.1f} s", "")
    table.add_row("results of one alone", str(measured["finals_alone"]), "")
    equal = measured["sessions_equal_to_alone"]
    table.add_row("sessions with the same results", f"{equal} of {count}", "all")
    difference = measured["largest_difference_of_a_probability"]
    table.add_row("largest difference of a probability", f"{difference:.1e}", "")
    for name in ("p50", "p95", "p99", "most"):
        wanted = "1000 ms at most" if name == "most" else ""
        table.add_row(f"lag of the worst session, {name}", ms(lag[name]), wanted)
    for name, value in after.items():
        table.add_row(f"result after the endpoint, {name}", ms(value), "")
    table.add_row("gave way", f"{measured['gave_way']} times", "")
    table.add_row("utterances dropped", str(measured["dropped_utterances"]), "")
    share = measured["processor_share_of_one_core"]
    table.add_row("processor of the server", f"{share:.0%} of one core", "")
    table.add_row("memory of the server", f"{measured['memory_mb']:.0f} MB", "")
    return table
