"""8 bits: attention becomes one operator, few rows keep their activations, nothing says else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from magtkd_rt.engines import quantise as quantising
from magtkd_rt.engines.attention import join_attention
from magtkd_rt.engines.onnx_files import fold, save
from magtkd_rt.engines.quantise import quantise
from magtkd_rt.models.lstm import Lstm
from magtkd_rt.models.magt import MagtConfig, StreamingMagt
from magtkd_rt.train.cases import step_graph
from magtkd_rt.train.graphs import Exportable, input_arrays, to_onnx

Arrays = dict[str, NDArray[Any]]
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own


class Attending(nn.Module):
    """One layer of attention; `packed` as TimeSformer's, else as RoBERTa's with a mask."""

    def __init__(self, packed: bool, mask: str = "") -> None:
        super().__init__()
        torch.manual_seed(1)
        self.packed, self.mask = packed, mask
        self.all, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.each = nn.ModuleList(nn.Linear(32, 32) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, 32) -> (b, n, 32)"""
        if self.packed:
            parts = self.all(x).reshape(x.shape[0], -1, 3, 4, 8).permute(2, 0, 3, 1, 4)
            q, k, v = parts[0], parts[1], parts[2]
            seen = ((q @ k.transpose(-2, -1)) * 8**-0.5).softmax(-1) @ v
        else:
            q, k, v = (part(x).view(1, -1, 4, 8).transpose(1, 2) for part in self.each)
            places = torch.arange(x.shape[1])
            short, whole = places[None] >= 2, (places[:, None] >= places)[None, None]
            mask = {"": None, "short": short, "whole": whole}[self.mask]
            seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = self.out(seen.transpose(1, 2).reshape(x.shape[0], -1, 32))
        return out


class Widened(nn.Module):
    """Two products, large enough to be rounded."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(32, 512), nn.Linear(512, 32)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, 32) -> (b, n, 32)"""
        out: Tensor = self.outer(self.inner(x))
        return out


def exported(module: nn.Module, path: Path, varies: bool) -> Exportable:
    x = torch.randn(1, 20, 32, generator=torch.Generator().manual_seed(2))
    graph = Exportable(module, [{"x": x}], ["y"], {"x": 1} if varies else {})
    to_onnx(graph, path)
    return graph


def outputs(file: Path, case: Arrays) -> list[NDArray[Any]]:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return list(session.run(None, case))


def operators(file: Path) -> list[str]:
    return [node.op_type for node in onnx.load(file).graph.node]


@pytest.mark.parametrize(("packed", "mask"), [(True, ""), (False, ""), (False, "whole")])
def test_attention_is_one_operator_that_says_the_same(
    packed: bool, mask: str, tmp_path: Path
) -> None:
    file, plain, joined = (tmp_path / f"{name}.onnx" for name in ("a", "b", "c"))
    graph = exported(Attending(packed, mask), file, varies=not packed)
    fold(file, plain)
    model = onnx.load(plain)
    constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    assert join_attention(model, constants) == 1
    save(model, joined)
    left = operators(joined)
    assert left.count("MultiHeadAttention") == 1 and "Softmax" not in left
    case = input_arrays(graph)[0]
    np.testing.assert_allclose(outputs(joined, case)[0], outputs(file, case)[0], atol=1e-5)


def test_what_is_no_attention_stays(tmp_path: Path) -> None:
    class Plain(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x @ x.transpose(1, 2)).softmax(-1) @ x

    exported(Plain(), tmp_path / "a.onnx", varies=True)
    model = onnx.load(tmp_path / "a.onnx")
    before = list(model.graph.node)
    assert join_attention(model, {}) == 0
    assert list(model.graph.node) == before


def test_a_mask_that_the_operator_does_not_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantising, "SMALLEST", 1000)
    file, out = tmp_path / "a.onnx", tmp_path / "b.onnx"
    case = input_arrays(exported(Attending(False, "short"), file, varies=True))[0]
    assert quantise(file, [case], out).products == 4
    assert "Softmax" in operators(out)
    np.testing.assert_allclose(outputs(out, case)[0], outputs(file, case)[0], atol=0.05)


def test_a_step_of_the_fusion_has_its_weights_in_8_bits(tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = MagtConfig(feature_size=128, size=128, heads=4, feed_forward=160, window=6)
    graph = step_graph(StreamingMagt(config).eval())
    to_onnx(graph, tmp_path / "a.onnx")
    cases = input_arrays(graph)
    done = quantise(tmp_path / "a.onnx", cases, tmp_path / "b.onnx")
    assert done.kept == 0 and done.weights > 0.8
    assert operators(tmp_path / "b.onnx").count("MatMulNBits") == done.products
    for case in cases:
        for right, got in zip(
            outputs(tmp_path / "a.onnx", case), outputs(tmp_path / "b.onnx", case), strict=True
        ):
            np.testing.assert_allclose(got, right, atol=0.05)


class Reading(nn.Module):
    """Two LSTMs, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.lstm = Lstm(24, 48, layers=2)

    def forward(self, x: Tensor) -> Tensor:
        """(1, n, 24) -> (1, 48)"""
        out: Tensor = self.lstm(x)[:, -1]
        return out


@pytest.mark.parametrize(("widest", "kept"), [(1.0, 0), (3000.0, 1)])
def test_an_lstm_has_its_weights_in_8_bits_unless_its_input_is_too_wide(
    widest: float, kept: int, tmp_path: Path
) -> None:
    file, out = tmp_path / "a.onnx", tmp_path / "b.onnx"
    x = torch.randn(1, 40, 24, generator=torch.Generator().manual_seed(5))
    x[:, :, 0] *= widest
    reading = Reading().eval()
    reading.state_dict()["lstm.weight_ih_l0"][:, 0] /= widest  # it counts no more than the others
    graph = Exportable(reading, [{"x": x}], ["y"], {})
    to_onnx(graph, file)
    case = input_arrays(graph)[0]
    done = quantise(file, [case], out)
    assert (done.lstms.count, done.lstms.kept) == (2, kept)
    assert operators(out).count("DynamicQuantizeLSTM") == 2 - kept
    assert done.weights == pytest.approx(1 if kept == 0 else 4 / 7, abs=0.05)
    np.testing.assert_allclose(outputs(out, case)[0], outputs(file, case)[0], atol=0.02)


def test_large_graphs_have_their_weights_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magtkd_rt.engines.onnx_files._LARGE", 10_000)
    monkeypatch.setattr(quantising, "SMALLEST", 1000)
    file, out = tmp_path / "a.onnx", tmp_path / "b.onnx"
    graph = exported(Attending(packed=True), file, varies=False)
    case = input_arrays(graph)[0]
    done = quantise(file, [case], out)  # Gemm, since all shapes are fixed
    assert done.products == 2 and out.with_name("b.onnx.data").exists()
    np.testing.assert_allclose(outputs(out, case)[0], outputs(file, case)[0], atol=0.05)


def test_a_channel_that_was_silent_may_be_loud_later(tmp_path: Path) -> None:
    torch.manual_seed(5)
    path, rounded = tmp_path / "plain.onnx", tmp_path / "rounded.onnx"
    exported(Widened(), path, varies=True)
    x = np.random.default_rng(6).standard_normal((1, 20, 32)).astype(np.float32)
    silent = x.copy()
    silent[:, :, 7] = 1e-4
    quantise(path, [{"x": silent}], rounded)
    (right,), (got,) = outputs(path, {"x": x}), outputs(rounded, {"x": x})
    assert np.abs(got - right).max() < 0.05 * np.abs(right).max()
