"""What the backends on torch have in common: device, precision, threads, files of a build."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import torch
from numpy.typing import NDArray
from torch import Tensor

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.cache import EngineName
from magtkd_rt.engines.device import DeviceKind
from magtkd_rt.engines.interface import Runner
from magtkd_rt.engines.torch_graph import TorchGraph
from magtkd_rt.engines.torch_operators import OPERATORS
from magtkd_rt.engines.torch_running import (
    HALVES,
    check_cuda,
    example,
    has_rows,
    in_words,
    to_arrays,
    to_tensors,
)

Arrays = Mapping[str, NDArray[Any]]
Program = Callable[..., Sequence[Tensor]]

_ORDER: Final = "order.json"


class TorchBackend:
    """Where graphs compute in torch, and in what.

    Args:
        device: where.
        precision: of their products: a key of `HALVES`.
        threads: how many, on the processor.

    Raises:
        EngineError: torch cannot use the GPU.
    """

    name: EngineName
    operators: ClassVar[Mapping[str, Callable[..., Any]]] = OPERATORS
    """What each operator of ONNX is in torch."""

    def __init__(self, device: DeviceKind, precision: str, threads: int) -> None:
        self.precision = precision
        self.device = device
        if device == "cuda":
            check_cuda()
        else:
            torch.set_num_threads(threads)

    def module(self, bundle: Bundle, graph: GraphName) -> TorchGraph:
        """The bundle's graph, on the device.

        Raises:
            EngineError: it holds an operator without an equivalent.
        """
        half = HALVES[self.precision]
        module = TorchGraph(bundle.graph_path(graph), half, self.operators)
        return module.eval().to(self.device)


class CompiledBackend(TorchBackend, ABC):
    """A backend whose graphs are compiled ahead: for any length, and apart from that for one row.

    To torch.export a length that may be 1 is not one that varies.
    """

    ending: str
    """Of the compiled files' names."""

    @abstractmethod
    def compile(
        self, bundle: Bundle, graph: GraphName, module: TorchGraph, case: Arrays, file: Path,
        *, fixed: bool,
    ) -> None:  # fmt: skip
        """Compile into a file.

        Args:
            bundle: whose graph.
            graph: its name.
            module: it, on the device.
            case: inputs of the usual size.
            file: where to.
            fixed: for the shapes of `case` only.
        """

    @abstractmethod
    def load(self, file: Path) -> Program:
        """Open such a file."""

    def build(
        self,
        bundle: Bundle,
        graph: GraphName,
        cases: Sequence[Arrays],
        folder: Path,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Compile a graph; takes a minute or more.

        Raises:
            EngineError: it cannot be read, traced or compiled.
        """
        with in_words(f"the graph {graph!r} cannot be compiled by {self.name}"):
            told("reading")
            module = self.module(bundle, graph)
            several = has_rows(module)
            told("compiling for several rows" if several else "compiling for any length")
            usual, many = example(module, cases), folder / f"many{self.ending}"
            self.compile(bundle, graph, module, usual, many, fixed=False)
            if several:
                told("compiling for one row")
                single, one = example(module, cases, rows=1), folder / f"one{self.ending}"
                self.compile(bundle, graph, module, single, one, fixed=True)
            order = {"inputs": module.inputs, "outputs": module.outputs}
            (folder / _ORDER).write_text(json.dumps(order), "utf-8")

    def open(self, bundle: Bundle, graph: GraphName, folder: Path) -> Runner:
        """Load what was built.

        Raises:
            EngineError: it cannot be loaded.
        """
        with in_words(f"the graph {graph!r} as {self.name} compiled it cannot be loaded"):
            order = json.loads((folder / _ORDER).read_text("utf-8"))
            many, one = folder / f"many{self.ending}", folder / f"one{self.ending}"
            for_many = self.load(many)
            for_one = self.load(one) if one.exists() else for_many

        def run(inputs: Arrays) -> dict[str, NDArray[Any]]:
            with in_words(f"the graph {graph!r} failed in {self.name}"), torch.no_grad():
                tensors = to_tensors(order["inputs"], inputs, self.device)
                rows = min(len(tensor) for tensor in tensors)
                outputs = (for_one if rows == 1 else for_many)(*tensors)
                return to_arrays(order["outputs"], outputs)

        return run
