"""onnxruntime on a GPU: chosen where it is there, and told of where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tiny_bundle import tiny_inputs

from magtkd_rt.bundle.golden import read_golden
from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines import select as selecting
from magtkd_rt.engines.compile import compile_graphs
from magtkd_rt.engines.device import Device, DeviceKind, find_device
from magtkd_rt.engines.mixed import MixedEngine
from magtkd_rt.engines.onnx import OnnxEngine
from magtkd_rt.engines.onnx_cuda import PROVIDER, CudaBackend
from magtkd_rt.engines.parity import compare
from magtkd_rt.engines.select import select
from magtkd_rt.errors import EngineError

REAL = onnxruntime.InferenceSession
GPU = Device("cuda", "Some GPU", "13.0")


class Gpu:
    """What onnxruntime is with a GPU, computed on the processor.

    Args:
        starts: whether CUDA starts; else onnxruntime takes the next provider, as it really does.
        fails: what it raises instead.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, starts: bool = True) -> None:
        self.starts = starts
        self.fails: Exception | None = None
        self.asked: list[Any] = []
        available = [PROVIDER, "CPUExecutionProvider"]
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
        monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
        monkeypatch.setattr(onnxruntime, "InferenceSession", self._session)

    def _session(self, file: str, options: Any, providers: Sequence[Any]) -> Any:
        if providers == ["CPUExecutionProvider"]:
            return REAL(file, options, providers=providers)
        self.asked = list(providers)
        if self.fails is not None:
            raise self.fails
        return _Session(REAL(file, options, providers=providers[-1:]), self.starts)


class _Session:
    def __init__(self, inner: Any, on_gpu: bool) -> None:
        self._inner, self._on_gpu = inner, on_gpu

    def get_providers(self) -> list[str]:
        return [PROVIDER] * self._on_gpu + ["CPUExecutionProvider"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGTKD_ENGINE_CACHE", str(tmp_path / "engines"))


def test_it_is_asked_for_first_and_says_the_same(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Gpu(monkeypatch)
    run = CudaBackend().open(tiny_bundle, "fusion", tmp_path)
    (name, options), last = gpu.asked
    assert (name, last) == (PROVIDER, "CPUExecutionProvider")
    assert options["use_tf32"] == "0"
    wanted = OnnxEngine(tiny_bundle, 1).run("fusion", tiny_inputs("fusion"))
    got = run(tiny_inputs("fusion"))
    assert all((got[name] == wanted[name]).all() for name in wanted)


@pytest.mark.skipif(
    PROVIDER in onnxruntime.get_available_providers(), reason="this onnxruntime has CUDA"
)
def test_an_onnxruntime_without_cuda_says_how_to_get_it() -> None:
    with pytest.raises(EngineError, match=r"built without CUDA .*onnxruntime-gpu\[cuda,cudnn\]"):
        CudaBackend()


def test_cuda_that_does_not_start_is_told_of(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Gpu(monkeypatch, starts=False)
    with pytest.raises(EngineError, match="cannot start CUDA .*the driver, CUDA and cuDNN"):
        CudaBackend().open(tiny_bundle, "text", tmp_path)


def test_a_driver_older_than_the_library_is_told_of(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version"
    Gpu(monkeypatch).fails = RuntimeError(old)
    with pytest.raises(EngineError, match="driver version is insufficient"):
        CudaBackend().open(tiny_bundle, "text", tmp_path)


def with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(kind: DeviceKind) -> Device:
        return GPU if kind == "cuda" else find_device(kind)

    monkeypatch.setattr(selecting, "find_device", find)


def test_compiled_for_cuda_it_is_taken_where_it_starts_and_else_told_of(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Gpu(monkeypatch)
    with_a_gpu(monkeypatch)
    graphs = tiny_bundle.manifest.live_graphs
    records = compile_graphs(tiny_bundle, CudaBackend(), GPU, 1, graphs, lambda *_: None)
    assert all(record.accepted and record.precision == "float32" for record in records)
    selected = select(tiny_bundle, "onnx", device="cuda")
    assert isinstance(selected.engine, MixedEngine)
    assert selected.engine.elsewhere == set(graphs)
    assert "text by onnx in float32" in selected.reason and not selected.troubles
    assert select(tiny_bundle, "onnx", device="cpu").engine.name == "onnx"
    gpu.starts = False
    fallen = select(tiny_bundle, "onnx", device="cuda")
    assert isinstance(fallen.engine, OnnxEngine)
    assert len(fallen.troubles) == len(graphs)
    assert all("cannot start CUDA" in trouble for trouble in fallen.troubles)
    fallen.engine.run("video", tiny_inputs("video"))


def test_nothing_compiled_for_cuda_is_said(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_a_gpu(monkeypatch)
    selected = select(tiny_bundle, device="cuda")
    assert "nothing is compiled for cuda here, `magtkd compile` does that" in selected.reason


@pytest.mark.gpu
@pytest.mark.parametrize("graph", ["text", "audio", "video", "fusion", "speaker", "identity"])
def test_on_a_gpu_each_graph_is_within_the_gate(graph: GraphName, tmp_path: Path) -> None:
    starter = Bundle.load("starter")
    run, exact = CudaBackend().open(starter, graph, tmp_path), OnnxEngine(starter, 1)
    cases = [case.inputs for case in read_golden(starter) if case.graph == graph]
    parity = compare("float32", cases, lambda inputs: exact.run(graph, inputs), run)
    assert parity.passed, parity
    assert np.isfinite(parity.logits)
