"""ONNX files of any size: above 2 GB protobuf wants the weights beside the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx
import onnxruntime

_LARGE: Final = 1_500_000_000
"""Bytes of weights from which on they lie in a file of their own."""
_MOST_OPENED: Final = 4
"""A weight may be stored in a quarter of what it takes when it is computed with."""


def open_plainly(
    graph: Path, options: onnxruntime.SessionOptions | None = None
) -> onnxruntime.InferenceSession:
    """A graph as it is, on the processor, with its errors told and nothing else."""
    options = options or onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def fold(graph: Path, out: Path) -> None:
    """Write a graph's like whose constants are computed, such as weights stored in fewer bits.

    Operators stay those of ONNX.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    if graph.stat().st_size * _MOST_OPENED > _LARGE:
        beside = {"file_name": f"{out.name}.data", "min_size_in_bytes": "1024"}
        for name, value in beside.items():
            options.add_session_config_entry(
                f"session.optimized_model_external_initializers_{name}", value
            )
    open_plainly(graph, options)


def is_large(model: onnx.ModelProto) -> bool:
    """Whether its weights have to lie beside the graph."""
    return sum(len(weight.raw_data) for weight in model.graph.initializer) > _LARGE


def save(model: onnx.ModelProto, file: Path) -> None:
    """Write a graph, and `<file>.data` beside it where it is large; `model` stays whole."""
    if not is_large(model):
        onnx.save(model, file)
        return
    written = onnx.ModelProto()
    written.CopyFrom(model)
    onnx.save(
        written,
        file,
        save_as_external_data=True,
        location=f"{file.name}.data",
        size_threshold=1024,
    )
