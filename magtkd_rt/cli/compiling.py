"""`magtkd compile`: build a bundle's graphs for this machine, and say which may be used."""

from __future__ import annotations

import json as jsonlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

EXAMPLES = "  magtkd compile starter\n\n  magtkd compile starter --engine inductor --device cuda"


def compile_bundle(
    bundle: Annotated[
        str, typer.Argument(metavar="[NAME|DIR]", help="The trained models.")
    ] = "starter",
    engine: Annotated[
        str, typer.Option(metavar="onnx|eager|inductor|tensorrt", help="For which engine.")
    ] = "onnx",
    device: Annotated[str, typer.Option(metavar="cpu|cuda", help="Where it will compute.")] = "cpu",
    precision: Annotated[
        str,
        typer.Option(
            metavar="auto|int8|float16|bfloat16|float32",
            help="What it will compute in; auto: half on a GPU, 32 bits on the processor; "
            "for onnx 32 on a GPU, 8 on the processor.",
        ),
    ] = "auto",
    graphs: Annotated[
        list[str] | None,
        typer.Option("--graph", metavar="NAME", help="Only this graph; may be repeated."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads a graph may compute on.")] = 2,
    check_tensorrt: Annotated[
        bool,
        typer.Option(
            "--check-tensorrt",
            help="Build nothing; say which operators TensorRT has converters for.",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Build a bundle's graphs for an engine, once a machine.

    Every graph is compared with itself in 32 bits, on the bundle's golden inputs and on fresh ones.
    One that differs too much is kept out and its numbers are shown; it runs on the default engine.
    What is built lies in the cache (MAGTKD_ENGINE_CACHE, else ~/.cache/magtkd/engines), never in
    the bundle. magtkd-live then takes the fastest by itself, or the one that --engine names.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)  # torch reads it when it is imported

    from magtkd_rt.bundle.store import Bundle
    from magtkd_rt.errors import InputError

    opened = Bundle.load(bundle)
    known = opened.manifest.live_graphs
    chosen = [graph for graph in known if graphs is None or graph in graphs]
    if graphs is not None and len(chosen) < len(set(graphs)):
        raise InputError(
            f"the bundle has not all of the graphs {', '.join(graphs)}",
            remedy=f"it has {', '.join(known)}",
        )
    if check_tensorrt:
        raise typer.Exit(_check(opened.directory, [opened.graph_path(g) for g in chosen], json))

    from magtkd_rt.engines.backends import open_backend
    from magtkd_rt.engines.compile import compile_graphs
    from magtkd_rt.engines.device import find_device
    from magtkd_rt.engines.select import ENGINES

    if device not in ("cpu", "cuda"):
        raise InputError(f"there is no device {device!r}", remedy="choose cpu or cuda")
    name = next((known for known in ENGINES if known == engine), None)
    if name is None:
        raise InputError(
            f"there is no engine {engine!r}", remedy=f"choose one of {', '.join(ENGINES)}"
        )
    place = find_device("cpu" if device == "cpu" else "cuda")
    backend = open_backend(name, place.kind, threads, precision)
    console = Console(highlight=False, stderr=True)
    if not json:
        console.print(f"for {name} in {backend.precision} on {place}", style="dim")
    with _steps(console, quiet=json) as told:
        records = []
        for record in compile_graphs(opened, backend, place, threads, chosen, told):
            records.append(record)
            if not json:
                verdict = "accepted" if record.accepted else "kept out"
                console.print(f"{record.graph}: {verdict}: {record.why}")
    if json:
        print(jsonlib.dumps([record.model_dump(mode="json") for record in records], indent=1))
        return
    table = Table("graph", "engine", "precision", "ms", "default, ms", "", box=None)
    for record in records:
        times = (
            (f"{record.median_ms:.2f}", f"{record.plain_ms:.2f}") if record.accepted else ("", "")
        )
        verdict = "accepted" if record.accepted else "kept out: the default engine does it"
        table.add_row(record.graph, record.engine, record.precision, *times, verdict)
    Console(highlight=False).print(table)


@contextmanager
def _steps(console: Console, *, quiet: bool) -> Iterator[Callable[[str, str], None]]:
    """Show what is being done and for how long; without a terminal a line for each step."""
    if console.is_terminal:
        columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("")
            yield lambda graph, what: progress.reset(task, description=f"{graph}: {what}")
        return
    yield lambda graph, what: None if quiet else console.print(f"{graph}: {what} ...", style="dim")


def _check(directory: Path, files: list[Path], json: bool) -> int:
    from magtkd_rt.engines.coverage import check_coverage

    found = {file.name: check_coverage(file) for file in files}
    if json:
        print(jsonlib.dumps({name: one.as_json() for name, one in found.items()}, indent=1))
    else:
        table = Table("graph", "operators", "with a converter", "without", box=None)
        for name, one in found.items():
            without = ", ".join(f"{operator} ({n})" for operator, n in one.missing.items())
            table.add_row(name, str(one.operators), str(one.covered), without or "none")
        Console(highlight=False).print(f"TensorRT's converters for {directory}:")
        Console(highlight=False).print(table)
    return 0 if all(not one.missing for one in found.values()) else 1
