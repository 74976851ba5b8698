"""The fake engine behaves like one: shapes, rows, masks and state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.fake import FakeEngine
from magtkd_rt.engines.onnx import OnnxEngine
from magtkd_rt.errors import EngineError


def fusion_inputs(rows: int = 2) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(1)
    features = {
        name: random.standard_normal((rows, 8), dtype=np.float32)
        for name in ("text", "audio", "video")
    }
    return {
        **features,
        "present": np.ones((rows, 3), np.bool_),
        "speaker": np.zeros(rows, np.int64),
        "keys": np.zeros((rows, 1, 1, 4, 8), np.float32),
        "valid": np.zeros((rows, 3, 4), np.bool_),
        "ahead": np.zeros(rows, np.int64),
    }


def test_same_shapes_and_types_as_the_real_graphs(tiny_bundle: Bundle) -> None:
    real, fake = OnnxEngine(tiny_bundle, threads=1), FakeEngine(tiny_bundle)
    fake.warm_up()
    inputs: dict[str, dict[str, NDArray[Any]]] = {
        "text": {"input_ids": np.array([[2, 9, 4, 3]]), "mask_position": np.array([2])},
        "audio": {"waveform": np.ones((1, 400), np.float32)},
        "video": {"faces": np.ones((2, 48, 48), np.uint8)},
        "fusion": fusion_inputs(),
        "speaker": {"waveform": np.ones((2, 19_456), np.float32)},
        "identity": {"waveform": np.ones((2, 32_000), np.float32)},
    }
    graphs = tiny_bundle.manifest.live_graphs
    for graph in graphs:
        wanted, got = real.run(graph, inputs[graph]), fake.run(graph, inputs[graph])
        assert {name: (a.shape, a.dtype) for name, a in got.items()} == {
            name: (a.shape, a.dtype) for name, a in wanted.items()
        }
    assert fake.runs == dict.fromkeys(graphs, 1)
    fake.close()


def test_same_input_same_output_and_other_input_another(tiny_bundle: Bundle) -> None:
    ones, zeros = np.ones((1, 400), np.float32), np.zeros((1, 400), np.float32)
    first = FakeEngine(tiny_bundle).run("audio", {"waveform": ones})["logits"]
    again = FakeEngine(tiny_bundle).run("audio", {"waveform": ones})["logits"]
    other = FakeEngine(tiny_bundle).run("audio", {"waveform": zeros})["logits"]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_fusion_rows_masks_and_state(tiny_bundle: Bundle) -> None:
    engine = FakeEngine(tiny_bundle)
    inputs = fusion_inputs()
    both = engine.run("fusion", inputs)
    second = engine.run("fusion", {name: array[1:] for name, array in inputs.items()})
    np.testing.assert_array_equal(both["logits"][1:], second["logits"])

    masked = {**inputs, "present": np.array([[True, False, True]] * 2)}
    without = engine.run("fusion", masked)["logits"]
    assert not np.array_equal(without, both["logits"])
    noise = engine.run("fusion", {**masked, "audio": inputs["audio"] + 1})["logits"]
    np.testing.assert_array_equal(without, noise)

    ahead = engine.run("fusion", {**inputs, "ahead": np.array([0, 1])})["logits"]
    np.testing.assert_array_equal(ahead[0], both["logits"][0])
    assert not np.array_equal(ahead[1], both["logits"][1])

    later = {**inputs, "keys": both["keys_out"], "valid": both["valid_out"]}
    assert not np.array_equal(engine.run("fusion", later)["logits"], both["logits"])


def test_failing_graphs_and_missing_inputs(tiny_bundle: Bundle) -> None:
    engine = FakeEngine(tiny_bundle, failing=frozenset({"video"}))
    with pytest.raises(EngineError, match="the fake graph 'video' failed"):
        engine.run("video", {"faces": np.ones((2, 48, 48), np.uint8)})
    with pytest.raises(EngineError, match="give it waveform"):
        engine.run("audio", {})
