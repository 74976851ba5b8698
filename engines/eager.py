"""Graphs run by torch, operator by operator; on a GPU as CUDA graphs for shapes that come again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Final

import torch
from numpy.typing import NDArray
from torch import Tensor

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.batching import ROW_WISE
from magtkd_rt.engines.buckets import TOKENS, fill_rows, fill_tokens
from magtkd_rt.engines.cache import EngineName
from magtkd_rt.engines.interface import Runner
from magtkd_rt.engines.torch_backend import TorchBackend
from magtkd_rt.engines.torch_graph import TorchGraph
from magtkd_rt.engines.torch_running import in_words, to_arrays, to_tensors

Arrays = Mapping[str, NDArray[Any]]

_MOST_SHAPES: Final = 32
"""Shapes whose CUDA graphs are kept for one graph; the one not used for longest goes."""


class EagerBackend(TorchBackend):
    """Graphs in torch."""

    name: EngineName = "eager"

    def build(
        self,
        bundle: Bundle,
        graph: GraphName,
        cases: Sequence[Arrays],
        folder: Path,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Nothing to build: the bundle's own file is read each time."""

    def open(self, bundle: Bundle, graph: GraphName, folder: Path) -> Runner:
        """Read the bundle's graph.

        Raises:
            EngineError: it holds an operator without an equivalent, or does not fit into memory.
        """
        with in_words(f"the graph {graph!r} cannot be opened by torch"):
            module = self.module(bundle, graph)
        if self.device == "cuda":
            return _OnGpu(module, graph, bundle.manifest.preprocessing.text.max_tokens)
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

    def __init__(self, module: TorchGraph, graph: GraphName, longest: int) -> None:
        self._module, self._graph, self._longest = module, graph, longest
        self._captured: OrderedDict[tuple[torch.Size, ...], _Captured | None] = OrderedDict()
        self._lock = Lock()  # a captured graph has one set of inputs

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        with self._lock, in_words(f"the graph {self._graph!r} failed on the GPU"):
            tensors, rows = in_buckets(self._module, self._graph, inputs, self._longest)
            outputs = self._run(tuple(tensor.to("cuda") for tensor in tensors))
            named = to_arrays(self._module.outputs, outputs)
        return named if rows is None else {name: array[:rows] for name, array in named.items()}

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


def in_buckets(
    module: TorchGraph, graph: GraphName, inputs: Arrays, longest: int
) -> tuple[tuple[Tensor, ...], int | None]:
    """Inputs in one of a few shapes, as the module takes them.

    Args:
        module: the graph.
        graph: its name.
        inputs: of any shape.
        longest: prompt of the bundle, in tokens.

    Returns:
        the inputs, and the rows that count of what comes out, None for all.

    Raises:
        EngineError: one is missing.
    """
    if graph in ROW_WISE:
        rows = min(len(array) for array in inputs.values())
        return to_tensors(module.inputs, fill_rows(inputs, rows), "cpu"), rows
    if not module.can_fill_up or TOKENS not in inputs:
        return to_tensors(module.inputs, inputs, "cpu"), None
    filled = fill_tokens(inputs, longest)
    counting = torch.arange(filled[TOKENS].shape[1]) < inputs[TOKENS].shape[1]
    return (*to_tensors(module.inputs, filled, "cpu"), counting), None


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
