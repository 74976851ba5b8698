"""Graphs in torch say what onnxruntime says; what has no equivalent is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from magtkd_rt.bundle.golden import read_golden
from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.prompt import prompt_encoder
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.device import DeviceKind
from magtkd_rt.engines.eager import EagerBackend
from magtkd_rt.engines.fresh import fresh_inputs
from magtkd_rt.engines.onnx import Int8Backend, OnnxEngine
from magtkd_rt.engines.parity import compare
from magtkd_rt.engines.torch_graph import TorchGraph
from magtkd_rt.engines.torch_running import check_cuda
from magtkd_rt.errors import EngineError
from magtkd_rt.train.corpora.starter import read_meld
from magtkd_rt.train.text import prompts_of

GRAPHS: tuple[GraphName, ...] = (
    "text", "audio", "video", "fusion", "speaker", "identity", "paper",
)  # fmt: skip


@pytest.fixture(scope="module")
def starter() -> Bundle:
    return Bundle.load("starter")


@pytest.mark.parametrize("graph", GRAPHS)
def test_eager_repeats_the_golden_outputs(
    starter: Bundle, graph: GraphName, tmp_path: Path
) -> None:
    run = EagerBackend("cpu", "float32", 1).open(starter, graph, tmp_path)
    cases = [case for case in read_golden(starter) if case.graph == graph]
    assert cases
    for case in cases:
        outputs = run(case.inputs)
        assert outputs.keys() == case.outputs.keys()
        for name, wanted in case.outputs.items():
            assert outputs[name].dtype == wanted.dtype
            np.testing.assert_allclose(outputs[name], wanted, atol=1e-3)


@pytest.mark.parametrize("graph", ["text", "video", "fusion"])
def test_half_precision_is_within_the_gate(
    starter: Bundle, graph: GraphName, tmp_path: Path
) -> None:
    run = EagerBackend("cpu", "bfloat16", 1).open(starter, graph, tmp_path)
    exact = OnnxEngine(starter, 1)
    cases = [case.inputs for case in read_golden(starter) if case.graph == graph]
    parity = compare("bfloat16", cases, lambda x: exact.run(graph, x), run)
    assert parity.passed, str(parity)


def test_a_front_end_keeps_its_32_bits(starter: Bundle) -> None:
    module = TorchGraph(starter.graph_path("audio"), torch.bfloat16)
    kinds = {tensor.dtype for name, tensor in module.named_buffers() if tensor.is_floating_point()}
    assert kinds == {torch.float32, torch.bfloat16}


def test_attention_becomes_one_operator(starter: Bundle) -> None:
    module = TorchGraph(starter.graph_path("text"))
    operators = [node.operator for node in module._nodes]
    assert operators.count("Attention") == 6
    assert "Softmax" not in operators


def test_an_operator_without_equivalent_is_named(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 20]> g (float[n] x) => (float[n] y) { y = Erf (x) }'
    )
    onnx.save(model, tmp_path / "erf.onnx")
    with pytest.raises(EngineError, match=r"erf.onnx uses Erf, .*default engine"):
        TorchGraph(tmp_path / "erf.onnx")


def test_wrong_inputs_are_told(starter: Bundle, tmp_path: Path) -> None:
    run = EagerBackend("cpu", "float32", 1).open(starter, "video", tmp_path)
    with pytest.raises(EngineError, match="the graph takes faces, not pictures"):
        run({"pictures": np.zeros((1, 48, 48), np.uint8)})


@pytest.mark.slow
def test_text_in_8_bits_decides_the_same(starter: Bundle, tmp_path: Path) -> None:
    backend, exact = Int8Backend(1), OnnxEngine(starter, 1)
    seen = list(fresh_inputs(starter, "text", 40, 1, exact.run))
    backend.build(starter, "text", seen, tmp_path)
    run = backend.open(starter, "text", tmp_path)
    judged = fresh_inputs(starter, "text", 100, 5, exact.run)
    parity = compare("int8", judged, lambda x: exact.run("text", x), run)
    assert parity.logits < 0.3
    assert parity.decisions >= 0.98  # of 100; the gate itself asks for 99 % of 200


@pytest.mark.soak
def test_text_in_8_bits_decides_the_same_on_meld(
    starter: Bundle, tmp_path: Path, shared: Path
) -> None:
    backend, exact = Int8Backend(1), OnnxEngine(starter, 1)
    seen = list(fresh_inputs(starter, "text", 60, 1, exact.run))
    backend.build(starter, "text", seen, tmp_path)
    encoder = prompt_encoder(starter)
    prompts = [p for d in read_meld(shared / "data", "test") for p in prompts_of(d, encoder)]
    cases = (
        {"input_ids": np.array([p.input_ids]), "mask_position": np.array([p.mask_position])}
        for p in prompts
    )
    run = backend.open(starter, "text", tmp_path)
    parity = compare("int8", cases, lambda x: exact.run("text", x), run)
    print(parity)
    assert parity.cases == 2610
    assert parity.passed


def test_voice_prints_in_8_bits_are_those_of_each_row_alone(
    starter: Bundle, tmp_path: Path
) -> None:
    backend, exact = Int8Backend(1), OnnxEngine(starter, 1)
    backend.build(
        starter, "speaker", list(fresh_inputs(starter, "speaker", 8, 1, exact.run)), tmp_path
    )
    run = backend.open(starter, "speaker", tmp_path)
    for case in fresh_inputs(starter, "speaker", 8, 5, exact.run):
        loud = {"waveform": np.concatenate([case["waveform"], case["waveform"][:1] * 8])}
        together = run(loud)["voice"]
        np.testing.assert_array_equal(
            together[:1], run({"waveform": loud["waveform"][:1]})["voice"]
        )
        right = exact.run("speaker", loud)["voice"]
        assert ((together * right).sum(-1) > 0.98).all()


def test_8_bits_that_change_nothing_are_refused(starter: Bundle, tmp_path: Path) -> None:
    cases = [case.inputs for case in read_golden(starter) if case.graph == "video"]
    with pytest.raises(EngineError, match="only 0% of its weights"):
        Int8Backend(1).build(starter, "video", cases, tmp_path)


@pytest.mark.skipif(torch.version.cuda is not None, reason="this torch has CUDA")
def test_a_torch_without_cuda_says_so() -> None:
    with pytest.raises(EngineError, match="is built without CUDA"):
        check_cuda()


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_on_a_gpu_each_graph_is_within_the_gate(
    starter: Bundle, graph: GraphName, precision: str, tmp_path: Path
) -> None:
    run = EagerBackend("cuda", precision, 1).open(starter, graph, tmp_path)
    exact = OnnxEngine(starter, 1)
    cases = [case.inputs for case in read_golden(starter) if case.graph == graph] * 3
    parity = compare(precision, cases, lambda x: exact.run(graph, x), run)
    assert parity.passed, str(parity)  # the second time it is captured, the third repeated


@pytest.mark.gpu
def test_inductor_on_a_gpu(starter: Bundle, tmp_path: Path) -> None:
    _build_and_compare(starter, "cuda", "float16", tmp_path)


@pytest.mark.soak
def test_inductor_on_the_processor(starter: Bundle, tmp_path: Path) -> None:
    _build_and_compare(starter, "cpu", "float32", tmp_path)


def _build_and_compare(starter: Bundle, device: DeviceKind, precision: str, folder: Path) -> None:
    from magtkd_rt.engines.inductor import InductorBackend

    exact = OnnxEngine(starter, 1)
    backend = InductorBackend(device, precision, 1)
    cases = [case.inputs for case in read_golden(starter) if case.graph == "video"]
    backend.build(starter, "video", cases, folder)
    run = backend.open(starter, "video", folder)
    parity = compare(precision, cases, lambda x: exact.run("video", x), run)
    assert parity.passed, str(parity)


@pytest.mark.tensorrt
@pytest.mark.parametrize("graph", GRAPHS)
def test_tensorrt_is_within_the_gate(starter: Bundle, graph: GraphName, tmp_path: Path) -> None:
    from magtkd_rt.engines.tensorrt import TensorRtBackend

    exact = OnnxEngine(starter, 1)
    backend = TensorRtBackend("cuda", "float16", 1)
    cases = [case.inputs for case in read_golden(starter) if case.graph == graph]
    backend.build(starter, graph, cases, tmp_path)
    run = backend.open(starter, graph, tmp_path)
    parity = compare("float16", cases, lambda x: exact.run(graph, x), run)
    assert parity.passed, str(parity)
