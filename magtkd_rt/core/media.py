"""Media as the core sees it. Time is integers: samples for sound, nanoseconds for pictures.

Media zero is the first instant of the session; all sources of one session share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE: Final = 16_000
"""Samples per second of all sound inside the system."""

WINDOW: Final = 512
"""Samples that one speech probability speaks for (32 ms)."""

VOICE_WINDOWS: Final = 38
"""Windows of sound that one voice print speaks for (1.216 s)."""

VOICE_HOP: Final = 4
"""Windows from one voice print to the next (128 ms)."""

NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """Sound of one channel as a source gives it.

    Attributes:
        channel: which channel, from 0.
        start: index of the first sample since media zero, at 16 kHz.
        samples: float32 (n,), -1 to 1; any n.
    """

    channel: int
    start: int
    samples: NDArray[np.float32]

    @property
    def end(self) -> int:
        """Index after the last sample."""
        return self.start + len(self.samples)

    def newest(self, count: int) -> AudioChunk:
        """The last `count` samples, or all."""
        first = max(0, len(self.samples) - count)
        return AudioChunk(self.channel, self.start + first, self.samples[first:])


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One picture as a source gives it: `image` is uint8 (height, width, 3), RGB."""

    time_ns: int
    image: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class VoicePrint:
    """What the voice sounded like in the last VOICE_WINDOWS before a moment.

    Attributes:
        end: sample after the last one, a multiple of VOICE_HOP windows.
        vector: float32 (d,), of length 1; close vectors are like voices.
    """

    end: int
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HeardSound:
    """Sound with its speech probabilities, a whole number of windows.

    Attributes:
        channel: which channel, from 0.
        start: index of the first sample, a multiple of WINDOW.
        samples: float32 (n * WINDOW,).
        speech: float32 (n,), the probability of speech in each window.
        voices: prints that end within this sound, oldest first; none where voices do not count.
    """

    channel: int
    start: int
    samples: NDArray[np.float32]
    speech: NDArray[np.float32]
    voices: tuple[VoicePrint, ...] = ()


Box = tuple[float, float, float, float]
"""x, y, width, height as shares of the picture; may stick out of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face in one picture.

    Attributes:
        track: which face it is, the same number in all its pictures and no other face's.
        crop: uint8 (48, 48), grey.
        box: where it is.
        score: the detector's confidence, 0 to 1.
        movement: how much its mouth moved since the picture before, beyond the rest of the face;
            0 or more, 0 also where that is not known.
    """

    track: int
    crop: NDArray[np.uint8]
    box: Box
    score: float
    movement: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class SeenFaces:
    """What one picture, taken at `time_ns`, showed: its faces, in no order of meaning."""

    time_ns: int
    faces: tuple[Face, ...] = ()


def seconds(samples: int) -> float:
    """Samples as seconds, for the wire."""
    return round(samples / SAMPLE_RATE, 6)


def mean_power(samples: NDArray[np.float32]) -> float:
    """Mean square of sound, float32 (n,), n at least 1."""
    exact = samples.astype(np.float64)
    return float(exact @ exact) / len(exact)


def samples_to_ns(samples: int) -> int:
    """Samples since media zero as nanoseconds, exactly."""
    return samples * NANOSECONDS // SAMPLE_RATE
