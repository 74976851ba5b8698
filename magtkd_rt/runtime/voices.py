"""Prints of the voices in a session's sound, where there is speech enough to tell a voice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import VOICE_HOP, VOICE_WINDOWS, WINDOW, HeardSound, VoicePrint
from magtkd_rt.runtime.meter import Meter

SPEECH: Final = 0.5
"""Probability from which a window counts as speech."""

Encode = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Sound of VOICE_WINDOWS, float32 (n,) -> its vector, float32 (d,), of length 1."""


def worth_a_print(speech: NDArray[np.float32]) -> bool:
    """Whether a voice can be told from sound with these probabilities, float32 (VOICE_WINDOWS,).

    It takes speech in a third of the windows, and some in the last hop: what came before that was
    in the last print.
    """
    spoken = speech >= SPEECH
    return bool(3 * np.count_nonzero(spoken) >= VOICE_WINDOWS and spoken[-VOICE_HOP:].any())


@dataclass(slots=True)
class _Past:
    """The last VOICE_WINDOWS of a channel, up to sample `end`."""

    end: int
    samples: NDArray[np.float32]
    speech: NDArray[np.float32]


class VoiceListener:
    """Adds voice prints to sound, one every VOICE_HOP where it is worth it. For one thread.

    The prints are the same however the sound is cut: each is made by itself, of the sound before
    it. Sound that never came counts as silence.

    Args:
        encode: what a voice sounds like.
        meter: counts its time, as `voices`.
    """

    def __init__(self, encode: Encode, meter: Meter) -> None:
        self._encode = encode
        self._meter = meter
        self._past: dict[int, _Past] = {}

    def listen(self, heard: HeardSound) -> HeardSound:
        """Take the next sound of a channel; return it with its prints."""
        past = self._past.get(heard.channel)
        if past is None or past.end != heard.start:
            past = _silence(heard.start)
        samples = np.concatenate([past.samples, heard.samples])
        speech = np.concatenate([past.speech, heard.speech])
        first = heard.start // WINDOW
        voices = []
        for offset in range(1, len(heard.speech) + 1):
            judged = slice(offset, offset + VOICE_WINDOWS)
            if (first + offset) % VOICE_HOP or not worth_a_print(speech[judged]):
                continue
            with self._meter.measure("voices"):
                vector = self._encode(samples[offset * WINDOW : judged.stop * WINDOW])
            voices.append(VoicePrint((first + offset) * WINDOW, vector))
        end = heard.start + len(heard.samples)
        kept = samples[-VOICE_WINDOWS * WINDOW :].copy()  # not a view of all that came
        self._past[heard.channel] = _Past(end, kept, speech[-VOICE_WINDOWS:].copy())
        return replace(heard, voices=tuple(voices))


def _silence(end: int) -> _Past:
    zeros = np.zeros(VOICE_WINDOWS * WINDOW, np.float32)
    return _Past(end, zeros, np.zeros(VOICE_WINDOWS, np.float32))
