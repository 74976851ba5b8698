"""Which engine runs a bundle, and why."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal, get_args

from magtkd_rt.bundle.golden import check_golden
from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.backends import open_backend
from magtkd_rt.engines.cache import EngineName, Entry, Key, Record, check_private, read, root
from magtkd_rt.engines.device import Device, DeviceKind, find_device
from magtkd_rt.engines.interface import Engine, Runner
from magtkd_rt.engines.mixed import MixedEngine
from magtkd_rt.engines.parity import LIMITS
from magtkd_rt.errors import BundleError, EngineError, MagtkdError

ENGINES: Final[tuple[EngineName, ...]] = get_args(EngineName)
"""Engines that can be asked for by name, the default first."""

DeviceChoice = Literal["auto", "cpu", "cuda"]

_WORTH: Final = 1.1
"""How much faster than the default a compiled graph has to be, to be chosen by itself."""


@dataclass(frozen=True, slots=True)
class Selected:
    """An engine whose graphs are loaded and agree with the bundle.

    Attributes:
        engine: runs them.
        reason: one line: which engine, and why.
        troubles: what was built and cannot be used, one line each; it grows with what fails later.
    """

    engine: Engine
    reason: str
    troubles: Sequence[str]


def select(
    bundle: Bundle, prefer: str = "auto", threads: int = 2, device: DeviceChoice = "auto"
) -> Selected:
    """Open an engine for a bundle, and let it prove itself on the golden inputs.

    Graphs that `magtkd compile` built for this machine run as they were built. What turns out
    damaged or wrong is told of, and the next fastest build takes its place; the last of all is
    onnxruntime on the processor, which needs nothing built.

    Args:
        bundle: whose graphs are to be run.
        prefer: a name of :data:`ENGINES`, or `auto` for the fastest of what was compiled.
        threads: how many threads each graph may compute on.
        device: what they were compiled for; `auto` for either.

    Raises:
        EngineError: there is no such engine, or it cannot run the graphs.
        BundleError: the golden outputs are not reproduced.
    """
    if prefer not in ("auto", *ENGINES):
        raise EngineError(
            f"there is no engine {prefer!r}", remedy=f"choose auto or {', '.join(ENGINES)}"
        )
    wanted = ENGINES if prefer == "auto" else tuple(name for name in ENGINES if name == prefer)
    troubles: list[str] = []
    places = _devices(device, troubles)
    found = _compiled(bundle, wanted, places, threads, by_itself=prefer == "auto", told=troubles)
    plain = [graph for graph in bundle.manifest.live_graphs if graph not in found]
    with ThreadPoolExecutor(1 + len(found), thread_name_prefix="load") as pool:
        opening = {
            graph: pool.submit(_open, bundle, graph, builds, threads, troubles)
            for graph, builds in found.items()
        }
        base, what = _open_onnx(bundle, threads, plain)
        opened = {graph: one.result() for graph, one in opening.items()}
    chosen = {graph: one for graph, one in opened.items() if one is not None}
    why = "the default" if prefer == "auto" and device == "auto" else "asked for"
    if not chosen:
        if prefer not in ("auto", "onnx") or device == "cuda":
            asked = " on ".join(name for name in (prefer, device) if name not in ("auto", "cpu"))
            why = f"nothing is compiled for {asked} here, `magtkd compile` does that"
        check_golden(bundle, base)
        reason = f"{what}: {why}; it reproduces the bundle's golden outputs"
        return Selected(base, reason, troubles)
    names = sorted({one.record.engine for one in chosen.values()} | {"onnx"})
    runners = {graph: one.runner for graph, one in chosen.items()}
    engine = MixedEngine(base, runners, "+".join(names), troubles)
    _prove(bundle, engine, chosen, troubles)
    told = ", ".join(
        f"{graph} by {one.record.engine} in {one.record.precision}"
        for graph, one in chosen.items()
        if graph in engine.elsewhere
    )
    reason = f"{what}: {why}; compiled: {told or 'none'}; golden outputs reproduced"
    return Selected(engine, reason, troubles)


@dataclass(frozen=True, slots=True)
class _Opened:
    record: Record
    runner: Runner


def _compiled(
    bundle: Bundle,
    engines: Collection[EngineName],
    devices: Collection[Device],
    threads: int,
    *,
    by_itself: bool,
    told: list[str],
) -> dict[GraphName, list[Entry]]:
    """The accepted builds of each graph for these devices, the fastest first."""
    found: dict[GraphName, list[Entry]] = {}
    if not os.path.isdir(root()):  # noqa: PTH112  (false also where it may not be looked at)
        return found
    try:
        check_private(root())
    except EngineError as error:
        told.append(str(error))
        return found
    for graph, name, device in product(bundle.manifest.live_graphs, engines, devices):
        try:
            entry = read(Key.of(bundle, graph, name, device, threads))
        except EngineError as error:
            told.append(f"{graph}: {error}")
            continue
        if entry is None or not entry.record.accepted:
            continue
        record = entry.record
        if not by_itself or record.median_ms * _WORTH <= record.plain_ms:
            found.setdefault(graph, []).append(entry)
    for builds in found.values():
        builds.sort(key=lambda entry: entry.record.median_ms)
    return found


def _devices(wanted: DeviceChoice, troubles: list[str]) -> list[Device]:
    kinds: tuple[DeviceKind, ...] = ("cpu", "cuda") if wanted == "auto" else (wanted,)
    devices = []
    for kind in kinds:
        try:
            devices.append(find_device(kind))
        except EngineError as error:
            if wanted == kind:  # else no GPU is no trouble
                troubles.append(str(error))
    return devices


def _open(
    bundle: Bundle, graph: GraphName, builds: Sequence[Entry], threads: int, troubles: list[str]
) -> _Opened | None:
    """The first of a graph's builds that can be opened."""
    for build in builds:
        record = build.record
        kind: DeviceKind = "cpu" if record.device == find_device("cpu").name else "cuda"
        try:
            backend = open_backend(record.engine, kind, threads, record.precision)
            return _Opened(record, backend.open(bundle, graph, build.directory))
        except MagtkdError as error:
            troubles.append(f"{graph} by {record.engine}: {error}")
    return None


def _prove(
    bundle: Bundle,
    engine: MixedEngine,
    chosen: Mapping[GraphName, _Opened],
    troubles: list[str],
) -> None:
    """Check every graph; one that is wrong elsewhere has to be right on the default engine."""
    for graph in bundle.manifest.live_graphs:
        if graph in engine.elsewhere:
            limit = LIMITS[chosen[graph].record.precision].logits
            tolerance = max(limit, bundle.manifest.graphs[graph].tolerance)
            try:
                check_golden(bundle, engine, tolerance, [graph])
                continue
            except BundleError as error:
                troubles.append(str(error))
                engine.give_up(graph)
        check_golden(bundle, engine, None, [graph])


def _open_onnx(bundle: Bundle, threads: int, graphs: Collection[GraphName]) -> tuple[Engine, str]:
    try:
        import onnxruntime

        from magtkd_rt.engines.onnx import OnnxEngine
    except ImportError as error:
        raise EngineError(
            f"onnxruntime cannot be imported ({error})",
            remedy="pip install --upgrade magtkd-rt brings it",
        ) from error
    plural = "" if threads == 1 else "s"
    what = f"onnxruntime {onnxruntime.__version__} on the CPU, {threads} thread{plural}"
    engine = OnnxEngine(bundle, threads)
    engine.warm_up(graphs)
    return engine, what
