"""The default engine: onnxruntime on the CPU, with few threads that sleep when idle."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Final

import onnxruntime
from numpy.typing import NDArray

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.cache import EngineName
from magtkd_rt.engines.interface import Runner, run_apart
from magtkd_rt.errors import EngineError, ExtraMissing

Arrays = Mapping[str, NDArray[Any]]

Provider = str | tuple[str, dict[str, str]]
"""What computes, by onnxruntime's name, and options for it."""

_INT8_FILE: Final = "graph.onnx"
_LEAST_IN_8_BITS: Final = 0.25
"""Share of a graph's weights from which on 8 bits can be felt."""
_ERRORS_ONLY = 3  # onnxruntime's log severity
_ONE_SCALE: Final = frozenset[GraphName]({"speaker", "identity"})
"""Graphs of rows that in 8 bits have one scale a run: company would change what a row gives."""
_STEP_BY_STEP = frozenset({"speaker", "fusion"})
"""Graphs whose steps are too small to share: a second thread takes a third more processor time and
saves no tenth of the time; waking it takes as long as a product of one row."""


class OnnxEngine:
    """A bundle's graphs in onnxruntime sessions, each loaded at its first run or at `warm_up`.

    Args:
        bundle: whose graphs.
        threads: how many each graph may compute on, the caller's included.
    """

    name = "onnx"

    def __init__(self, bundle: Bundle, threads: int = 2) -> None:
        if threads < 1:
            raise EngineError(f"an engine cannot run on {threads} threads", remedy="give 1 or more")
        self._bundle = bundle
        self._threads = threads
        self._sessions: dict[GraphName, onnxruntime.InferenceSession] = {}
        self._locks = {graph: Lock() for graph in bundle.manifest.graphs}
        self._closed = False

    def warm_up(self, graphs: Collection[GraphName] | None = None) -> None:
        """Load graphs side by side, those of the live system where none are named.

        Raises:
            EngineError: a graph cannot be loaded.
        """
        graphs = self._bundle.manifest.live_graphs if graphs is None else graphs
        if not graphs:
            return
        with ThreadPoolExecutor(len(graphs), thread_name_prefix="load") as pool:
            list(pool.map(self._session, graphs))

    def run(self, graph: GraphName, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one graph: its named inputs in, its named outputs out.

        Raises:
            EngineError: the graph cannot be loaded, or not be run on these inputs.
        """
        return run_session(self._session(graph), self._bundle, graph, inputs)

    def close(self) -> None:
        """Let the sessions and their memory go; a later `run` raises EngineError."""
        self._closed = True
        self._sessions.clear()

    def _session(self, graph: GraphName) -> onnxruntime.InferenceSession:
        if graph not in self._locks:
            raise EngineError(
                f"the bundle {self._bundle.directory} has no graph {graph!r}",
                remedy=f"it has {', '.join(self._locks)}: use another bundle",
            )
        with self._locks[graph]:
            if self._closed:
                raise EngineError("the engine is closed", remedy="open another one")
            if graph not in self._sessions:
                self._sessions[graph] = self._load(graph)
            return self._sessions[graph]

    def _load(self, graph: GraphName) -> onnxruntime.InferenceSession:
        return open_session(self._bundle, graph, self._bundle.graph_path(graph), self._threads)


def open_session(
    bundle: Bundle,
    graph: GraphName,
    file: Path,
    threads: int,
    providers: Sequence[Provider] = ("CPUExecutionProvider",),
) -> onnxruntime.InferenceSession:
    """Load a file that holds a bundle's graph.

    Args:
        bundle: whose graph.
        graph: its name.
        file: where it is.
        threads: how many it may compute on, on the processor.
        providers: what may compute; the first that can do it does it.

    Raises:
        EngineError: it cannot be loaded, or has other inputs and outputs than the manifest says.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1 if graph in _STEP_BY_STEP else threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # Spinning threads keep a core busy between utterances.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # The arena would keep the memory of the longest utterance ever heard.
    options.enable_cpu_mem_arena = False
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=list(providers))
    except Exception as error:
        raise EngineError(
            f"onnxruntime {onnxruntime.__version__} cannot load the graph {graph!r} of "
            f"{file.parent} ({_first_line(error)})",
            remedy="upgrade onnxruntime, or install or export the bundle again",
        ) from error
    told = bundle.manifest.graphs[graph]
    for kind, wanted, nodes in (
        ("inputs", told.inputs, session.get_inputs()),
        ("outputs", told.outputs, session.get_outputs()),
    ):
        found = [node.name for node in nodes]
        if sorted(found) != sorted(wanted):
            raise EngineError(
                f"the graph {graph!r} has the {kind} {found}, its manifest says {wanted}",
                remedy="export the bundle again",
            )
    return session


def run_session(
    session: onnxruntime.InferenceSession, bundle: Bundle, graph: GraphName, inputs: Arrays
) -> dict[str, NDArray[Any]]:
    """Run a loaded graph.

    Raises:
        EngineError: it cannot be run on these inputs.
    """
    outputs = bundle.manifest.graphs[graph].outputs
    try:
        return dict(zip(outputs, session.run(outputs, dict(inputs)), strict=True))
    except Exception as error:  # onnxruntime's errors share no narrower class
        shown = ", ".join(f"{name} {a.dtype}{list(a.shape)}" for name, a in inputs.items())
        raise EngineError(
            f"the graph {graph!r} failed on {shown} ({_first_line(error)})",
            remedy="check that the inputs are as the bundle's manifest says",
        ) from error


class Int8Backend:
    """The same engine on a graph whose products and LSTMs run in 8 bits, by `magtkd compile`.

    Args:
        threads: how many the graph may compute on.
    """

    name: EngineName = "onnx"
    precision = "int8"

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def build(
        self,
        bundle: Bundle,
        graph: GraphName,
        cases: Sequence[Arrays],
        folder: Path,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Write the graph in 8 bits.

        Raises:
            EngineError: the package onnx is missing, or 8 bits would change next to nothing.
        """
        try:
            from magtkd_rt.engines.quantise import quantise
        except ImportError as error:
            raise ExtraMissing(error.name or "onnx", "engines") from error
        told("building")
        done = quantise(bundle.graph_path(graph), cases, folder / _INT8_FILE)
        if done.weights < _LEAST_IN_8_BITS:
            raise EngineError(
                f"only {done.weights:.0%} of its weights are in products or LSTMs that suit it",
                remedy="it stays in 32 bits",
            )

    def open(self, bundle: Bundle, graph: GraphName, folder: Path) -> Runner:
        """Load what was built.

        Raises:
            EngineError: it cannot be loaded.
        """
        session = open_session(bundle, graph, folder / _INT8_FILE, self._threads)
        run = partial(run_session, session, bundle, graph)
        return partial(_row_by_row, run) if graph in _ONE_SCALE else run


def _row_by_row(run: Runner, inputs: Arrays) -> dict[str, NDArray[Any]]:
    rows = len(next(iter(inputs.values())))
    return run_apart(run, inputs, (slice(row, row + 1) for row in range(rows)))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
