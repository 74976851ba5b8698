"""`magtkd bench engines`: the measurements as a table or as JSON."""

from __future__ import annotations

import json as jsonlib
import os

from rich.console import Console
from rich.table import Table


def run_bench_engines(
    bundle: str, engine: str, *, threads: int, seconds: float, json: bool
) -> None:
    """Measure and print.

    Raises:
        MagtkdError: the bundle or the engine cannot be used.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)  # torch reads it when it is imported
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # the ceilings have threads of their own

    from magtkd_rt.bench.engines import measure_engines
    from magtkd_rt.bundle.store import Bundle

    measured = measure_engines(Bundle.load(bundle), engine, threads, seconds)
    if json:
        print(jsonlib.dumps(measured, indent=1))
        return
    console = Console(highlight=False)
    console.print(measured["engine"])
    table = Table("in ms", "rows", "first", "median", "p99", "default", "of the floor", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for one in measured["timings"]:
        times = (f"{one[name]:.2f}" for name in ("first_ms", "median_ms", "p99_ms", "plain_ms"))
        share = one["floor_share"]
        told = "" if share is None else f"{share:.0%}"
        table.add_row(one["what"], str(one["rows"]), *times, told)
    console.print(table)
    ceilings = measured["ceilings"]
    console.print(
        f"copy {ceilings['bytes_per_s'] / 1e9:.1f} GB/s, "
        f"matrix product {ceilings['flops_per_s'] / 1e9:.0f} GFLOP/s in 32 bits; "
        f"loading {measured['loading_s']:.2f} s, peak memory {measured['peak_memory_mb']} MB"
    )
