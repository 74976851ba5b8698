"""Whether an utterance was speech at all: what its sound and its words say for it.

The speech detector takes some music, singing and toys for speech, but hesitates; a transcriber
may hear words in anything. So the less clear the sound, the more the words must bear out.
docs/transcription.md gives the measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.jobs import Transcribed, Word
from magtkd_rt.core.media import SAMPLE_RATE, WINDOW

Clarity = Literal["weak", "unsure", "clear"]
"""Of an utterance's sound: only trusted words show that it was speech; it was none if its
transcriber hears hardly any; it was speech whatever is made of its words."""

_SLACK = 3
"""Windows that the times of words may be wrong."""

_IN_SPEECH = 0.5
"""Share of a word's windows, and of the words, that must lie in speech."""

_WORDS_PER_SECOND = 1.8
"""In a second of speech; singing and music that pass for speech have fewer."""

_NO_TEXT: Final = ("no_speech", "outside_speech", None)


def clarity(windows: int, mean: float, *, few: int, weak: float, clear: float) -> Clarity:
    """How clearly a sound is speech.

    Args:
        windows: of speech.
        mean: their mean probability.
        few: fewer windows than these are weak.
        weak: so is a lower mean.
        clear: from this mean on the sound is clear.
    """
    if windows < few or mean < weak:
        return "weak"
    return "clear" if mean >= clear else "unsure"


def share_in_speech(words: Sequence[Word], start: int, voiced: NDArray[np.bool_]) -> float:
    """How many of the words lie where there was speech, as a share; 1 where there are no words.

    Args:
        words: with times.
        start: sample at which the utterance begins.
        voiced: bool (n,), which of its windows were speech; around it there was none.
    """
    if not words:
        return 1.0
    near = np.convolve(np.pad(voiced, _SLACK), np.ones(2 * _SLACK + 1), "same") > 0
    inside = 0
    for word in words:
        first = (word.start - start) // WINDOW + _SLACK
        after = max(first + 1, -(-(word.end - start) // WINDOW) + _SLACK)
        heard = int(np.count_nonzero(near[max(0, first) : max(0, after)]))
        inside += int(heard >= _IN_SPEECH * (after - first))
    return inside / len(words)


def without_phantoms(said: Transcribed, start: int, voiced: NDArray[np.bool_]) -> Transcribed:
    """The transcript, or an empty one where most words lie outside of speech."""
    if share_in_speech(said.words or (), start, voiced) >= _IN_SPEECH:
        return said
    return replace(said, text="", words=(), confidence=0.0, doubt="outside_speech")


def why_no_speech(
    sound: Clarity, windows: int, said: Transcribed, *, trusted: bool, transcribed: bool = True
) -> Literal["no_speech", "hallucination"] | None:
    """Why an utterance is none, or None where it is one.

    Args:
        sound: how clearly it is speech.
        windows: of speech.
        said: the words of its transcriber.
        trusted: whether their confidence suffices.
        transcribed: whether it listened at all.
    """
    if sound == "clear" or (sound == "unsure" and not transcribed):
        return None
    if not said.text.strip():
        return "no_speech" if said.doubt in _NO_TEXT else "hallucination"
    if sound == "weak" and not (trusted and said.doubt is None):
        return "hallucination"
    return "hallucination" if _sparse(said, windows) else None


def _sparse(said: Transcribed, windows: int) -> bool:
    """Whether there are too few words for so much speech."""
    count = len(said.words or said.text.split())
    return count < _WORDS_PER_SECOND * windows * WINDOW / SAMPLE_RATE
