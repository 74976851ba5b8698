"""`magtkd bench subscribers`: the measurements as a table or as JSON."""

from __future__ import annotations

import asyncio
import json as jsonlib
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from magtkd_rt.bench.disconnections import (
    measure_churn,
    measure_resuming,
    report_churn,
    report_resuming,
)
from magtkd_rt.bench.subscribers import measure_subscribers, report


def run_bench_subscribers(
    *,
    count: int,
    rate: float,
    seconds: float,
    stalled: bool,
    reconnects: int,
    churn: int,
    json: bool,
) -> None:
    """Measure what was asked for, and print it.

    Args:
        count: subscribers; 0 leaves them out.
        rate: events a second.
        seconds: for how long.
        stalled: one more never reads.
        reconnects: connections that are cut; 0 leaves that out.
        churn: connections that come and go; 0 leaves that out.
        json: JSON instead of a table.

    Raises:
        ServerError: the server does not begin, or refuses a subscriber.
    """
    console = Console(highlight=False)
    measured: dict[str, dict[str, Any]] = {}

    async def measure(note: Callable[[str], None]) -> None:
        if count:
            fan_out = await measure_subscribers(count, rate, seconds, stalled=stalled, note=note)
            measured["subscribers"] = report(fan_out) | {"one_never_reads": stalled}
        if reconnects:
            measured["resuming"] = report_resuming(await measure_resuming(reconnects, note=note))
        if churn:
            measured["churn"] = report_churn(await measure_churn(churn, note=note))

    if json:
        asyncio.run(measure(lambda _: None))
        print(jsonlib.dumps(measured, indent=1))
        return
    with console.status("starting a server ...") as status:
        asyncio.run(measure(status.update))
    console.print(_table(measured))


def _table(measured: dict[str, dict[str, Any]]) -> Table:
    table = Table("measured", "value", "wanted", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    if "subscribers" in measured:
        _add_subscribers(table, measured["subscribers"])
    if told := measured.get("resuming"):
        clients = told["clients"]
        table.add_row("connections cut", str(told["disconnections"]), "")
        complete = told["clients_with_every_event_in_order"]
        name = "clients with every event once, in order"
        table.add_row(name, f"{complete} of {clients}", "all")
        table.add_row("snapshots instead of events", str(told["snapshots"]), "none")
    if told := measured.get("churn"):
        memory = told["server_memory_mb"]
        shown = f"{memory['before']:.1f} to {memory['after']:.1f} MB"
        table.add_row(f"memory, {told['connections']} connections later", shown, "")
        table.add_row("  growth", f"{told['growth']:+.1%}", "2 % at most")
    return table


def _add_subscribers(table: Table, told: dict[str, Any]) -> None:
    count, delays, memory = told["subscribers"], told["delay_ms"], told["server_memory_mb"]
    each = f"{told['events_per_second']:g} events a second for {told['seconds']:.0f} s"
    table.add_row(f"{count} subscribers", each, "")
    for name, value in delays.items():
        wanted = "100 ms at most" if name == "p99" else ""
        table.add_row(f"emission to receipt, {name}", f"{value:.0f} ms", wanted)
    delivered = f"{told['finals_delivered']:.2%} of {told['finals']} each"
    table.add_row("final results delivered", delivered, "all")
    complete = told["subscribers_with_every_event_in_order"]
    table.add_row("subscribers with every event in order", f"{complete} of {count}", "")
    share = f"{told['server_share_of_one_core']:.0%} of one core"
    table.add_row("processor of the server", share, "30 % at most")
    share = f"{told['readers_share_of_one_core']:.0%} of one core"
    table.add_row("processor of the subscribers", share, "")
    growth = memory["after"] - memory["before"]
    wanted = "+2 MB at most" if told["one_never_reads"] else ""
    name = "growth of the server" + ", one never reads" * told["one_never_reads"]
    table.add_row(name, f"{growth:+.1f} of {memory['before']:.0f} MB", wanted)
    for name, number in told["counters"].items():
        table.add_row(f"counted: {name}", str(number), "")
