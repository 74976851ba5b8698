"""A graph with all that is constant computed, such as weights that are stored in fewer bits."""

from __future__ import annotations

from pathlib import Path

import onnxruntime


def fold(graph: Path, out: Path) -> None:
    """Write a graph's like whose constants are computed; operators stay those of ONNX."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
