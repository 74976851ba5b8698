"""LSTMs whose weights are in 8 bits: a step of one takes as long as reading its weights takes.

onnxruntime rounds what goes into such an LSTM by one scale, and the state of each step by another.
An LSTM whose input is spread too widely for that, such as powers of sound, keeps its 32 bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from magtkd_rt.engines.onnx_files import open_plainly
from magtkd_rt.engines.rounding import round_dynamically

Arrays = Mapping[str, NDArray[Any]]

LOST: Final = 0.05
"""What the graph's outputs may lose by one LSTM, as a share of what they are."""
_CASES: Final = 16


@dataclass(frozen=True, slots=True)
class RoundedLstms:
    """What became of a graph's LSTMs; `weights` are those now in 8 bits."""

    count: int
    kept: int
    weights: int


def round_lstms(graph: Path, cases: Sequence[Arrays], out: Path) -> RoundedLstms:
    """Write a graph's like whose LSTMs have weights in 8 bits, one scale for each column.

    Args:
        graph: the ONNX file, its constants computed.
        cases: inputs by which each LSTM is judged.
        out: the file to write; with no LSTM rounded nothing is written.
    """
    model = onnx.load(graph)
    sizes = {weight.name: int(np.prod(weight.dims)) for weight in model.graph.initializer}
    found = {
        node.name: sum(sizes[name] for name in node.input[1:3])
        for node in model.graph.node
        if node.op_type == "LSTM" and all(name in sizes for name in node.input[1:3])
    }
    if not found:
        return RoundedLstms(0, 0, 0)
    exact = _outputs(graph, cases[:_CASES])
    kept = []
    for name in found:
        round_dynamically(graph, out, ["LSTM"], [other for other in found if other != name])
        if _loss(exact, _outputs(out, cases[:_CASES])) > LOST:
            kept.append(name)
    if len(kept) == len(found):
        out.unlink()
    else:
        round_dynamically(graph, out, ["LSTM"], kept)
    rounded = sum(weights for name, weights in found.items() if name not in kept)
    return RoundedLstms(len(found), len(kept), rounded)


def _outputs(file: Path, cases: Sequence[Arrays]) -> list[NDArray[Any]]:
    session = open_plainly(file)
    return [array for case in cases for array in session.run(None, dict(case))]


def _loss(exact: Sequence[NDArray[Any]], rounded: Sequence[NDArray[Any]]) -> float:
    """Root of the mean square of what is off, relative to that of what should be."""
    off = sum(float(((a - b) ** 2).sum()) for a, b in zip(exact, rounded, strict=True))
    return float(np.sqrt(off / max(sum(float((a**2).sum()) for a in exact), 1e-12)))
