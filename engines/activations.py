"""What a graph's products multiply, as seen on given inputs: how wide, and some rows of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from magtkd_rt.engines.onnx_files import save

Arrays = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float32]

_ROWS: Final = 1024
"""Rows of an activation that are kept, evenly from all cases: all would not fit into memory."""
_LONGEST_S: Final = 60.0
"""Large graphs are run on as many cases as fit into this time, `_LEAST` at least."""
_LEAST: Final = 8


@dataclass(slots=True)
class Seen:
    """One activation over all cases.

    Attributes:
        widest: (channels,), the largest size of each channel.
        low, high: smallest and largest number, 0 included.
        most_rows: of a run.
        rows: (rows, channels), some of it.
    """

    widest: Floats
    low: float
    high: float
    most_rows: int
    rows: Floats

    def narrowed(self, widths: Floats) -> Seen:
        """The same with each channel divided by its width; `low` and `high` are of the rows."""
        rows = self.rows / widths
        low, high = min(float(rows.min()), 0.0), max(float(rows.max()), 0.0)
        return Seen(self.widest / widths, low, high, self.most_rows, rows)


def see(model: onnx.ModelProto, names: Collection[str], cases: Sequence[Arrays]) -> dict[str, Seen]:
    """Run a graph and look at some of its tensors, (..., channels) each.

    Args:
        model: is as before when this returns.
        names: of the tensors.
        cases: its inputs.
    """
    wanted = sorted(names)
    told = {output.name for output in model.graph.output}
    count = len(model.graph.output)
    model.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in wanted
        if name not in told
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "watched.onnx"
        save(model, file)
        del model.graph.output[count:]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
    pieces: dict[str, list[tuple[Floats, float, float, int, Floats]]] = {n: [] for n in wanted}
    share = -(-_ROWS // len(cases))
    end = time.monotonic() + _LONGEST_S
    for number, case in enumerate(cases):
        if number >= _LEAST and time.monotonic() > end:
            break
        for name, array in zip(wanted, session.run(wanted, dict(case)), strict=True):
            flat = array.reshape(-1, array.shape[-1])
            some = flat[:: -(-len(flat) // share)].copy()
            pieces[name].append(
                (np.abs(flat).max(0), float(flat.min()), float(flat.max()), len(flat), some)
            )
    return {name: _joined(found) for name, found in pieces.items()}


def _joined(found: Sequence[tuple[Floats, float, float, int, Floats]]) -> Seen:
    widest, lows, highs, counts, rows = zip(*found, strict=True)
    return Seen(
        np.max(widest, axis=0), min(*lows, 0.0), max(*highs, 0.0), max(counts), np.concatenate(rows)
    )
