"""Which engine runs a bundle, and why."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, get_args

from magtkd_rt.bundle.golden import check_golden
from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.backends import open_backend
from magtkd_rt.engines.cache import EngineName, Entry, Key, read, root
from magtkd_rt.engines.device import Device, DeviceKind, find_device
from magtkd_rt.engines.interface import Engine, Runner
from magtkd_rt.engines.mixed import MixedEngine
from magtkd_rt.engines.parity import LIMITS
from magtkd_rt.errors import BundleError, EngineError, MagtkdError

ENGINES: Final[tuple[EngineName, ...]] = get_args(EngineName)
"""Engines that can be asked for by name, the default first."""

_WORTH: Final = 1.1
"""How much faster than the default a compiled graph has to be, to be chosen by itself."""


@dataclass(frozen=True, slots=True)
class Selected:
    """An engine whose graphs are loaded and agree with the bundle; `reason` is one line."""

    engine: Engine
    reason: str


def select(bundle: Bundle, prefer: str = "auto", threads: int = 2) -> Selected:
    """Open an engine for a bundle, and let it prove itself on the golden inputs.

    Graphs that `magtkd compile` built for this machine run as they were built; the others, and
    those that turn out damaged or wrong, on onnxruntime.

    Args:
        bundle: whose graphs are to be run.
        prefer: a name of :data:`ENGINES`, or `auto` for the fastest of what was compiled.
        threads: how many threads each graph may compute on.

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
    found = _compiled(bundle, wanted, threads, by_itself=prefer == "auto", troubles=troubles)
    plain = [graph for graph in bundle.manifest.live_graphs if graph not in found]
    with ThreadPoolExecutor(1 + len(found), thread_name_prefix="load") as pool:
        opening = {
            graph: pool.submit(_open, bundle, graph, entry, threads)
            for graph, entry in found.items()
        }
        base, what = _open_onnx(bundle, threads, plain)
        runners: dict[GraphName, Runner] = {}
        for graph, opened in opening.items():
            try:
                runners[graph] = opened.result()
            except MagtkdError as error:
                troubles.append(f"{graph}: {error}")
    why = "the default" if prefer == "auto" else "asked for"
    if not runners:
        if prefer not in ("auto", "onnx"):
            why = f"nothing is compiled for {prefer} here, `magtkd compile` does that"
        check_golden(bundle, base)
        reason = f"{what}: {why}; it reproduces the bundle's golden outputs"
        return Selected(base, "; ".join([reason, *troubles]))
    names = sorted({found[graph].record.engine for graph in runners} | {"onnx"})
    engine = MixedEngine(base, runners, "+".join(names))
    _prove(bundle, engine, found, troubles)
    told = ", ".join(
        f"{graph} by {found[graph].record.engine} in {found[graph].record.precision}"
        for graph in runners
        if graph in engine.elsewhere
    )
    reason = f"{what}: {why}; compiled: {told or 'none'}; golden outputs reproduced"
    return Selected(engine, "; ".join([reason, *troubles]))


def _compiled(
    bundle: Bundle,
    engines: Collection[EngineName],
    threads: int,
    *,
    by_itself: bool,
    troubles: list[str],
) -> dict[GraphName, Entry]:
    """The fastest accepted build of each graph, for a device that is here."""
    found: dict[GraphName, Entry] = {}
    if not root().is_dir():
        return found
    for device in _devices():
        for graph in bundle.manifest.live_graphs:
            for name in engines:
                try:
                    entry = read(Key.of(bundle, graph, name, device, threads))
                except EngineError as error:
                    troubles.append(f"{graph}: {error}")
                    continue
                if entry is None or not entry.record.accepted:
                    continue
                record = entry.record
                if by_itself and record.median_ms * _WORTH > record.plain_ms:
                    continue
                if graph not in found or record.median_ms < found[graph].record.median_ms:
                    found[graph] = entry
    return found


def _devices() -> list[Device]:
    kinds: tuple[DeviceKind, ...] = ("cpu", "cuda")
    devices = []
    for kind in kinds:
        try:
            devices.append(find_device(kind))
        except EngineError:
            continue  # no GPU is no trouble
    return devices


def _open(bundle: Bundle, graph: GraphName, entry: Entry, threads: int) -> Runner:
    record = entry.record
    kind: DeviceKind = "cpu" if record.device == find_device("cpu").name else "cuda"
    backend = open_backend(record.engine, kind, threads, record.precision)
    return backend.open(bundle, graph, entry.directory)


def _prove(
    bundle: Bundle, engine: MixedEngine, found: dict[GraphName, Entry], troubles: list[str]
) -> None:
    """Check every graph; one that is wrong elsewhere has to be right on the default engine."""
    for graph in bundle.manifest.live_graphs:
        if graph in engine.elsewhere:
            limit = LIMITS[found[graph].record.precision].logits
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
