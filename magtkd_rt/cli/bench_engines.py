"""`magtkd bench engines`: the measurements as a table or as JSON."""

from __future__ import annotations

import json as jsonlib
import os
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table


def run_bench_engines(
    bundle: str, engine: str, *, threads: int, seconds: float, full_size: bool, json: bool
) -> None:
    """Measure and print.

    Raises:
        MagtkdError: the bundle or the engine cannot be used.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)  # torch reads it when it is imported
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # the ceilings have threads of their own

    from magtkd_rt.bench.engines import measure_engines
    from magtkd_rt.bundle.store import Bundle

    if full_size:
        bundle = str(_full_size_bundle())
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


def _full_size_bundle() -> Path:
    """The bundle of full size with random weights; it is made where there is none yet.

    Raises:
        ExtraMissing: it has to be made, and what trains models is not installed.
        EngineError: it cannot be made.
    """
    from magtkd_rt.engines.cache import root
    from magtkd_rt.errors import EngineError, ExtraMissing

    directory = root().parent / "full-size"
    console = Console(highlight=False, stderr=True)
    if not (directory / "manifest.json").is_file():
        for module in ("torch", "transformers", "onnx", "onnxscript"):
            if find_spec(module) is None:
                raise ExtraMissing(module, "train")
        from magtkd_rt.train.stage1.random_bundle import write_random_bundle

        try:
            with console.status(f"making full-size graphs with random weights in {directory} ..."):
                write_random_bundle(directory)
        except OSError as error:
            raise EngineError(
                f"the full-size graphs cannot be written to {directory} ({error.strerror})",
                remedy="they need 4 GB there while they are made; or let MAGTKD_ENGINE_CACHE "
                "name a folder on another disk",
            ) from error
    console.print(f"{directory} (magtkd compile builds it)", style="dim")
    return directory
