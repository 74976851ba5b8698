"""How fast each graph runs on the selected engine, and how near to what the machine can do."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.bundle.golden import read_golden
from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.batching import ROW_WISE
from magtkd_rt.engines.fresh import fresh_inputs
from magtkd_rt.engines.interface import Engine
from magtkd_rt.engines.onnx import OnnxEngine
from magtkd_rt.engines.select import select

Arrays = Mapping[str, NDArray[Any]]

BATCHES: Final = (1, 2, 4, 8, 16, 32, 64)
"""Rows of a run, for graphs that take several."""
_UTTERANCE: Final[tuple[GraphName, ...]] = ("text", "audio", "video", "fusion")
_SOUND_S: Final = 4
_COPIED: Final = 256 << 20
_SIDE: Final = 2048


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What memory and processor can do, measured here: bytes and operations a second.

    A copy of 256 MB, what is read and written counted; a product of two matrices of 2048 x 2048 in
    32 bits, on the same number of threads. Products in fewer bits may pass it.
    """

    bytes_per_s: float
    flops_per_s: float


@dataclass(frozen=True, slots=True)
class Timing:
    """One graph, or a whole utterance, at one size.

    Attributes:
        what: the graph, or `utterance` for its four graphs one after the other.
        rows: of the run.
        first_ms: the first run at this size, which warms up.
        median_ms: of the others.
        p99_ms: of the others.
        plain_ms: median of the default engine in 32 bits, on the same inputs.
        floor_share: the least time that bytes and operations allow, as a share of the median; None
            where operations could not be counted.
    """

    what: str
    rows: int
    first_ms: float
    median_ms: float
    p99_ms: float
    plain_ms: float
    floor_share: float | None


def measure_engines(
    bundle: Bundle, prefer: str, threads: int, seconds: float = 2.0
) -> dict[str, Any]:
    """Time every graph of the live system; ready for JSON.

    Args:
        bundle: whose graphs.
        prefer: the engine, as for `select`.
        threads: that a graph may compute on.
        seconds: for each size at most, at least ten runs apart.

    Raises:
        MagtkdError: there is no such engine, or it cannot run a graph.
    """
    ceilings = _ceilings(threads)
    start = time.perf_counter()
    selected = select(bundle, prefer, threads)
    loading_s = time.perf_counter() - start
    plain = OnnxEngine(bundle, threads)
    plain.warm_up()
    cases = {graph: _case(bundle, graph, plain) for graph in bundle.manifest.live_graphs}
    timings = []
    for graph, case in cases.items():
        for rows in BATCHES if graph in ROW_WISE else (_rows(case),):
            sized = _sized(case, rows) if graph in ROW_WISE else case
            timings.append(
                _time(graph, rows, selected.engine, plain, [(graph, sized)], seconds)
                | {"floor_share": None}
            )
            floor = _floor_ms(bundle, graph, sized, ceilings)
            if floor is not None:
                timings[-1]["floor_share"] = round(floor / timings[-1]["median_ms"], 3)
    whole = [(graph, cases[graph]) for graph in _UTTERANCE]
    timings.append(
        _time("utterance", 1, selected.engine, plain, whole, seconds) | {"floor_share": None}
    )
    for engine in (selected.engine, plain):
        engine.close()
    return {
        "engine": selected.reason,
        "threads": threads,
        "loading_s": round(loading_s, 3),
        "ceilings": asdict(ceilings),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "timings": [asdict(Timing(**timing)) for timing in timings],
    }


def _time(
    what: str,
    rows: int,
    engine: Engine,
    plain: Engine,
    runs: Sequence[tuple[GraphName, Arrays]],
    seconds: float,
) -> dict[str, Any]:
    """Run on both engines in turns, so that both see the same disturbances."""
    took: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(took[0]) < 11:
        for one, into in zip((engine, plain), took, strict=True):
            start = time.perf_counter()
            for graph, case in runs:
                one.run(graph, case)
            into.append((time.perf_counter() - start) * 1e3)
    first, *others = took[0]
    return {
        "what": what,
        "rows": rows,
        "first_ms": round(first, 3),
        "median_ms": round(statistics.median(others), 3),
        "p99_ms": round(float(np.percentile(others, 99)), 3),
        "plain_ms": round(statistics.median(took[1][1:]), 3),
    }


def _case(bundle: Bundle, graph: GraphName, engine: Engine) -> Arrays:
    """The longest of the golden inputs and of some fresh ones; of sound, 4 seconds."""
    cases = [case.inputs for case in read_golden(bundle) if case.graph == graph]
    fresh = fresh_inputs(bundle, graph, 12, 7, engine.run)
    longest = max([*cases, *fresh], key=lambda case: sum(a.nbytes for a in case.values()))
    if graph == "audio":
        told = bundle.manifest.preprocessing.audio
        samples = min(told.max_samples, _SOUND_S * told.sample_rate)
        return {"waveform": np.resize(longest["waveform"], (1, samples))}
    return longest


def _rows(case: Arrays) -> int:
    return min(len(array) for array in case.values())


def _sized(case: Arrays, rows: int) -> Arrays:
    return {
        name: np.ascontiguousarray(np.resize(array, (rows, *array.shape[1:])))
        for name, array in case.items()
    }


def _floor_ms(bundle: Bundle, graph: GraphName, case: Arrays, ceilings: Ceilings) -> float | None:
    try:
        from magtkd_rt.engines.torch_running import count_work
    except ImportError:
        return None
    moved, operations = count_work(bundle.graph_path(graph), case)
    return max(moved / ceilings.bytes_per_s, operations / ceilings.flops_per_s) * 1e3


def _ceilings(threads: int) -> Ceilings:
    from concurrent.futures import ThreadPoolExecutor

    source = [np.ones(_COPIED // threads // 8) for _ in range(threads)]
    target = [np.empty_like(part) for part in source]
    a, b = (np.ones((_SIDE, _SIDE), np.float32) for _ in range(2))
    halves = np.array_split(a, threads)

    def best(work: Any, parts: Sequence[Any]) -> float:
        took = []
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(5):
                start = time.perf_counter()
                list(pool.map(work, parts))
                took.append(time.perf_counter() - start)
        return min(took)

    copying = best(lambda pair: np.copyto(*pair), list(zip(target, source, strict=True)))
    multiplying = best(lambda part: part @ b, halves)
    return Ceilings(2 * _COPIED / copying, 2 * _SIDE**3 / multiplying)
