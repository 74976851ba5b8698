"""Few shapes, and filled up inputs say what they said before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_graphs import encoder_graph

from magtkd_rt.bundle.golden import read_golden
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.batching import MOST_ROWS
from magtkd_rt.engines.buckets import (
    fill_rows,
    fill_tokens,
    rows_bucket,
    shape_ranges,
    tokens_bucket,
)
from magtkd_rt.engines.eager import in_buckets
from magtkd_rt.engines.torch_graph import TorchGraph
from magtkd_rt.train.graphs import input_arrays, to_onnx


@pytest.fixture(scope="module")
def starter() -> Bundle:
    return Bundle.load("starter")


def test_a_bucket_holds_what_it_is_asked_for_and_there_are_few() -> None:
    for longest in (3, 96, 100, 512):
        found = [tokens_bucket(tokens, longest) for tokens in range(2, longest + 1)]
        assert all(got >= tokens for tokens, got in enumerate(found, 2))
        assert max(found) == longest
        assert len(set(found)) <= 10
        assert {tokens_bucket(bucket, longest) for bucket in found} == set(found)
    assert tokens_bucket(600, 512) == 600  # too long: for the graph to judge
    assert [rows_bucket(rows) for rows in (1, 2, 3, 5, 64, 65)] == [1, 2, 4, 8, 64, 128]


def test_filling_up_keeps_what_there_was() -> None:
    rows = fill_rows({"x": np.arange(6).reshape(3, 2)}, 3)["x"]
    np.testing.assert_array_equal(rows, [[0, 1], [2, 3], [4, 5], [4, 5]])
    case = {"input_ids": np.array([[7, 8, 9]]), "mask_position": np.array([1])}
    filled = fill_tokens(case, 96)
    np.testing.assert_array_equal(filled["input_ids"], [[7, 8, 9, *[7] * 13]])
    assert filled["mask_position"] is case["mask_position"]
    assert case["input_ids"].shape == (1, 3)


def test_a_filled_up_prompt_says_the_same(starter: Bundle) -> None:
    module = TorchGraph(starter.graph_path("text")).eval()
    assert module.can_fill_up
    shapes = set()
    for case in read_golden(starter):
        if case.graph != "text":
            continue
        tensors, rows = in_buckets(module, "text", case.inputs, 96)
        shapes.add(tensors[0].shape[1])
        assert rows is None
        for name, output in zip(module.outputs, module(*tensors), strict=True):
            np.testing.assert_allclose(output.numpy(), case.outputs[name], atol=1e-4)
    assert shapes <= {16, 32, 48, 64, 96}


def test_a_prompt_filled_up_and_not_masked_says_something_else(starter: Bundle) -> None:
    module = TorchGraph(starter.graph_path("text")).eval()
    case = min(
        (case for case in read_golden(starter) if case.graph == "text"),
        key=lambda case: case.inputs["input_ids"].size,
    )
    tensors, _ = in_buckets(module, "text", case.inputs, 96)
    assert tensors[-1].sum() < len(tensors[-1])
    logits = module(*tensors[:-1])[1].numpy()
    assert np.abs(logits - case.outputs["logits"]).max() > 0.01


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own
def test_a_filled_up_prompt_of_roberta_says_the_same(checkpoints: Path, tmp_path: Path) -> None:
    graph = encoder_graph(checkpoints / "roberta")
    to_onnx(graph, tmp_path / "text.onnx")
    module = TorchGraph(tmp_path / "text.onnx").eval()
    assert module.can_fill_up
    for case in input_arrays(graph):
        plain = module(*(torch.from_numpy(case[name]) for name in module.inputs))
        filled = module(*in_buckets(module, "text", case, 96)[0])
        torch.testing.assert_close(filled, plain, atol=1e-5, rtol=1e-5)


def test_filled_up_rows_say_the_same(starter: Bundle) -> None:
    module = TorchGraph(starter.graph_path("speaker")).eval()
    waves = np.random.default_rng(0).normal(0, 0.1, (3, 19200)).astype(np.float32)
    samples = starter.manifest.preprocessing.speaker
    assert samples is not None
    case = {"waveform": waves[:, : samples.window_samples]}
    tensors, rows = in_buckets(module, "speaker", case, 96)
    assert tensors[0].shape[0] == 4 and rows == 3
    plain = module(torch.from_numpy(case["waveform"]))[0]
    torch.testing.assert_close(module(*tensors)[0][:rows], plain, atol=1e-5, rtol=1e-5)


def test_other_graphs_keep_their_shapes(starter: Bundle) -> None:
    module = TorchGraph(starter.graph_path("video")).eval()
    assert not module.can_fill_up
    case = {"faces": np.zeros((3, 48, 48), np.uint8)}
    tensors, rows = in_buckets(module, "video", case, 96)
    assert rows is None and [tensor.shape for tensor in tensors] == [(3, 48, 48)]


def test_ranges_are_of_lengths_where_they_vary_and_of_rows_where_those_do(starter: Bundle) -> None:
    said = starter.manifest.preprocessing
    assert said.speaker is not None
    one = np.zeros((1, 48_000), np.float32)
    assert shape_ranges(said, "audio", {"waveform": one}, {"waveform": [1]}) == {
        "waveform": ([1, said.audio.min_samples], [1, said.audio.max_samples])
    }
    voices = np.zeros((3, said.speaker.window_samples), np.float32)
    assert shape_ranges(said, "speaker", {"waveform": voices}, {"waveform": [0]}) == {
        "waveform": ([2, voices.shape[1]], [MOST_ROWS, voices.shape[1]])
    }
    assert shape_ranges(said, "speaker", {"waveform": voices}, {}) == {
        "waveform": ([3, voices.shape[1]], [3, voices.shape[1]])
    }
    prompt = {"input_ids": np.zeros((1, 20), int), "mask_position": np.zeros(1, int)}
    assert shape_ranges(said, "text", prompt, {"input_ids": [1]}) == {
        "input_ids": ([1, 2], [1, said.text.max_tokens]),
        "mask_position": ([1], [1]),
    }
