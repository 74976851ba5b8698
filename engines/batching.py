"""Runs of the same graph from several conversations go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Condition
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.engines.interface import Engine
from magtkd_rt.errors import EngineError

Arrays = Mapping[str, NDArray[Any]]

ROW_WISE: Final[frozenset[GraphName]] = frozenset({"fusion", "speaker"})
"""Graphs whose inputs and outputs have a row for each case, and each row stands alone."""

MOST_ROWS: Final = 64
"""Rows of one run; a single call may bring more."""


class BatchingEngine:
    """An engine whose callers on several threads share runs of row-wise graphs.

    Nobody waits for company: a call that finds its graph idle runs at once, and what comes
    meanwhile goes together next. Numbers agree with those of single runs to rounding.

    Args:
        engine: does the runs.
    """

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self._engine = engine
        self._queues: dict[GraphName, _Queue] = {name: _Queue(engine, name) for name in ROW_WISE}

    def warm_up(self) -> None:
        """Load the graphs of the live system now.

        Raises:
            EngineError: a graph cannot be loaded.
        """
        self._engine.warm_up()

    def run(self, graph: GraphName, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run one graph: its named inputs in, its named outputs out.

        Raises:
            EngineError: the graph cannot be loaded, or not be run on these inputs.
        """
        queue = self._queues.get(graph)
        return self._engine.run(graph, inputs) if queue is None else queue.run(inputs)

    def close(self) -> None:
        """Let the graphs go; a later `run` raises EngineError."""
        self._engine.close()


class _Call:
    """One caller's inputs, and what came of them."""

    def __init__(self, inputs: Arrays) -> None:
        self.inputs = inputs
        self.rows = min(len(array) for array in inputs.values())
        self.alike = tuple((name, a.dtype.str, a.shape[1:]) for name, a in sorted(inputs.items()))
        self.outputs: dict[str, NDArray[Any]] = {}
        self.error: EngineError | None = None
        self.done = False


class _Queue:
    """The calls of one graph, oldest first; one of the callers runs for all that wait."""

    def __init__(self, engine: Engine, graph: GraphName) -> None:
        self._engine = engine
        self._graph = graph
        self._waiting: list[_Call] = []
        self._running = False
        self._changed = Condition()

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        call = _Call(inputs)
        with self._changed:
            self._waiting.append(call)
        while not call.done:
            with self._changed:
                while self._running and not call.done:
                    self._changed.wait()
                if call.done:
                    break
                self._running = True
                together = self._take()
            try:
                self._run_together(together)
            finally:
                with self._changed:
                    for one in together:
                        one.done = True
                    self._running = False
                    self._changed.notify_all()
        if call.error is not None:
            raise call.error
        return call.outputs

    def _take(self) -> list[_Call]:
        """The oldest call, and those that can go with it."""
        taken: list[_Call] = []
        rows = 0
        for call in list(self._waiting):
            if taken and (call.alike != taken[0].alike or rows + call.rows > MOST_ROWS):
                continue
            self._waiting.remove(call)
            taken.append(call)
            rows += call.rows
        return taken

    def _run_together(self, calls: Sequence[_Call]) -> None:
        if len(calls) > 1:
            names = calls[0].inputs
            joined = {name: np.concatenate([call.inputs[name] for call in calls]) for name in names}
            try:
                outputs = self._engine.run(self._graph, joined)
            except EngineError:
                pass  # alone, those that are not to blame succeed
            else:
                ends = np.cumsum([call.rows for call in calls])
                for call, end in zip(calls, ends, strict=True):
                    part = slice(end - call.rows, end)
                    # Copies: a view would keep everybody's rows alive in each session's state.
                    call.outputs = {name: array[part].copy() for name, array in outputs.items()}
                return
        for call in calls:
            try:
                call.outputs = self._engine.run(self._graph, call.inputs)
            except EngineError as error:
                call.error = error
