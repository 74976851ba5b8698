"""Shapes of inputs: few enough that none is prepared for twice, and how far they may vary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.bundle.manifest import GraphName, Preprocessing
from magtkd_rt.engines.batching import MOST_ROWS, ROW_WISE

Arrays = Mapping[str, NDArray[Any]]

TOKENS: Final = "input_ids"
"""The input whose length is that of a prompt."""
_TOKEN_STEPS: Final = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)


def rows_bucket(rows: int) -> int:
    """The next power of two."""
    return 1 << (rows - 1).bit_length()


def tokens_bucket(tokens: int, longest: int) -> int:
    """The next of a few lengths, at most the longest prompt of the bundle."""
    for step in _TOKEN_STEPS:
        if tokens <= step:
            return max(tokens, min(step, longest))
    return tokens


def fill_rows(inputs: Arrays, rows: int) -> dict[str, NDArray[Any]]:
    """As many rows as the bucket has, the last one repeated.

    Args:
        inputs: of a graph whose rows stand alone.
        rows: that they have now.
    """
    more = rows_bucket(rows) - rows
    return {
        name: np.concatenate([array, np.repeat(array[-1:], more, axis=0)]) if more else array
        for name, array in inputs.items()
    }


def fill_tokens(inputs: Arrays, longest: int) -> dict[str, NDArray[Any]]:
    """A prompt as long as its bucket, filled up with its first token.

    What was filled up has to be left out of attention: see `TorchGraph.forward`.
    """
    tokens = inputs[TOKENS]
    more = tokens_bucket(tokens.shape[1], longest) - tokens.shape[1]
    filled = np.concatenate([tokens, np.repeat(tokens[:, :1], more, axis=1)], axis=1)
    return {**inputs, TOKENS: filled if more else tokens}


def shape_ranges(
    said: Preprocessing, graph: GraphName, case: Arrays, varies: Mapping[str, Sequence[int]]
) -> dict[str, tuple[list[int], list[int]]]:
    """Shortest and longest shape of each input.

    Args:
        said: how long the bundle's inputs may be.
        graph: whose inputs.
        case: inputs of the usual size.
        varies: per input the axes that vary; one that is missing does not.
    """
    lengths = {
        "input_ids": (2, said.text.max_tokens),
        "waveform": (said.audio.min_samples, said.audio.max_samples),
        "faces": (2, max(2, said.video.max_faces)),
    }
    ranges = {}
    for name, array in case.items():
        least, most = list(array.shape), list(array.shape)
        for axis in varies.get(name, ()):
            rows = axis == 0 and graph in ROW_WISE
            low, high = (2, MOST_ROWS) if rows or name not in lengths else lengths[name]
            least[axis], most[axis] = low, max(high, array.shape[axis])
        ranges[name] = least, most
    return ranges
