"""torch_tensorrt without its TensorRT library: enough of it to ask what it can convert.

Its lowering and partitioner need no GPU. They are imported with a stand-in for `tensorrt`, whose
every attribute is an empty class, and with a torch that answers as if there were a GPU. A process
that did so can do nothing else with TensorRT: see `coverage`, which runs this in one of its own.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

_LONG = {"f": 2**15, "i": 20, "u": 20, "b": 20}
"""Of samples, tokens and the like, to trace a graph by."""
_NEWEST = "10.16.0"  # of TensorRT, as far as torch_tensorrt asks


class _Empty(type):
    """A class that has any attribute, each an empty class again."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = _Empty(name, (), {})
        setattr(cls, name, made)
        return made

    def __call__(cls, *arguments: object, **named: object) -> Any:
        return type.__call__(cls)

    def __or__(cls, other: object) -> Any:
        return cls

    def __ror__(cls, other: object) -> Any:
        return cls

    def __int__(cls) -> int:
        return 0


class _StandIn(ModuleType):
    __path__ = ()  # type: ignore[assignment]  # a package without modules
    __version__ = _NEWEST

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "tensorrt_rtx":
            raise AttributeError(name)
        if name == "tensorrt":
            return self
        made = _Empty(name, (), {})
        setattr(self, name, made)
        return made


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.split(".")[0] != "tensorrt":
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = "stand-in"


@contextmanager
def _without_native_libraries() -> Iterator[None]:
    """Let torch_tensorrt find none of its own libraries, which want TensorRT's."""
    really = os.path.isfile

    def is_file(path: Any) -> bool:
        return "libtorchtrt" not in str(path) and really(path)

    os.path.isfile = is_file
    try:
        yield
    finally:
        os.path.isfile = really


def stand_in() -> None:
    """Make `import torch_tensorrt` work in this process, without TensorRT.

    Raises:
        ImportError: torch_tensorrt itself is not installed.
    """
    if not hasattr(torch._C, "_CudaDeviceProperties"):
        setattr(torch._C, "_CudaDeviceProperties", object)  # noqa: B010  (mypy knows its stub)
    torch.cuda.current_device = lambda: 0
    torch.cuda.get_device_capability = lambda *_: (9, 0)
    sys.meta_path.insert(0, _Finder())
    with _without_native_libraries():
        import torch_tensorrt  # noqa: F401


def main() -> None:
    """`python -m magtkd_rt.engines.stand_in GRAPH.onnx`: print the coverage of a graph as JSON."""
    import json
    import warnings

    import numpy as np

    from magtkd_rt.engines.tensorrt_converters import register_converters
    from magtkd_rt.engines.tensorrt_operators import TENSORRT_OPERATORS
    from magtkd_rt.engines.torch_graph import TorchGraph
    from magtkd_rt.engines.torch_running import export

    warnings.simplefilter("ignore")
    stand_in()
    register_converters()
    from torch_tensorrt.dynamo import partitioning
    from torch_tensorrt.dynamo._settings import CompilationSettings
    from torch_tensorrt.dynamo.conversion import DYNAMO_CONVERTERS
    from torch_tensorrt.dynamo.lowering import (
        get_decompositions,
        post_lowering,
        pre_export_lowering,
    )

    graph = TorchGraph(Path(sys.argv[1]), operators=TENSORRT_OPERATORS)
    case = {
        name: np.ones(
            [size or (_LONG[kind.kind] if axis else 3) for axis, size in enumerate(shape)], kind
        )
        for name, (shape, kind) in graph.takes.items()
    }
    settings = CompilationSettings(device=torch.device("cpu"))
    program = pre_export_lowering(export(graph, case, "cpu"), settings)
    program = program.run_decompositions(get_decompositions(False, False))
    module = post_lowering(program.module(), settings)
    DYNAMO_CONVERTERS.set_compilation_settings(settings)
    _, found = partitioning.global_partition(module, min_block_size=1)
    covered, missing = found.supported_operators, found.unsupported_operators
    print(json.dumps({"covered": sum(covered.values()), "missing": missing}))


if __name__ == "__main__":
    main()
