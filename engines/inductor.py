"""Graphs compiled by torch's inductor ahead of time: a library each, for any length."""

from __future__ import annotations

from pathlib import Path

import torch

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.cache import EngineName
from magtkd_rt.engines.torch_backend import Arrays, CompiledBackend, Program
from magtkd_rt.engines.torch_graph import TorchGraph
from magtkd_rt.engines.torch_running import export


class InductorBackend(CompiledBackend):
    """Graphs compiled by AOTInductor; building needs a C++ compiler."""

    name: EngineName = "inductor"
    ending = ".pt2"

    def compile(
        self, bundle: Bundle, graph: GraphName, module: TorchGraph, case: Arrays, file: Path,
        *, fixed: bool,
    ) -> None:  # fmt: skip
        """Compile into a package that holds a library and the weights."""
        program = export(module, case, self.device, fixed=fixed)
        torch._inductor.aoti_compile_and_package(program, package_path=str(file))

    def load(self, file: Path) -> Program:
        """Open a package."""
        loaded: Program = torch._inductor.aoti_load_package(str(file))
        return loaded
