"""From a torch module to a checked ONNX file: export and golden cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim

from magtkd_rt.bundle.golden import GoldenCase
from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.models.magt import MagtState, PaperMagt, StreamingMagt


class StepGraph(nn.Module):
    """One step of a `StreamingMagt` with flat inputs and outputs, for export."""

    def __init__(self, magt: StreamingMagt) -> None:
        super().__init__()
        self.magt = magt

    def forward(
        self,
        text: Tensor,
        audio: Tensor,
        video: Tensor,
        present: Tensor,
        speaker: Tensor,
        keys: Tensor,
        values: Tensor,
        valid: Tensor,
        ahead: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(b, f) three times, (b, m), (b,), the state, (b,) -> logits (b, classes), new state."""
        features = torch.stack([text, audio, video], dim=1).unsqueeze(1)
        state = MagtState(keys, values, valid)
        logits, new = self.magt.step(
            features, present.to(text.dtype).unsqueeze(1), speaker.unsqueeze(1), state, ahead
        )
        return logits[0, :, 0], new.keys, new.values, new.valid


class PaperGraph(nn.Module):
    """A whole dialogue through a `PaperMagt`, with flat inputs, for export."""

    def __init__(self, magt: PaperMagt) -> None:
        super().__init__()
        self.magt = magt

    def forward(
        self, text: Tensor, audio: Tensor, video: Tensor, present: Tensor, speaker: Tensor
    ) -> Tensor:
        """(n, f) three times, (n, m), (n,) -> logits (n, classes)."""
        features = torch.stack([text, audio, video], dim=1).unsqueeze(0)
        present = present.to(text.dtype).unsqueeze(0)
        logits: Tensor = self.magt(features, present, speaker.unsqueeze(0))[0, 0]
        return logits


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
    forget_sources(path)


def forget_sources(path: Path) -> None:
    """Leave out which lines of which files each node came from: only weights and nodes count."""
    model = onnx.load(path)
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")
    onnx.save(model, path)


def run_onnx(path: Path, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.float32]]:
    """Run a file once on the CPU."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(inputs)))


def input_arrays(graph: Exportable) -> list[dict[str, NDArray[np.generic]]]:
    """The cases of a graph as arrays."""
    return [{name: tensor.numpy() for name, tensor in case.items()} for case in graph.cases]


@torch.no_grad()
def module_cases(name: GraphName, graph: Exportable) -> list[GoldenCase]:
    """What the module itself says, in 32 bits."""
    graph.module.eval()
    cases = []
    for number, (case, inputs) in enumerate(zip(graph.cases, input_arrays(graph), strict=True)):
        outputs = graph.module(**case)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        named = dict(zip(graph.outputs, (tensor.numpy() for tensor in outputs), strict=True))
        cases.append(GoldenCase(name, f"case-{number}", inputs, named))
    return cases


@torch.no_grad()
def same_decisions(path: Path, graph: Exportable, cases: Iterable[dict[str, Tensor]]) -> float:
    """Share of the cases' rows on which the file at `path` decides as the module does."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    graph.module.eval()
    same: list[bool] = []
    for case in cases:
        outputs = graph.module(**case)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        wanted = outputs[graph.outputs.index("logits")].numpy()
        inputs = {name: tensor.numpy() for name, tensor in case.items()}
        got = session.run(["logits"], inputs)[0]
        same += (wanted.argmax(-1) == got.argmax(-1)).tolist()
    return float(np.mean(same))


@torch.no_grad()
def least_likeness(path: Path, graph: Exportable, cases: Iterable[dict[str, Tensor]]) -> float:
    """Least cosine of a vector of the file at `path` with that of the module."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    graph.module.eval()
    least = 1.0
    for case in cases:
        inputs = {name: tensor.numpy() for name, tensor in case.items()}
        got = torch.from_numpy(session.run(graph.outputs[:1], inputs)[0])
        least = min(least, float(torch.cosine_similarity(got, graph.module(**case)).min()))
    return least


def golden_cases(name: GraphName, graph: Exportable, path: Path) -> list[GoldenCase]:
    """What the exported file says here: other machines must say the same, nearly."""
    return [
        GoldenCase(
            name,
            f"case-{number}",
            inputs,
            dict(zip(graph.outputs, run_onnx(path, inputs), strict=True)),
        )
        for number, inputs in enumerate(input_arrays(graph))
    ]
