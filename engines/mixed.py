"""Each graph on the engine that is best for it; where one fails, the default engine goes on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from threading import Lock
from typing import Any

from numpy.typing import NDArray

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.engines.batching import ROW_WISE
from magtkd_rt.engines.interface import Engine, Runner, run_apart
from magtkd_rt.errors import EngineError

Arrays = Mapping[str, NDArray[Any]]
_log = logging.getLogger(__name__)


class MixedEngine:
    """An engine some of whose graphs run elsewhere.

    Args:
        base: runs the other graphs, and every graph that fails elsewhere.
        elsewhere: graph -> what runs it, loaded already.
        name: of the whole, for `session.started`.
        troubles: gets a line for each graph that fails on the way.
    """

    def __init__(
        self,
        base: Engine,
        elsewhere: Mapping[GraphName, Runner],
        name: str,
        troubles: list[str] | None = None,
    ) -> None:
        self.name = name
        self.troubles: list[str] = [] if troubles is None else troubles
        self._base = base
        self._elsewhere = dict(elsewhere)
        self._lock = Lock()

    @property
    def elsewhere(self) -> frozenset[GraphName]:
        """The graphs that do not run on the default engine."""
        return frozenset(self._elsewhere)

    def warm_up(self) -> None:
        """Everything was loaded by who made this."""

    def run(self, graph: GraphName, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run one graph.

        A run that fails elsewhere is tried with half the rows, where rows stand alone, such as for
        lack of memory; then, for good, on the default engine.

        Raises:
            EngineError: the default engine cannot run it either.
        """
        runner = self._elsewhere.get(graph)
        if runner is None:
            return self._base.run(graph, inputs)
        try:
            return run_in_parts(graph, runner, inputs)
        except EngineError as error:
            outputs = self._base.run(graph, inputs)  # wrong inputs fail here too
            self._give_up(graph, error)
            return outputs

    def give_up(self, graph: GraphName) -> None:
        """Let the default engine run this graph from now on."""
        self._elsewhere.pop(graph, None)

    def close(self) -> None:
        """Let the graphs go; a later `run` raises EngineError."""
        self._elsewhere.clear()
        self._base.close()

    def _give_up(self, graph: GraphName, error: EngineError) -> None:
        with self._lock:
            if graph not in self._elsewhere:
                return
            self.give_up(graph)
            self.troubles.append(
                f"the graph {graph!r} failed and runs on {self._base.name} now: {error.problem}"
            )
        _log.warning(self.troubles[-1])


def run_in_parts(graph: GraphName, runner: Runner, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Run a graph; where that fails and rows stand alone, such as for lack of memory, half of them.

    Raises:
        EngineError: it fails with a single row, too.
    """
    try:
        return runner(inputs)
    except EngineError:
        rows = min(len(array) for array in inputs.values())
        if graph not in ROW_WISE or rows < 2:
            raise
    halves = slice(None, rows // 2), slice(rows // 2, None)
    return run_apart(partial(run_in_parts, graph, runner), inputs, halves)
