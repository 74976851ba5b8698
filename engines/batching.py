"""Runs of the same graph from several conversations go together."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from math import inf
from threading import Condition, get_ident
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.engines.interface import Engine
from magtkd_rt.errors import EngineError

Arrays = Mapping[str, NDArray[Any]]

ROW_WISE: Final[frozenset[GraphName]] = frozenset({"fusion", "speaker", "identity"})
"""Graphs whose inputs and outputs have a row for each case, and each row stands alone."""

MOST_ROWS: Final = 64
"""Rows of one run; a single call may bring more."""

WAITS_S: Final[Mapping[GraphName, float]] = {"speaker": 0.03}
"""How long a call may wait for company, by graph; others never do.

A conversation has a voice print every 128 ms and needs it before the next; two together cost a
third less than one by one. A run of the fusion is short, and a result waits for it.
"""
ENOUGH: Final = 4
"""Calls that need no more company: on a processor a row gets no cheaper from there on."""
_RECENT_S: Final = 0.5
"""Who has called within this time may soon call again."""


class BatchingEngine:
    """An engine whose callers on several threads share runs of row-wise graphs.

    What comes while a graph runs goes together next. A call that finds its graph idle runs at once
    where nobody else has called lately, so a lone conversation never waits; else it may wait for
    company, up to a deadline. Who calls gets their own results, so each thread has them in the
    order of its calls. Numbers agree with those of single runs to rounding.

    Args:
        engine: does the runs.
        waits_s: as :data:`WAITS_S`.
        at_once: runs of one graph at the same time.
    """

    def __init__(
        self, engine: Engine, waits_s: Mapping[GraphName, float] = WAITS_S, at_once: int = 1
    ) -> None:
        self.name = engine.name
        self._engine = engine
        self._queues: dict[GraphName, _Queue] = {
            name: _Queue(engine, name, waits_s.get(name, 0.0), at_once) for name in ROW_WISE
        }

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

    def batches(self) -> dict[GraphName, Counter[int]]:
        """By graph, how many runs have served how many callers at once."""
        return {name: queue.batches() for name, queue in self._queues.items()}

    def close(self) -> None:
        """Let the graphs go; a later `run` raises EngineError."""
        self._engine.close()


class _Call:
    """One caller's inputs, and what came of them."""

    def __init__(self, inputs: Arrays) -> None:
        self.since = time.monotonic()
        self.taken = False
        self.inputs = inputs
        self.rows = min(len(array) for array in inputs.values())
        self.alike = tuple((name, a.dtype.str, a.shape[1:]) for name, a in sorted(inputs.items()))
        self.outputs: dict[str, NDArray[Any]] = {}
        self.error: EngineError | None = None
        self.done = False


class _Queue:
    """The calls of one graph, oldest first; one of the callers runs for all that wait."""

    def __init__(self, engine: Engine, graph: GraphName, waits_s: float, at_once: int) -> None:
        self._engine = engine
        self._graph = graph
        self._waits_s = waits_s
        self._waiting: list[_Call] = []
        self._at_once = at_once
        self._running = 0
        self._changed = Condition()
        self._called: OrderedDict[int, float] = OrderedDict()  # by thread when; the latest last
        self._batches: Counter[int] = Counter()

    def batches(self) -> Counter[int]:
        """How many runs have served how many callers at once."""
        with self._changed:
            return self._batches.copy()

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        call = _Call(inputs)
        with self._changed:
            self._waiting.append(call)
            self._called[get_ident()] = call.since
            self._called.move_to_end(get_ident())
            if len(self._waiting) >= ENOUGH:
                self._changed.notify_all()  # whoever waits for company
        while not call.done:
            with self._changed:
                while not call.done and (wait_s := self._must_wait_s(call)) > 0:
                    self._changed.wait(None if wait_s == inf else wait_s)
                if call.done:
                    break
                self._running += 1
                together = self._take()
                self._batches[len(together)] += 1
            try:
                self._run_together(together)
            finally:
                with self._changed:
                    for one in together:
                        one.done = True
                    self._running -= 1
                    self._changed.notify_all()
        if call.error is not None:
            raise call.error
        return call.outputs

    def _must_wait_s(self, call: _Call) -> float:
        """For how long a call must not begin to run; without end until somebody tells it."""
        if call.taken or self._running >= self._at_once:
            return inf
        if not self._waits_s or len(self._waiting) >= ENOUGH:
            return 0.0
        now = time.monotonic()
        while self._called and next(iter(self._called.values())) < now - _RECENT_S:
            self._called.popitem(last=False)
        if len(self._called) <= len(self._waiting):
            return 0.0
        return self._waiting[0].since + self._waits_s - now

    def _take(self) -> list[_Call]:
        """The oldest call, and those that can go with it."""
        taken: list[_Call] = []
        rows = 0
        for call in list(self._waiting):
            if taken and (call.alike != taken[0].alike or rows + call.rows > MOST_ROWS):
                continue
            self._waiting.remove(call)
            call.taken = True
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
