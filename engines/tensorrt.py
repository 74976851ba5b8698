"""Graphs compiled by TensorRT, through torch_tensorrt; needs its library and a GPU.

Lengths and rows vary between a shortest and a longest one, tuned for what is usual. Products run
in float16; norms, softmax, LSTMs and a front end stay in 32 bits, as in `torch_graph`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Final

import torch
import torch_tensorrt
from numpy.typing import NDArray

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.batching import MOST_ROWS
from magtkd_rt.engines.cache import EngineName, root
from magtkd_rt.engines.interface import Runner
from magtkd_rt.engines.torch_graph import TorchGraph
from magtkd_rt.engines.torch_running import (
    HALVES,
    check_cuda,
    example,
    export,
    has_rows,
    in_words,
    to_arrays,
    to_tensors,
)

Arrays = Mapping[str, NDArray[Any]]

_MANY: Final = "many.ep"
_ONE: Final = "one.ep"
_ORDER: Final = "order.json"


class TensorRtBackend:
    """Graphs in TensorRT.

    Args:
        precision: what their products compute in: a key of `HALVES`.
    """

    name: EngineName = "tensorrt"

    def __init__(self, precision: str) -> None:
        self.precision = precision
        check_cuda()

    def build(
        self, bundle: Bundle, graph: GraphName, cases: Sequence[Arrays], folder: Path
    ) -> None:
        """Compile a graph; takes minutes, less with the timing cache of an earlier build.

        Raises:
            EngineError: it cannot be read, traced or compiled, or the GPU has too little memory.
        """
        with in_words(f"the graph {graph!r} cannot be compiled by TensorRT"):
            module = TorchGraph(bundle.graph_path(graph), HALVES[self.precision]).eval().cuda()
            usual = example(module, cases)
            programs = {_MANY: (usual, False)}
            if has_rows(module):
                programs[_ONE] = (example(module, cases, rows=1), True)
            for name, (case, fixed) in programs.items():
                compiled = torch_tensorrt.dynamo.compile(
                    export(module, case, "cuda", fixed=fixed),
                    arg_inputs=_inputs(bundle, module, case, fixed=fixed),
                    use_explicit_typing=True,  # what is to be exact is written in the graph
                    min_block_size=1,
                    timing_cache_path=str(root() / "tensorrt-timing.bin"),
                )
                torch_tensorrt.save(compiled, str(folder / name))
            order = {"inputs": module.inputs, "outputs": module.outputs}
            (folder / _ORDER).write_text(json.dumps(order), "utf-8")

    def open(self, bundle: Bundle, graph: GraphName, folder: Path) -> Runner:
        """Load what was built.

        Raises:
            EngineError: it cannot be loaded.
        """
        with in_words(f"the graph {graph!r} as TensorRT compiled it cannot be loaded"):
            order = json.loads((folder / _ORDER).read_text("utf-8"))
            many = torch_tensorrt.load(str(folder / _MANY)).module()
            one = folder / _ONE
            single = torch_tensorrt.load(str(one)).module() if one.exists() else many
        lock = Lock()  # one execution context

        def run(inputs: Arrays) -> dict[str, NDArray[Any]]:
            with lock, in_words(f"the graph {graph!r} failed in TensorRT"), torch.no_grad():
                tensors = to_tensors(order["inputs"], inputs, "cuda")
                rows = min(len(tensor) for tensor in tensors)
                return to_arrays(order["outputs"], (single if rows == 1 else many)(*tensors))

        return run


def _inputs(
    bundle: Bundle, module: TorchGraph, usual: Arrays, *, fixed: bool
) -> list[torch_tensorrt.Input]:
    """Per input its shortest, usual and longest shape."""
    said = bundle.manifest.preprocessing
    longest = {
        "input_ids": (2, said.text.max_tokens),
        "waveform": (said.audio.min_samples, said.audio.max_samples),
        "faces": (2, said.video.max_faces),
    }
    inputs = []
    for name in module.inputs:
        least, most = list(usual[name].shape), list(usual[name].shape)
        for axis in [] if fixed else module.varies[name]:
            least[axis], most[axis] = longest.get(name, (2, MOST_ROWS))
        dtype = torch.from_numpy(usual[name]).dtype
        inputs.append(
            torch_tensorrt.Input(
                min_shape=least, opt_shape=list(usual[name].shape), max_shape=most, dtype=dtype
            )
        )
    return inputs
