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
from numpy.typing import NDArray
from onnx import helper

from magtkd_rt.engines.onnx_files import open_plainly, save

Arrays = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float32]

_KEPT: Final = 1_500_000_000
"""Bytes of rows that are kept, drawn from all cases alike: all would not fit into memory."""
_LONGEST_S: Final = 60.0
"""Large graphs are run on as many cases as fit into this time, `_LEAST` at least."""
_LEAST: Final = 8


@dataclass(slots=True)
class Seen:
    """One activation over all cases.

    Attributes:
        lowest, highest: (channels,), of all rows: what is far out decides how finely the rest is
            rounded, and no choice of rows may miss it.
        most_rows: of a run.
        rows: (rows, channels), some of it.
    """

    lowest: Floats
    highest: Floats
    most_rows: int
    rows: Floats

    @property
    def widest(self) -> Floats:
        """(channels,), the largest size of each channel."""
        widest: Floats = np.maximum(self.highest, -self.lowest)
        return widest

    @property
    def step(self) -> float:
        """What one step of 255 is where all of it has one scale."""
        span = max(float(self.highest.max()), 0.0) - min(float(self.lowest.min()), 0.0)
        return max(span / 255, 1e-12)

    def narrowed(self, widths: Floats) -> Seen:
        """The same with each channel divided by its width."""
        return Seen(self.lowest / widths, self.highest / widths, self.most_rows, self.rows / widths)


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
        try:
            save(model, file)
        finally:
            del model.graph.output[count:]
        session = open_plainly(file)
    pieces: dict[str, list[Seen]] = {n: [] for n in wanted}
    random = np.random.default_rng(0)
    end = time.monotonic() + _LONGEST_S
    for number, case in enumerate(cases):
        if number >= _LEAST and time.monotonic() > end:
            break
        arrays = session.run(wanted, dict(case))
        share = _KEPT / len(cases) / sum(array.nbytes for array in arrays)
        for name, array in zip(wanted, arrays, strict=True):
            flat = array.reshape(-1, array.shape[-1])
            count = min(len(flat), max(1, int(len(flat) * share)))
            some = flat[np.sort(random.choice(len(flat), count, replace=False))]
            pieces[name].append(Seen(flat.min(0), flat.max(0), len(flat), some))
    return {name: _joined(found) for name, found in pieces.items()}


def _joined(found: Sequence[Seen]) -> Seen:
    return Seen(
        np.min([one.lowest for one in found], axis=0),
        np.max([one.highest for one in found], axis=0),
        max(one.most_rows for one in found),
        np.concatenate([one.rows for one in found]),
    )
