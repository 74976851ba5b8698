"""Fewer bits for the weights: files shrink, results hardly move, fixed filters stay exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from magtkd_rt.models.magt import MagtConfig, StreamingMagt
from magtkd_rt.train.export import step_graph
from magtkd_rt.train.graphs import (
    input_arrays,
    module_cases,
    run_onnx,
    store_bytes,
    store_half,
    to_onnx,
)


def looked_up_and_multiplied(path: Path) -> NDArray[np.int64]:
    """Write a graph that looks rows up in a table and multiplies them; return an input for it."""
    random = np.random.default_rng(5)
    table = random.normal(0, 1, (300, 64)).astype(np.float32)
    table[7] *= 100  # one row that a single scale for all would drown the others for
    weight = random.normal(0, 0.1, (64, 128)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Gather", ["table", "ids"], ["rows"]),
            onnx.helper.make_node("MatMul", ["rows", "weight"], ["out"]),
        ],
        "small",
        [onnx.helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["n"])],
        [onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, ["n", 128])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(weight, "weight")],
    )
    opset = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return np.array([1, 2, 3, 250], np.int64)


def test_bytes_are_a_quarter_and_nearly_the_same(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    ids = looked_up_and_multiplied(path)
    before, size = run_onnx(path, {"ids": ids})[0], path.stat().st_size
    store_bytes(path)
    after = run_onnx(path, {"ids": ids})[0]
    assert path.stat().st_size < 0.35 * size
    assert 0 < np.abs(after - before).max() < 0.03 * np.abs(before).max()


@pytest.mark.parametrize("exact", [set[str](), {"table", "weight"}])
def test_half_spares_what_shall_stay_exact(tmp_path: Path, exact: set[str]) -> None:
    path = tmp_path / "graph.onnx"
    ids = looked_up_and_multiplied(path)
    before = run_onnx(path, {"ids": ids})[0]
    store_half(path, exact)
    after = run_onnx(path, {"ids": ids})[0]
    assert np.abs(after - before).max() < 0.003 * np.abs(before).max()
    assert np.array_equal(after, before) == bool(exact)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, of itself
def test_the_fusion_steps_and_looks_again_as_an_onnx_file(tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = MagtConfig(feature_size=12, size=16, heads=2, feed_forward=24, window=5)
    magt = StreamingMagt(config).eval()
    graph, path = step_graph(magt), tmp_path / "fusion.onnx"
    to_onnx(graph, path)
    assert b"stack_trace" not in path.read_bytes()  # nor where on whose machine the code lies
    cases = module_cases("fusion", graph)
    assert [case.inputs["ahead"].tolist() for case in cases] == [[0, 0]] * 3 + [[1, 1], [2, 1]]
    for case in cases:
        for got, wanted in zip(run_onnx(path, case.inputs), case.outputs.values(), strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-5)
        alone = {name: array[1:] for name, array in case.inputs.items()}  # any number of rows
        got = run_onnx(path, alone)[0]
        np.testing.assert_allclose(got, case.outputs["logits"][1:], atol=1e-5)

    # The same as the dialogue at once.
    rows = [inputs for inputs in input_arrays(graph) if not inputs["ahead"].any()]
    told = {
        name: torch.from_numpy(np.stack([r[name][:1] for r in rows], axis=1)) for name in rows[0]
    }
    features = torch.stack([told["text"], told["audio"], told["video"]], dim=2)
    present, speaker = told["present"].float(), told["speaker"]
    with torch.no_grad():
        causal, cached = magt.whole(features, present, speaker)
        for case, ahead in zip(cases, (0, 0, 0, 1, 2), strict=True):
            place = cases.index(case) if not ahead else 2 - ahead
            again = magt.look_again(features, present, speaker, cached, ahead) if ahead else causal
            wanted = again[0, 0, place].numpy()
            np.testing.assert_allclose(case.outputs["logits"][0], wanted, atol=1e-4)
