"""Bringing an utterance's sound and faces within what the graphs take."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def fit_waveform(
    samples: NDArray[np.float32], min_samples: int, max_samples: int
) -> NDArray[np.float32]:
    """(n,) samples -> between `min_samples` and `max_samples` of them.

    The last ones are kept; silence is added after too few.
    """
    kept = samples[-max_samples:]
    return np.pad(kept, (0, max(min_samples - len(kept), 0)))


def fit_voice(samples: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """(n,) samples, n >= 1 -> `count` of them: the middle of many; few are repeated."""
    start = max(0, (len(samples) - count) // 2)
    return np.resize(samples[start : start + count], count)


def fit_faces(faces: NDArray[np.uint8], max_faces: int) -> NDArray[np.uint8]:
    """(n, height, width) faces -> at most `max_faces` of them, spread evenly from first to last."""
    if len(faces) <= max_faces:
        return faces
    return faces[np.linspace(0, len(faces) - 1, max_faces).round().astype(np.intp)]
