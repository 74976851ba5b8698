"""What the engines on torch share: arrays in, arrays out, errors in words, a graph for export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.utils.flop_counter import FlopCounterMode

from magtkd_rt.engines.torch_graph import TorchGraph
from magtkd_rt.errors import EngineError

Arrays = Mapping[str, NDArray[Any]]

HALVES: Final = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": None}
"""By precision, what the products of a graph compute in; None for 32 bits."""


def check_cuda() -> None:
    """See that torch can use the GPU.

    Raises:
        EngineError: this torch is built without CUDA, or wants a newer driver.
    """
    if torch.version.cuda is None:
        raise EngineError(
            f"torch {torch.__version__} is built without CUDA",
            remedy="pip install torch from PyTorch's index for CUDA, or use --device cpu",
        )
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        raise EngineError(
            f"torch {torch.__version__} cannot use the GPU ({_first_line(error)})",
            remedy=f"update NVIDIA's driver to one for CUDA {torch.version.cuda}, or use "
            "--device cpu",
        ) from error


def to_tensors(
    names: Sequence[str], inputs: Arrays, device: torch.device | str
) -> tuple[Tensor, ...]:
    """Inputs in the graph's order, on a device.

    Raises:
        EngineError: one is missing.
    """
    missing = [name for name in names if name not in inputs]
    if missing or len(inputs) > len(names):
        raise EngineError(
            f"the graph takes {', '.join(names)}, not {', '.join(inputs)}",
            remedy="check that the inputs are as the bundle's manifest says",
        )
    arrays = (np.require(inputs[name], requirements=["C", "W"]) for name in names)
    return tuple(torch.from_numpy(array).to(device) for array in arrays)


def to_arrays(names: Sequence[str], outputs: Sequence[Tensor]) -> dict[str, NDArray[Any]]:
    """Outputs under their names."""
    return {name: tensor.cpu().numpy() for name, tensor in zip(names, outputs, strict=True)}


@contextmanager
def in_words(what: str) -> Iterator[None]:
    """Turn torch's errors into EngineError: no memory, or what it says in its first line."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise EngineError(
            f"{what}: the GPU has too little memory",
            remedy="end other programs on it, or choose another engine",
        ) from error
    except EngineError:
        raise
    except Exception as error:  # compilers raise whatever they like
        raise EngineError(
            f"{what}: {type(error).__name__}: {_first_line(error)}",
            remedy="choose another engine, and report it with the versions of torch and CUDA",
        ) from error


def export(graph: TorchGraph, case: Arrays, device: str, *, fixed: bool = False) -> ExportedProgram:
    """Trace a graph, for any length along the axes that vary.

    Args:
        graph: on the device.
        case: inputs; along no axis that varies may they have the length 1.
        device: where to.
        fixed: for exactly these shapes instead.
    """
    tensors = to_tensors(graph.inputs, case, device)
    shapes = tuple(
        dict.fromkeys(graph.varies[name], Dim.DYNAMIC) if graph.varies[name] else None
        for name in graph.inputs
    )
    varying = None if fixed else {"inputs": shapes}
    return torch.export.export(graph.eval(), tensors, dynamic_shapes=varying, strict=False)


def example(graph: TorchGraph, cases: Sequence[Arrays], rows: int | None = None) -> Arrays:
    """Inputs to trace by: the longest ones, or so many rows of them.

    Raises:
        EngineError: there are none of which nothing has the length 1.
    """
    fitting = [
        case
        for case in cases
        if all(case[name].shape[axis] > 1 for name in graph.inputs for axis in graph.varies[name])
    ]
    if not fitting:
        raise EngineError(
            "no input at hand is longer than one in every direction",
            remedy="export the bundle again, with a golden case of several rows",
        )
    longest = max(fitting, key=lambda case: sum(array.size for array in case.values()))
    if rows is None:
        return longest
    return {
        name: array[:rows] if 0 in graph.varies[name] else array for name, array in longest.items()
    }


def has_rows(graph: TorchGraph) -> bool:
    """Whether the number of rows varies, and so may be one."""
    return any(0 in axes for axes in graph.varies.values())


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def count_work(file: Path, case: Arrays) -> tuple[int, int]:
    """Bytes of a graph's weights in 32 bits, and operations of one run; LSTMs are not counted."""
    graph = TorchGraph(file).eval()
    weights = sum(tensor.numel() * tensor.element_size() for tensor in graph.buffers())
    with FlopCounterMode(display=False) as counter:
        graph(*to_tensors(graph.inputs, case, "cpu"))
    return weights, counter.get_total_flops()
