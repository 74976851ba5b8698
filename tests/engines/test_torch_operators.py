"""Single operators in torch say what onnxruntime says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from magtkd_rt.engines.torch_graph import TorchGraph

GRAPHS = {
    "CumSum": "(int64[n, 5] x) => (int64[n, 5] y) { axis = Constant <value_int=1> () "
    "y = CumSum (x, axis) }",
    "Max": "(float[n, 5] x) => (float[n, 5] y) { one = Constant <value_float=0.1> () "
    "other = Neg (x) y = Max (x, one, other) }",
    "Min": "(float[n, 5] x) => (float[n, 5] y) { one = Constant <value_float=0.1> () "
    "y = Min (x, one) }",
    "Mod": "(int64[n, 5] x) => (int64[n, 5] y) { three = Constant <value_int=3> () "
    "y = Mod (x, three) }",
    "Tile": "(float[n, 5] x) => (float[m, 10] y) { times = Constant <value_ints=[3, 2]> () "
    "y = Tile (x, times) }",
    "GatherElements": "(float[n, 5] x) => (float[m, 1] y) { at = Constant <value_ints=[2, 0]> () "
    "axes = Constant <value_ints=[1]> () places = Unsqueeze (at, axes) "
    "y = GatherElements <axis=1> (x, places) }",
    "InstanceNormalization": "(float[n, 3, 7] x) => (float[n, 3, 7] y) { "
    "scale = Constant <value_floats=[1.0, 2.0, 0.5]> () "
    "bias = Constant <value_floats=[0.0, 1.0, -1.0]> () "
    "y = InstanceNormalization (x, scale, bias) }",
    "Resize": "(float[n, 2, 4, 3] x) => (float[n, 2, 9, 8] y) { "
    "whole = Shape <start=0, end=2> (x) side = Constant <value_ints=[9, 8]> () "
    "sizes = Concat <axis=0> (whole, side) "
    'y = Resize <mode="linear", coordinate_transformation_mode="half_pixel"> (x, , , sizes) }',
    "Attention": "(float[n, 2, 6, 4] x) => (float[n, 2, 6, 4] y) { "
    "k = Transpose <perm=[0, 1, 3, 2]> (x) raw = MatMul (x, k) "
    "factor = Constant <value_float=0.5> () scores = Mul (raw, factor) "
    "weights = Softmax <axis=-1> (scores) y = MatMul (weights, x) }",
}


def written(name: str, folder: Path) -> Path:
    file = folder / f"{name}.onnx"
    text = f'<ir_version: 10, opset_import: ["" : 20]> g {GRAPHS[name]}'
    onnx.save(onnx.parser.parse_model(text), file)
    return file


def drawn(file: Path) -> NDArray[np.generic]:
    (given,) = onnxruntime.InferenceSession(
        str(file), providers=["CPUExecutionProvider"]
    ).get_inputs()
    shape = [size if isinstance(size, int) else 2 for size in given.shape]
    random = np.random.default_rng(0)
    if "int64" in given.type:
        return random.integers(-9, 9, shape)
    return random.standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("name", GRAPHS)
def test_an_operator_says_what_onnxruntime_says(name: str, tmp_path: Path) -> None:
    file = written(name, tmp_path)
    x = drawn(file)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {"x": x})
    module = TorchGraph(file)
    assert name in {node.operator for node in module._nodes}
    (got,) = module(torch.from_numpy(x))
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got.numpy(), wanted, atol=1e-6)


def test_a_mask_without_a_guard_is_not_put_into_attention(tmp_path: Path) -> None:
    text = GRAPHS["Attention"].replace(
        "weights = Softmax <axis=-1> (scores)",
        "masked = Add (scores, raw) weights = Softmax <axis=-1> (masked)",
    )
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]> g {text}')
    onnx.save(model, tmp_path / "masked.onnx")
    assert "Attention" not in {n.operator for n in TorchGraph(tmp_path / "masked.onnx")._nodes}
