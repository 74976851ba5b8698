"""The onnxruntime engine on real graphs."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from magtkd_rt.bundle.manifest import Manifest
from magtkd_rt.bundle.store import Bundle, write_bundle
from magtkd_rt.engines.onnx import OnnxEngine
from magtkd_rt.errors import EngineError

Files = dict[str, bytes | Path]


def test_runs_a_graph(tiny_bundle: Bundle) -> None:
    engine = OnnxEngine(tiny_bundle, threads=1)
    waveform = np.linspace(-1, 1, 700, dtype=np.float32)
    outputs = engine.run("audio", {"waveform": waveform[None]})
    assert list(outputs) == ["feature", "logits"]
    # The tiny audio graph: mean of the sines of the waveform at eight rates.
    rates = np.linspace(0.1, 3.0, 8, dtype=np.float32)
    wanted = np.sin(waveform[:, None] * rates).mean(axis=0)
    np.testing.assert_allclose(outputs["feature"], wanted[None], atol=1e-6)


def test_loads_at_first_run_only(tiny_bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_bundle.directory, tmp_path / "copy"))
    engine = OnnxEngine(Bundle.load(copy), threads=1)
    (copy / "fusion.onnx").unlink()
    waveform = np.zeros((1, 400), np.float32)
    first = engine.run("audio", {"waveform": waveform})
    (copy / "audio.onnx").unlink()
    again = engine.run("audio", {"waveform": waveform})
    np.testing.assert_array_equal(first["logits"], again["logits"])
    with pytest.raises(EngineError, match="cannot load the graph 'fusion'"):
        engine.warm_up()


def test_many_threads_share_one_engine(tiny_bundle: Bundle) -> None:
    engine = OnnxEngine(tiny_bundle, threads=2)
    inputs = [{"waveform": np.full((1, 400), level / 8, np.float32)} for level in range(8)]
    alone = [engine.run("audio", one)["logits"] for one in inputs]
    fresh = OnnxEngine(tiny_bundle, threads=2)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda one: fresh.run("audio", one)["logits"], inputs))
    np.testing.assert_array_equal(np.stack(alone), np.stack(together))


def test_idle_engine_takes_no_processor_time(tiny_bundle: Bundle) -> None:
    engine = OnnxEngine(tiny_bundle, threads=2)
    engine.warm_up()
    engine.run("video", {"faces": np.zeros((4, 48, 48), np.uint8)})
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.05


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc")
def test_threads_are_bounded(tiny_bundle: Bundle) -> None:
    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    before = threads()
    engine = OnnxEngine(tiny_bundle, threads=2)
    engine.warm_up()
    wanted = before + len(tiny_bundle.manifest.graphs)  # one beside the caller's for each graph
    patience = time.monotonic() + 5
    while threads() > wanted and time.monotonic() < patience:
        time.sleep(0.01)  # threads that have ended stay listed for a moment
    assert threads() <= wanted
    engine.close()


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"waveform": np.zeros((1, 400))},
        {"waveform": np.zeros(400, np.float32)},
        {"sound": np.zeros((1, 400), np.float32)},
    ],
)
def test_wrong_inputs(tiny_bundle: Bundle, inputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(EngineError, match="the graph 'audio' failed on") as caught:
        OnnxEngine(tiny_bundle, threads=1).run("audio", inputs)
    assert "\n" not in str(caught.value)


def test_closed_engine_refuses(tiny_bundle: Bundle) -> None:
    engine = OnnxEngine(tiny_bundle, threads=1)
    engine.warm_up()
    engine.close()
    with pytest.raises(EngineError, match="the engine is closed"):
        engine.run("audio", {"waveform": np.zeros((1, 400), np.float32)})


def test_graph_that_the_bundle_lacks(tiny_bundle: Bundle) -> None:
    with pytest.raises(
        EngineError, match="has no graph 'paper'; it has text, audio, video, fusion"
    ):
        OnnxEngine(tiny_bundle, threads=1).run("paper", {})


def test_no_thread_at_all_is_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="0 threads; give 1 or more"):
        OnnxEngine(tiny_bundle, threads=0)


def test_graph_that_is_none(tiny_manifest: Manifest, tiny_files: Files, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", tiny_manifest, {**tiny_files, "text.onnx": b"no graph"})
    before = threading.active_count()
    with pytest.raises(EngineError, match="cannot load the graph 'text'") as caught:
        OnnxEngine(bundle).warm_up()
    assert "\n" not in str(caught.value)
    assert threading.active_count() == before


def test_graph_that_is_another_than_the_manifest_says(
    tiny_manifest: Manifest, tiny_files: Files, tmp_path: Path
) -> None:
    files = {**tiny_files, "text.onnx": tiny_files["audio.onnx"]}
    bundle = write_bundle(tmp_path / "b", tiny_manifest, files)
    with pytest.raises(EngineError, match=r"'text' has the inputs \['waveform'\], its manifest"):
        OnnxEngine(bundle).warm_up()
