"""Graphs run by torch, operator by operator; on a GPU as CUDA graphs for shapes that come again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.batching import ROW_WISE
from magtkd_rt.engines.cache import EngineName
from magtkd_rt.engines.device import DeviceKind
from magtkd_rt.engines.interface import Runner
from magtkd_rt.engines.torch_graph import TorchGraph
from magtkd_rt.engines.torch_running import HALVES, check_cuda, in_words, to_arrays, to_tensors

Arrays = Mapping[str, NDArray[Any]]

_MOST_SHAPES: Final = 32
"""Shapes whose CUDA graphs are kept for one graph; the one not used for longest goes."""


class EagerBackend:
    """Graphs in torch.

    Args:
        device: where they compute.
        precision: what their products compute in: a key of `HALVES`.
        threads: how many, on the processor.
    """

    name: EngineName = "eager"

    def __init__(self, device: DeviceKind, precision: str, threads: int) -> None:
        self.precision = precision
        self._device = device
        if device == "cuda":
            check_cuda()
        else:
            torch.set_num_threads(threads)

    def build(
        self, bundle: Bundle, graph: GraphName, cases: Sequence[Arrays], folder: Path
    ) -> None:
        """Nothing to build: the bundle's own file is read each time."""

    def open(self, bundle: Bundle, graph: GraphName, folder: Path) -> Runner:
        """Read the bundle's graph.

        Raises:
            EngineError: it holds an operator without an equivalent, or does not fit into memory.
        """
        with in_words(f"the graph {graph!r} cannot be opened by torch"):
            module = TorchGraph(bundle.graph_path(graph), HALVES[self.precision]).eval()
            module.to(self._device)
        if self._device == "cuda":
            return _OnGpu(module, graph)
        return _OnProcessor(module, graph)


class _OnProcessor:
    def __init__(self, module: TorchGraph, graph: GraphName) -> None:
        self._module, self._graph = module, graph

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        with in_words(f"the graph {self._graph!r} failed in torch"):
            outputs = self._module(*to_tensors(self._module.inputs, inputs, "cpu"))
            return to_arrays(self._module.outputs, outputs)


class _OnGpu:
    """Captures a CUDA graph the second time that a shape comes, and repeats it from then on."""

    def __init__(self, module: TorchGraph, graph: GraphName) -> None:
        self._module, self._graph = module, graph
        self._captured: OrderedDict[tuple[torch.Size, ...], _Captured | None] = OrderedDict()
        self._lock = Lock()  # a captured graph has one set of inputs

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        rows = min(len(array) for array in inputs.values())
        if self._graph in ROW_WISE:
            inputs = _fill_up(inputs, rows)
        with self._lock, in_words(f"the graph {self._graph!r} failed on the GPU"):
            tensors = to_tensors(self._module.inputs, inputs, "cuda")
            outputs = to_arrays(self._module.outputs, self._run(tensors))
        if self._graph in ROW_WISE:
            return {name: array[:rows] for name, array in outputs.items()}
        return outputs

    def _run(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        key = tuple(tensor.shape for tensor in tensors)
        if key not in self._captured:
            self._captured[key] = None
            if len(self._captured) > _MOST_SHAPES:
                self._captured.popitem(last=False)
            outputs: tuple[Tensor, ...] = self._module(*tensors)
            return outputs
        self._captured.move_to_end(key)
        captured = self._captured[key]
        if captured is None:
            captured = self._captured[key] = _Captured(self._module, tensors)
        return captured(tensors)


class _Captured:
    """All kernels of a run, launched as one."""

    def __init__(self, module: TorchGraph, tensors: tuple[Tensor, ...]) -> None:
        self._inputs = tuple(tensor.clone() for tensor in tensors)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                module(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs: tuple[Tensor, ...] = module(*self._inputs)

    def __call__(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        for own, new in zip(self._inputs, tensors, strict=True):
            own.copy_(new)
        self._graph.replay()
        return self._outputs


def _fill_up(inputs: Arrays, rows: int) -> dict[str, NDArray[Any]]:
    """Rows up to the next power of two, the last one repeated: so few shapes ever come."""
    wanted = 1 << (rows - 1).bit_length()
    return {
        name: np.concatenate([array, np.repeat(array[-1:], wanted - rows, axis=0)])
        for name, array in inputs.items()
    }
