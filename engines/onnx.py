"""The default engine: onnxruntime on the CPU, with few threads that sleep when idle."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.errors import EngineError

_ERRORS_ONLY = 3  # onnxruntime's log severity
_STEP_BY_STEP = frozenset({"speaker"})
"""Graphs whose steps are too small to share: a second thread takes a third more processor time and
saves no tenth of the time."""


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

    def warm_up(self) -> None:
        """Load the graphs of the live system side by side.

        Raises:
            EngineError: a graph cannot be loaded.
        """
        graphs = self._bundle.manifest.live_graphs
        with ThreadPoolExecutor(len(graphs), thread_name_prefix="load") as pool:
            list(pool.map(self._session, graphs))

    def run(self, graph: GraphName, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one graph: its named inputs in, its named outputs out.

        Raises:
            EngineError: the graph cannot be loaded, or not be run on these inputs.
        """
        session = self._session(graph)
        outputs = self._bundle.manifest.graphs[graph].outputs
        try:
            return dict(zip(outputs, session.run(outputs, dict(inputs)), strict=True))
        except Exception as error:  # onnxruntime's errors share no narrower class
            shown = ", ".join(f"{name} {a.dtype}{list(a.shape)}" for name, a in inputs.items())
            raise EngineError(
                f"the graph {graph!r} failed on {shown} ({_first_line(error)})",
                remedy="check that the inputs are as the bundle's manifest says",
            ) from error

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
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1 if graph in _STEP_BY_STEP else self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        # Spinning threads keep a core busy between utterances.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        # The arena would keep the memory of the longest utterance ever heard.
        options.enable_cpu_mem_arena = False
        try:
            session = onnxruntime.InferenceSession(
                str(self._bundle.graph_path(graph)), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise EngineError(
                f"onnxruntime {onnxruntime.__version__} cannot load the graph {graph!r} of "
                f"{self._bundle.directory} ({_first_line(error)})",
                remedy="upgrade onnxruntime, or install or export the bundle again",
            ) from error
        told = self._bundle.manifest.graphs[graph]
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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
