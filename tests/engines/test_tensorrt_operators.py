"""What TensorRT gets otherwise than torch says the same, at any length."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_graphs import KINDS, write_encoder
from fake_tensorrt import TRT, Network, constant

from magtkd_rt.bundle.golden import read_golden
from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.coverage import check_coverage
from magtkd_rt.engines.tensorrt_converters import add_lstm_steps
from magtkd_rt.engines.tensorrt_operators import LONGEST_SORT, TENSORRT_OPERATORS, lstm_steps
from magtkd_rt.engines.torch_graph import TorchGraph
from magtkd_rt.engines.torch_running import export, to_tensors

GRAPHS: tuple[GraphName, ...] = (
    "text", "audio", "video", "fusion", "speaker", "identity", "paper",
)  # fmt: skip

needs_torch_tensorrt = pytest.mark.skipif(
    importlib.util.find_spec("torch_tensorrt") is None, reason="torch_tensorrt is not installed"
)  # it cannot be imported without TensorRT itself


@pytest.fixture(scope="module")
def starter() -> Bundle:
    return Bundle.load("starter")


@pytest.mark.parametrize("graph", ["audio", "speaker"])
def test_what_is_exported_for_tensorrt_says_the_same(starter: Bundle, graph: GraphName) -> None:
    module = TorchGraph(starter.graph_path(graph), operators=TENSORRT_OPERATORS)
    cases = [case for case in read_golden(starter) if case.graph == graph]
    longest = max(cases, key=lambda case: next(iter(case.inputs.values())).size)
    run = export(module, longest.inputs, "cpu").module()
    for case in cases:
        if all(len(array) == 1 for array in case.inputs.values()) and graph == "speaker":
            continue  # one row is exported apart
        outputs = run(*to_tensors(module.inputs, case.inputs, "cpu"))
        for name, output in zip(module.outputs, outputs, strict=True):
            np.testing.assert_allclose(output.numpy(), case.outputs[name], atol=1e-4)


@pytest.mark.parametrize("largest", [0, 1])
def test_a_sort_of_varying_length_is_one_of_fixed_length(largest: int) -> None:
    class Sort(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            sort = TENSORRT_OPERATORS["TopK"]
            values, places = sort({"largest": largest, "axis": 1}, x, [x.shape[1]])
            return values, places

    shapes = ({1: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(Sort(), (torch.rand(3, 40),), dynamic_shapes=shapes)
    sorts = [node for node in program.graph.nodes if node.target is torch.ops.aten.topk.default]
    assert [node.args[1] for node in sorts] == [LONGEST_SORT]
    for length in (7, 300):
        x = torch.randn(3, length)
        values, places = program.module()(x)
        assert torch.equal(values, x.sort(1, descending=bool(largest)).values)
        assert torch.equal(x.gather(1, places), values)


@pytest.mark.parametrize("steps", [1, 9])
def test_the_loop_of_an_lstm_is_an_lstm(steps: int) -> None:
    torch.manual_seed(0)
    rows, inputs, size = 3, 5, 4
    lstm = torch.nn.LSTM(inputs, size)
    x = torch.randn(steps, rows, inputs)
    own, recurrent, bias, other = (weight.detach() for weight in lstm.parameters())
    given = x @ own.T + bias + other
    by_gate = given.unflatten(2, (4, size)).transpose(1, 2)
    recurrent = recurrent.view(4, size, size).transpose(1, 2)
    start = torch.zeros(1, rows, size)
    wanted = lstm(x)[0].detach().unsqueeze(1)
    torch.testing.assert_close(lstm_steps(by_gate, start, recurrent), wanted)
    gates = [constant(np.array([gate], np.int32)) for gate in range(4)]
    count = constant(np.array(steps, np.int32))
    outputs = add_lstm_steps(
        Network(), TRT, constant(by_gate.numpy()), constant(start.numpy()),
        constant(recurrent.numpy()), gates, count,
    ).compute({})  # fmt: skip
    assert outputs.shape == (steps, 1, rows, size)
    np.testing.assert_allclose(outputs, wanted, atol=1e-6)


@needs_torch_tensorrt
@pytest.mark.slow
@pytest.mark.parametrize("graph", GRAPHS)
def test_tensorrt_has_converters_for_all_operators(starter: Bundle, graph: GraphName) -> None:
    found = check_coverage(starter.graph_path(graph))
    assert not found.missing
    assert found.covered > 50


@needs_torch_tensorrt
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own
@pytest.mark.parametrize("kind", KINDS)
def test_tensorrt_has_converters_for_public_encoders(
    checkpoints: Path, kind: str, tmp_path: Path
) -> None:
    found = check_coverage(write_encoder(checkpoints / kind, tmp_path))
    assert not found.missing
    assert found.covered > 50
