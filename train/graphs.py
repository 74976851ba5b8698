"""From a torch module to a checked ONNX file: export, fewer bits, golden cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn
from torch.export import Dim

from magtkd_rt.bundle.golden import GoldenCase
from magtkd_rt.bundle.manifest import GraphName


@dataclass(frozen=True)
class Exportable:
    """One graph to be: module, cases (the first is traced), and per input the axis that varies."""

    module: nn.Module
    cases: list[dict[str, Tensor]]
    outputs: list[str]
    varies: dict[str, int]


def to_onnx(graph: Exportable, path: Path) -> None:
    """Export by torch.export, opset 20."""
    example = graph.cases[0]
    shapes = {
        name: {graph.varies[name]: Dim.DYNAMIC} if name in graph.varies else None
        for name in example
    }
    program = torch.onnx.export(
        graph.module.eval(),
        kwargs=example,
        dynamo=True,
        opset_version=20,
        input_names=list(example),
        output_names=graph.outputs,
        dynamic_shapes=shapes,
        verbose=False,
    )
    assert program is not None
    program.save(str(path), external_data=False)


def store_half(path: Path, exact: set[str]) -> None:
    """Store large weights in 16 bits; a cast makes them 32 bits when the graph is loaded.

    What is in `exact`, such as the front end's filters, keeps its 32 bits.
    """
    model = onnx.load(path)
    casts = []
    for weight in model.graph.initializer:
        array = numpy_helper.to_array(weight)
        if weight.name in exact or array.dtype != np.float32 or array.size < 4096:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(array.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
    onnx.save(model, path)


def quantise(source: Path, target: Path) -> None:
    """Weights of matrix products and embeddings in 8 bits; activations when it runs.

    Seven bits of the eight are used, since processors without VNNI saturate otherwise.
    """
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=["MatMul", "Gemm", "Gather"],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )


def run_onnx(path: Path, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.float32]]:
    """Run a file once on the CPU."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(inputs)))


@torch.no_grad()
def module_cases(name: GraphName, graph: Exportable) -> list[GoldenCase]:
    """What the module itself says, in 32 bits."""
    graph.module.eval()
    cases = []
    for number, case in enumerate(graph.cases):
        outputs = graph.module(**case)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        named = dict(zip(graph.outputs, (tensor.numpy() for tensor in outputs), strict=True))
        inputs = {key: tensor.numpy() for key, tensor in case.items()}
        cases.append(GoldenCase(name, f"case-{number}", inputs, named))
    return cases


def golden_cases(name: GraphName, graph: Exportable, path: Path) -> list[GoldenCase]:
    """What the exported file says here: other machines must say the same, nearly."""
    return [
        GoldenCase(
            name,
            case.name,
            case.inputs,
            dict(zip(case.outputs, run_onnx(path, case.inputs), strict=True)),
        )
        for case in module_cases(name, graph)
    ]
