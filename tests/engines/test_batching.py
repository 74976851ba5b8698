"""Runs that go together: the same numbers, nobody waits alone, one failure stays one failure."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines import batching
from magtkd_rt.engines.batching import ENOUGH, MOST_ROWS, Arrays, BatchingEngine
from magtkd_rt.engines.onnx import OnnxEngine
from magtkd_rt.errors import EngineError

WINDOW = 19456


class Doubles:
    """An engine that doubles, one call at a time where the test opens the gate."""

    name = "doubles"

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)

    def warm_up(self) -> None:
        pass

    def run(self, graph: GraphName, inputs: Arrays) -> dict[str, NDArray[Any]]:
        self.rows.append(len(inputs["x"]))
        self.entered.release()
        assert self.gate.acquire(timeout=5)
        if np.isnan(inputs["x"]).any():
            raise EngineError("no number", remedy="give numbers")
        return {"y": 2 * inputs["x"]}

    def close(self) -> None:
        pass


def row(value: float, width: int = 2) -> dict[str, NDArray[np.float32]]:
    return {"x": np.full((1, width), value, np.float32)}


def test_a_lone_call_runs_at_once() -> None:
    inner = Doubles()
    inner.gate.release()
    outputs = BatchingEngine(inner).run("fusion", row(3))
    assert outputs["y"].tolist() == [[6, 6]]
    assert inner.rows == [1]


def gather(inner: Doubles, calls: list[dict[str, NDArray[np.float32]]]) -> list[Any]:
    """Call while the graph is busy with another call, so that all of them wait together."""
    engine = BatchingEngine(inner)
    with ThreadPoolExecutor(len(calls) + 1) as pool:
        first = pool.submit(engine.run, "fusion", row(0))
        assert inner.entered.acquire(timeout=5)
        rest = []
        for n, call in enumerate(calls, start=1):
            rest.append(pool.submit(engine.run, "fusion", call))
            queue = engine._queues["fusion"]
            while len(queue._waiting) < n:
                pass
        for _ in range(50):
            inner.gate.release()
        first.result(5)
        return [one.exception(5) or one.result()["y"] for one in rest]


def test_what_waits_goes_together_and_each_gets_its_own() -> None:
    inner = Doubles()
    results = gather(inner, [row(n) for n in range(1, 6)])
    assert [result[0, 0] for result in results] == [2, 4, 6, 8, 10]
    assert inner.rows == [1, 5]
    assert all(result.base is None for result in results)


def test_other_shapes_go_apart() -> None:
    inner = Doubles()
    results = gather(inner, [row(1), row(2, width=3), row(3)])
    assert [result.shape for result in results] == [(1, 2), (1, 3), (1, 2)]
    assert sorted(inner.rows) == [1, 1, 2]


def test_no_run_is_longer_than_the_bound() -> None:
    inner = Doubles()
    calls = [{"x": np.ones((MOST_ROWS // 2, 2), np.float32)} for _ in range(3)]
    assert all(len(result) == MOST_ROWS // 2 for result in gather(inner, calls))
    assert inner.rows == [1, MOST_ROWS, MOST_ROWS // 2]


def test_one_bad_call_spoils_no_other() -> None:
    inner = Doubles()
    good, bad, other = gather(inner, [row(1), row(np.nan), row(2)])
    assert isinstance(bad, EngineError)
    assert good[0, 0] == 2
    assert other[0, 0] == 4


class Logs(Doubles):
    """Doubles without a gate; remembers each run's rows, in order."""

    def __init__(self, takes_s: float = 0.0) -> None:
        super().__init__()
        self.runs: list[list[tuple[float, ...]]] = []
        self._takes_s = takes_s

    def run(self, graph: GraphName, inputs: Arrays) -> dict[str, NDArray[Any]]:
        self.runs.append([tuple(row) for row in inputs["x"].tolist()])
        time.sleep(self._takes_s)
        self.gate.release()
        return super().run(graph, inputs)


LONG: dict[GraphName, float] = {"speaker": 5.0}
"""So that who waits in vain is noticed."""


def call_from(pool: ThreadPoolExecutor, engine: BatchingEngine, value: float) -> Any:
    """A call from a conversation of its own: the pool has one thread."""
    return pool.submit(engine.run, "speaker", row(value))


def test_a_lone_conversation_never_waits() -> None:
    inner = Logs()
    engine = BatchingEngine(inner, LONG)
    with ThreadPoolExecutor(1) as pool:
        for value in range(5):
            call_from(pool, engine, value).result(2)
    assert inner.rows == [1] * 5
    assert engine.batches() == {"fusion": {}, "speaker": {1: 5}, "identity": {}}


def test_who_calls_among_others_waits_for_company_until_the_deadline() -> None:
    inner = Logs()
    engine = BatchingEngine(inner, {"speaker": 0.2})
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        call_from(one, engine, 1).result(2)  # nobody else yet
        start = time.monotonic()
        call_from(other, engine, 2).result(2)  # alone: the first does not call again
        assert time.monotonic() - start >= 0.2
        waiting = call_from(one, engine, 3)
        assert not waiting.done()
        joined = call_from(other, engine, 4)  # all who have called lately are there: no more wait
        assert (waiting.result(2)["y"][0, 0], joined.result(2)["y"][0, 0]) == (6, 8)
    assert inner.rows == [1, 1, 2]


def test_nobody_waits_for_who_has_gone_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "_RECENT_S", 0.05)
    inner = Logs()
    engine = BatchingEngine(inner, LONG)
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        call_from(one, engine, 1).result(2)
        time.sleep(0.1)
        call_from(other, engine, 2).result(2)


def test_enough_calls_need_no_more_company() -> None:
    inner = Logs()
    engine = BatchingEngine(inner, {"speaker": 0.5})
    pools = [ThreadPoolExecutor(1) for _ in range(ENOUGH + 1)]
    for call in [call_from(pool, engine, value) for value, pool in enumerate(pools)]:
        call.result(2)
    start = time.monotonic()
    calls = [call_from(pool, engine, value) for value, pool in enumerate(pools[:ENOUGH])]
    assert [call.result(2)["y"][0, 0] for call in calls] == [0, 2, 4, 6]
    assert time.monotonic() - start < 0.4  # the one that is missing was not waited for
    for pool in pools:
        pool.shutdown()


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("waits_s", [0.0, 0.005])
def test_under_load_each_conversation_gets_its_own_in_order(waits_s: float, at_once: int) -> None:
    inner = Logs(takes_s=0.001)
    engine = BatchingEngine(inner, {"speaker": waits_s}, at_once)

    def converse(number: int) -> None:
        random = np.random.default_rng(number)
        for turn in range(30):
            rows = int(random.integers(1, 4))
            bad = random.random() < 0.1
            own = np.full((rows, 2), np.nan if bad else turn, np.float32)
            own[:, 0] = number
            if bad:
                with pytest.raises(EngineError, match="no number"):
                    engine.run("speaker", {"x": own})
            else:
                assert (engine.run("speaker", {"x": own})["y"] == 2 * own).all()
            time.sleep(random.exponential(0.002))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(converse, range(12)))
    asked: dict[float, list[float]] = {}
    for run in inner.runs:
        for number, turn in run:
            if not np.isnan(turn):
                asked.setdefault(number, []).append(turn)
    assert len(asked) == 12
    assert all(turns == sorted(turns) for turns in asked.values())
    batches = engine.batches()["speaker"]
    assert sum(calls * runs for calls, runs in batches.items()) == 12 * 30
    assert max(batches) > 1


@pytest.mark.parametrize("graph", ["speaker", "fusion"])
def test_the_starter_says_the_same_together(graph: GraphName) -> None:
    bundle = Bundle.load("starter")
    engine = OnnxEngine(bundle, threads=1)
    random = np.random.default_rng(0)
    if graph == "speaker":
        calls = [
            {"waveform": random.normal(0, 0.1, (1, WINDOW)).astype(np.float32)} for _ in range(4)
        ]
    else:
        size = bundle.manifest.feature_size
        calls = [
            {
                **{
                    name: random.normal(size=(2, size)).astype(np.float32)
                    for name in ("text", "audio", "video")
                },
                "present": np.ones((2, 3), np.bool_),
                "speaker": np.zeros(2, np.int64),
                **{
                    array.name: np.zeros((2, *array.shape), array.dtype)
                    for array in bundle.manifest.fusion.state
                },
                "ahead": np.zeros(2, np.int64),
            }
            for _ in range(4)
        ]
    alone = [engine.run(graph, call) for call in calls]
    joined = {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}
    together = engine.run(graph, joined)
    for name, array in together.items():
        expected = np.concatenate([one[name] for one in alone])
        np.testing.assert_allclose(array, expected, atol=2e-5)
