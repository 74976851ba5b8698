"""`magtkd compile`: build a bundle's graphs for an engine, and keep those that pass the gate."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from magtkd_rt.bundle.golden import read_golden
from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.batching import ROW_WISE
from magtkd_rt.engines.cache import Key, Record, building, keep, read
from magtkd_rt.engines.device import Device
from magtkd_rt.engines.fresh import fresh_inputs
from magtkd_rt.engines.interface import Backend, Runner
from magtkd_rt.engines.mixed import run_in_parts
from magtkd_rt.engines.onnx import OnnxEngine
from magtkd_rt.engines.parity import compare
from magtkd_rt.errors import EngineError, MagtkdError

Inputs = dict[str, NDArray[Any]]

_BUILDING_CASES: Final = 60
_BUILDING_SEED: Final = 1
_JUDGING_CASES: Final = 200
_JUDGING_SEED: Final = 2
_LONGEST_JUDGING_S: Final = 30.0
"""Large graphs are judged on as many inputs as fit into this time, a tenth of them at least."""
_TIMED_RUNS: Final = 15


def compile_graphs(
    bundle: Bundle,
    backend: Backend,
    device: Device,
    threads: int,
    graphs: Sequence[GraphName],
    told: Callable[[GraphName, str], None],
) -> Iterator[Record]:
    """Build graphs one after the other; what is built and accepted already is left as it is.

    Args:
        bundle: whose graphs.
        backend: builds them.
        device: that it computes on.
        threads: that a graph may compute on, on the processor.
        graphs: which ones.
        told: hears of each graph what is being done.

    Yields:
        of each graph what is known of it now; a refused one says why.

    Raises:
        EngineError: the cache cannot be written, or the default engine cannot run a graph.
    """
    exact = OnnxEngine(bundle, threads)
    for graph in graphs:
        key = Key.of(bundle, graph, backend.name, device, threads)
        waits = partial(told, graph, "waiting for another process that builds it")
        with building(key, waits) as folder:
            try:
                before = read(key)
            except EngineError:
                before = None  # damaged: built anew
            known = None if before is None else before.record
            if known is not None and known.accepted and known.precision == backend.precision:
                yield known
                continue
            record = _build(bundle, graph, backend, device, exact, folder, partial(told, graph))
            if not record.accepted:
                _empty(folder)
            yield keep(key, folder, record).record
    exact.close()


def _build(
    bundle: Bundle,
    graph: GraphName,
    backend: Backend,
    device: Device,
    exact: OnnxEngine,
    folder: Path,
    told: Callable[[str], None],
) -> Record:
    def record(accepted: bool, why: str, times: tuple[float, float] = (0.0, 0.0)) -> Record:
        return Record(
            graph=graph,
            engine=backend.name,
            precision=backend.precision,
            device=device.name,
            accepted=accepted,
            why=why,
            median_ms=round(times[0], 3),
            plain_ms=round(times[1], 3),
        )

    run = partial(exact.run, graph)
    golden = [dict(case.inputs) for case in read_golden(bundle) if case.graph == graph]
    try:
        told("making up inputs")
        seen = fresh_inputs(bundle, graph, _BUILDING_CASES, _BUILDING_SEED, exact.run)
        backend.build(bundle, graph, [*golden, *seen], folder, told)
        # As it will run: with fewer rows at once where memory is short.
        runner = partial(run_in_parts, graph, backend.open(bundle, graph, folder))
        told("comparing with 32 bits")
        fresh = fresh_inputs(bundle, graph, _JUDGING_CASES, _JUDGING_SEED, exact.run)
        cases = _in_time(chain(golden, fresh), len(golden) + _JUDGING_CASES // 10)
        parity = compare(backend.precision, cases, run, runner)
        if not parity.passed:
            return record(False, str(parity))
        told("timing")
        largest = max(golden, key=lambda case: sum(array.size for array in case.values()))
        if graph in ROW_WISE:  # as a conversation of its own runs it
            largest = {name: array[:1] for name, array in largest.items()}
        return record(True, str(parity), _times(largest, runner, run))
    except MagtkdError as error:
        return record(False, str(error))


def _in_time(cases: Iterator[Inputs], least: int) -> Iterator[Inputs]:
    end = time.monotonic() + _LONGEST_JUDGING_S
    for number, case in enumerate(cases):
        if number >= least and time.monotonic() > end:
            return
        yield case


def _times(case: Inputs, new: Runner, plain: Runner) -> tuple[float, float]:
    """Median time of one run of each, in milliseconds, taken in turns."""
    took: tuple[list[float], list[float]] = ([], [])
    for number in range(_TIMED_RUNS + 3):
        for runner, into in zip((new, plain), took, strict=True):
            start = time.perf_counter()
            runner(case)
            if number >= 3:  # the first ones warm up
                into.append((time.perf_counter() - start) * 1e3)
    return statistics.median(took[0]), statistics.median(took[1])


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
