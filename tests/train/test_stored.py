"""Files shrink, results hardly move, fixed filters stay exact, every engine opens them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor
from torch.nn import functional

from magtkd_rt.engines.onnx_files import fold
from magtkd_rt.engines.torch_graph import TorchGraph
from magtkd_rt.models.spectrum import fourier_basis
from magtkd_rt.train.graphs import run_onnx
from magtkd_rt.train.stored import store_bases, store_bytes, store_half


def write(
    path: Path,
    nodes: list[NodeProto],
    given: tuple[int, list[str | int]],
    weights: dict[str, NDArray[np.float32]],
) -> None:
    """A graph of `nodes` from `x` to `y`; `given` is the type and shape of `x`."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", *given)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)


def kinds(path: Path) -> dict[str, int]:
    """The type of each weight."""
    return {weight.name: weight.data_type for weight in onnx.load(path).graph.initializer}


def looked_up_and_multiplied(path: Path) -> NDArray[np.int64]:
    """Write a graph that looks rows up in a table and multiplies them; return an input for it."""
    random = np.random.default_rng(5)
    table = random.normal(0, 1, (300, 64)).astype(np.float32)
    table[7] *= 100  # one row that a single scale for all would drown the others for
    weight = random.normal(0, 0.1, (64, 128)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weight"], ["y"]),
    ]
    write(path, nodes, (TensorProto.INT64, ["n"]), {"table": table, "weight": weight})
    return np.array([1, 2, 3, 250], np.int64)


def test_bytes_are_a_quarter_and_nearly_the_same(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    ids = looked_up_and_multiplied(path)
    before, size = run_onnx(path, {"x": ids})[0], path.stat().st_size
    store_bytes(path)
    after = run_onnx(path, {"x": ids})[0]
    assert path.stat().st_size < 0.35 * size
    assert 0 < np.abs(after - before).max() < 0.03 * np.abs(before).max()


@pytest.mark.parametrize("exact", [set[str](), {"table", "weight"}])
def test_half_spares_what_shall_stay_exact(tmp_path: Path, exact: set[str]) -> None:
    path = tmp_path / "graph.onnx"
    ids = looked_up_and_multiplied(path)
    before = run_onnx(path, {"x": ids})[0]
    store_half(path, exact)
    after = run_onnx(path, {"x": ids})[0]
    assert np.abs(after - before).max() < 0.003 * np.abs(before).max()
    assert np.array_equal(after, before) == bool(exact)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [((128, 64, 1, 1), {}), ((512, 1, 3, 3), {"group": 512})],
    ids=["1 x 1", "depthwise"],
)
def test_each_channel_of_a_convolution_has_a_scale(
    tmp_path: Path, shape: tuple[int, ...], settings: dict[str, Any]
) -> None:
    random = np.random.default_rng(6)
    weight = random.normal(0, 1, shape).astype(np.float32)
    weight[3] *= 1000
    inputs = shape[1] * settings.get("group", 1)
    path = tmp_path / "graph.onnx"
    nodes = [helper.make_node("Conv", ["x", "weight"], ["y"], **settings)]
    write(path, nodes, (TensorProto.FLOAT, [1, inputs, 6, 6]), {"weight": weight})
    x = random.normal(0, 1, (1, inputs, 6, 6)).astype(np.float32)
    before, size = run_onnx(path, {"x": x})[0], path.stat().st_size
    store_bytes(path)
    assert path.stat().st_size < 0.45 * size
    after = run_onnx(path, {"x": x})[0]
    apart, largest = (np.abs(y).max(axis=(0, 2, 3)) for y in (after - before, before))
    assert ((apart > 0) & (apart < 0.03 * largest)).all()  # also beside the loud channel
    np.testing.assert_allclose(TorchGraph(path)(torch.from_numpy(x))[0], after, rtol=1e-4, atol=0.1)


@pytest.mark.parametrize("turned", [0, 1])
def test_each_output_of_a_product_has_a_scale(tmp_path: Path, turned: int) -> None:
    random = np.random.default_rng(7)
    weight = random.normal(0, 1, (64, 128)).astype(np.float32)
    weight[:, 3] *= 1000
    held = np.ascontiguousarray(weight.T) if turned else weight
    path = tmp_path / "graph.onnx"
    nodes = [helper.make_node("Gemm", ["x", "weight"], ["y"], transB=turned)]
    write(path, nodes, (TensorProto.FLOAT, [2, 64]), {"weight": held})
    x = random.normal(0, 1, (2, 64)).astype(np.float32)
    before = run_onnx(path, {"x": x})[0]
    store_bytes(path)
    apart, largest = (np.abs(y).max(axis=0) for y in (run_onnx(path, {"x": x})[0] - before, before))
    assert (apart < 0.1 * largest).all()


def test_what_loses_too_much_in_bytes_keeps_more(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    ids = looked_up_and_multiplied(path)
    before = run_onnx(path, {"x": ids})[0]
    store_bytes(path, exact={"table"}, wide={"weight"})
    assert kinds(path) == {"table": TensorProto.FLOAT, "weight_half": TensorProto.FLOAT16}
    assert np.abs(run_onnx(path, {"x": ids})[0] - before).max() < 0.003 * np.abs(before).max()


def test_small_ones_are_stored_smaller_if_asked_to_and_patterns_name_several(
    tmp_path: Path,
) -> None:
    path = tmp_path / "graph.onnx"
    random = np.random.default_rng(9)
    weights = {
        name: random.normal(0, 1, shape).astype(np.float32)
        for name, shape in (("small", (64, 32)), ("a.scale", (32,)), ("b.scale", (32,)))
    }
    nodes = [
        helper.make_node("MatMul", ["x", "small"], ["product"]),
        helper.make_node("Mul", ["product", "a.scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "b.scale"], ["y"]),
    ]
    write(path, nodes, (TensorProto.FLOAT, [2, 64]), weights)
    store_bytes(path, wide=["*.scale"], smallest=2048)
    assert kinds(path) == {
        "small_bytes": TensorProto.INT8,
        "small_scale": TensorProto.FLOAT,
        "a.scale_half": TensorProto.FLOAT16,
        "b.scale_half": TensorProto.FLOAT16,
    }


@pytest.mark.parametrize(
    ("fft", "window"),
    [(400, None), (512, None), (512, torch.hann_window(400, dtype=torch.float64) ** 0.85)],
)
def test_a_basis_is_computed_when_it_is_loaded(
    tmp_path: Path, fft: int, window: Tensor | None
) -> None:
    basis = fourier_basis(400, fft, window).numpy()
    other = basis[:, :, ::-1].copy()
    path, folded = tmp_path / "graph.onnx", tmp_path / "folded.onnx"
    nodes = [
        helper.make_node("Conv", ["x", "basis"], ["spectrum"], strides=[160]),
        helper.make_node("Conv", ["x", "other"], ["mirrored"], strides=[160]),
        helper.make_node("Add", ["spectrum", "mirrored"], ["y"]),
    ]
    write(path, nodes, (TensorProto.FLOAT, [1, 1, "n"]), {"basis": basis, "other": other})
    before = path.stat().st_size
    store_bases(path)
    assert path.stat().st_size < before - basis.nbytes + 4000
    assert "other" in kinds(path)
    assert "basis" not in kinds(path)

    fold(path, folded)
    opened = {w.name: numpy_helper.to_array(w) for w in onnx.load(folded).graph.initializer}
    np.testing.assert_allclose(opened["basis"], basis, rtol=0, atol=1e-6)
    x = torch.randn(1, 1, 1600, generator=torch.Generator().manual_seed(8))
    filters = torch.from_numpy(basis + other)
    wanted = functional.conv1d(x, filters, stride=160)
    reference: Any = ReferenceEvaluator(str(path)).run(None, {"x": x.numpy()})
    for got in (
        run_onnx(path, {"x": x.numpy()})[0],
        reference[0],
        TorchGraph(path)(x)[0],
    ):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4)
