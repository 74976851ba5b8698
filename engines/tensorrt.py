"""Graphs compiled by TensorRT, through torch_tensorrt; needs its library and a GPU.

Lengths and rows vary between a shortest and a longest one, tuned for what is usual. Products run
in float16; norms, softmax, LSTMs and a front end stay in 32 bits, as in `torch_graph`.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import torch
import torch_tensorrt

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.buckets import shape_ranges
from magtkd_rt.engines.cache import EngineName, root
from magtkd_rt.engines.tensorrt_converters import register_converters
from magtkd_rt.engines.tensorrt_operators import TENSORRT_OPERATORS
from magtkd_rt.engines.torch_backend import Arrays, CompiledBackend, Program
from magtkd_rt.engines.torch_graph import TorchGraph
from magtkd_rt.engines.torch_running import export


class TensorRtBackend(CompiledBackend):
    """Graphs in TensorRT; building takes minutes, less with an earlier build's timing cache."""

    name: EngineName = "tensorrt"
    ending = ".ep"
    operators = TENSORRT_OPERATORS

    def compile(
        self, bundle: Bundle, graph: GraphName, module: TorchGraph, case: Arrays, file: Path,
        *, fixed: bool,
    ) -> None:  # fmt: skip
        """Compile into an exported program that holds TensorRT's engine."""
        register_converters()
        varies = {} if fixed else module.varies
        ranges = shape_ranges(bundle.manifest.preprocessing, graph, case, varies)
        inputs = [
            torch_tensorrt.Input(
                min_shape=ranges[name][0],
                opt_shape=case[name].shape,
                max_shape=ranges[name][1],
                dtype=torch.from_numpy(case[name]).dtype,
            )
            for name in module.inputs
        ]
        compiled = torch_tensorrt.dynamo.compile(
            export(module, case, self.device, fixed=fixed),
            arg_inputs=inputs,
            use_explicit_typing=True,  # what is to be exact is written in the graph
            min_block_size=1,
            timing_cache_path=str(root() / "tensorrt-timing.bin"),
        )
        torch_tensorrt.save(compiled, str(file))

    def load(self, file: Path) -> Program:
        """Open one; it runs one call at a time, for it has one execution context."""
        program = torch_tensorrt.load(str(file)).module()
        lock = Lock()

        def run(*tensors: torch.Tensor) -> Any:
            with lock:
                return program(*tensors)

        return run
