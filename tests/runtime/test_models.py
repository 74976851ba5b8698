"""The start: what is loaded side by side, and that all of it has run before anybody is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from numpy.typing import NDArray

from magtkd_rt.asr.scripted import ScriptedTranscriber
from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.config import ModelConfig
from magtkd_rt.engines import onnx, select
from magtkd_rt.engines.cache import Key
from magtkd_rt.engines.compile import compile_graphs
from magtkd_rt.engines.device import find_device
from magtkd_rt.engines.interface import Runner
from magtkd_rt.engines.onnx import OnnxEngine
from magtkd_rt.runtime.models import load_models
from magtkd_rt.runtime.recogniser import Recogniser

Arrays = Mapping[str, NDArray[Any]]
SECONDS = 20
"""After which graphs that were loaded one after the other would be noticed."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGTKD_ENGINE_CACHE", str(tmp_path / "engines"))


def config(bundle: Bundle) -> ModelConfig:
    return ModelConfig(bundle=str(bundle.directory), threads=1)


def test_everything_is_loaded_and_has_run_once(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only the golden cases: shapes as the recogniser gives them."""
    loaded: list[GraphName] = []
    runs: list[tuple[GraphName, int]] = []
    open_session, run_session = onnx.open_session, onnx.run_session

    def opening(bundle: Bundle, graph: GraphName, *more: Any) -> Any:
        loaded.append(graph)
        return open_session(bundle, graph, *more)

    def running(session: Any, bundle: Bundle, graph: GraphName, inputs: Arrays) -> Any:
        runs.append((graph, min(len(array) for array in inputs.values())))
        return run_session(session, bundle, graph, inputs)

    monkeypatch.setattr(onnx, "open_session", opening)
    monkeypatch.setattr(onnx, "run_session", running)
    models = load_models(config(tiny_bundle), ScriptedTranscriber([]))
    assert sorted(loaded) == sorted(tiny_bundle.manifest.live_graphs)
    assert ("fusion", 4) in runs  # all three modalities, and each left out once
    assert {graph for graph, _ in runs} == set(tiny_bundle.manifest.live_graphs)
    before = len(loaded)
    Recogniser(models.bundle, models.recogniser.engine).warm_up()
    assert len(loaded) == before
    models.close()


def test_graphs_are_loaded_side_by_side(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = Barrier(len(tiny_bundle.manifest.live_graphs), timeout=SECONDS)
    open_session = onnx.open_session

    def opening(*about: Any) -> Any:
        together.wait()
        return open_session(*about)

    monkeypatch.setattr(onnx, "open_session", opening)
    load_models(config(tiny_bundle), ScriptedTranscriber([])).close()


class Backend:
    """The bundle's own graph; opening waits for whatever is opened beside it."""

    name: Any = "inductor"
    precision = "float32"

    def __init__(self) -> None:
        self.together: Barrier | None = None

    def build(
        self, bundle: Bundle, graph: GraphName, cases: Any, folder: Path, told: object
    ) -> None:
        (folder / "graph").write_bytes(b"built")

    def open(self, bundle: Bundle, graph: GraphName, folder: Path) -> Runner:
        if self.together is not None:
            self.together.wait()
        engine = OnnxEngine(bundle, 1)
        return lambda inputs: engine.run(graph, inputs)


def test_compiled_graphs_are_opened_beside_those_that_are_not(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, device = Backend(), find_device("cpu")
    built: tuple[GraphName, ...] = ("video", "fusion")
    for record in compile_graphs(tiny_bundle, backend, device, 1, built, lambda *_: None):
        assert record.accepted
        assert Key.of(tiny_bundle, record.graph, "inductor", device, 1).directory.is_dir()
    plain = len(tiny_bundle.manifest.live_graphs) - len(built)
    backend.together = Barrier(len(built) + plain, timeout=SECONDS)
    open_session = onnx.open_session

    def opening(bundle: Bundle, graph: GraphName, *more: Any) -> Any:
        assert backend.together is not None
        if graph not in built:
            backend.together.wait()
        return open_session(bundle, graph, *more)

    monkeypatch.setattr(onnx, "open_session", opening)
    monkeypatch.setattr(select, "open_backend", lambda *_: backend)
    monkeypatch.setattr(select, "_WORTH", 0.0)
    models = load_models(config(tiny_bundle), ScriptedTranscriber([]))
    assert "fusion by inductor" in models.engine_reason
    assert models.troubles == []
    models.close()
