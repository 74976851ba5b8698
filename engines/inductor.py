"""Graphs compiled by torch's inductor ahead of time: a library each, for any length."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from numpy.typing import NDArray

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.cache import EngineName
from magtkd_rt.engines.device import DeviceKind
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

_MANY: Final = "many.pt2"
_ORDER: Final = "order.json"
_ONE: Final = "one.pt2"
"""One row is compiled apart: to torch.export a length that may be 1 is not one that varies."""


class InductorBackend:
    """Graphs compiled by AOTInductor; building needs a C++ compiler.

    Args:
        device: where they compute.
        precision: what their products compute in: a key of `HALVES`.
        threads: how many, on the processor.
    """

    name: EngineName = "inductor"

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
        """Compile a graph; takes a minute or more.

        Raises:
            EngineError: it cannot be read, traced or compiled.
        """
        with in_words(f"the graph {graph!r} cannot be compiled by inductor"):
            module = TorchGraph(bundle.graph_path(graph), HALVES[self.precision]).eval()
            module.to(self._device)
            programs = {_MANY: export(module, example(module, cases), self._device)}
            if has_rows(module):
                one = example(module, cases, rows=1)
                programs[_ONE] = export(module, one, self._device, fixed=True)
            for name, program in programs.items():
                torch._inductor.aoti_compile_and_package(program, package_path=str(folder / name))
            order = {"inputs": module.inputs, "outputs": module.outputs}
            (folder / _ORDER).write_text(json.dumps(order), "utf-8")

    def open(self, bundle: Bundle, graph: GraphName, folder: Path) -> Runner:
        """Load what was built.

        Raises:
            EngineError: it cannot be loaded.
        """
        with in_words(f"the compiled graph {graph!r} cannot be loaded"):
            order = json.loads((folder / _ORDER).read_text("utf-8"))
            many = torch._inductor.aoti_load_package(str(folder / _MANY))
            one = folder / _ONE
            single = torch._inductor.aoti_load_package(str(one)) if one.exists() else many

        def run(inputs: Arrays) -> dict[str, NDArray[Any]]:
            with in_words(f"the graph {graph!r} failed in inductor"):
                tensors = to_tensors(order["inputs"], inputs, self._device)
                rows = min(len(tensor) for tensor in tensors)
                outputs = (single if rows == 1 else many)(*tensors)
                return to_arrays(order["outputs"], outputs)

        return run
