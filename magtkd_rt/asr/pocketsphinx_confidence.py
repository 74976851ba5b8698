"""How far to trust pocketsphinx's words.

Two quantities tell good transcripts from bad ones: the words' posterior probabilities in the
lattice, and how much worse the chosen words fit the sound than the best sounds of any kind do
(pocketsphinx's acoustic scores are relative to the best senone of each frame). A logistic
regression on both says how likely at most four words in ten are wrong; docs/transcription.md
gives the recordings and the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_POSTERIOR, _ACOUSTIC, _BIAS = 4.04, 2.16, 6.11

_PRIOR_POSTERIOR = 0.4
"""Stands for one more word, so that a single sure word is not a sure text."""

_ACOUSTIC_RANGE: Final = (-6.0, -2.4)
"""Range of the acoustic score that was seen where it was fitted, natural logarithm a frame."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One entry of the best path.

    Attributes:
        word: as the dictionary writes it; fillers are `<sil>`, `[NOISE]` and the like.
        start_frame: first frame, a hundredth of a second each.
        end_frame: last frame.
        posterior: probability in the lattice, 0 to 1.
        acoustic: likelihood relative to the best senone of each frame, 0 to 1.
    """

    word: str
    start_frame: int
    end_frame: int
    posterior: float
    acoustic: float

    @property
    def is_word(self) -> bool:
        """Whether it is a word, no filler."""
        return not self.word.startswith(("<", "[", "+"))


def text_confidence(segments: Sequence[Segment]) -> float:
    """Probability that at most four of ten words are wrong; 0 without words."""
    words = [segment for segment in segments if segment.is_word]
    if not words:
        return 0.0
    posterior = (sum(word.posterior for word in words) + _PRIOR_POSTERIOR) / (len(words) + 1)
    frames = sum(word.end_frame - word.start_frame + 1 for word in words)
    # Likelihoods of long words may underflow to zero, which has no logarithm.
    acoustic = sum(math.log(max(word.acoustic, 1e-300)) for word in words) / frames
    acoustic = min(max(acoustic, _ACOUSTIC_RANGE[0]), _ACOUSTIC_RANGE[1])
    return 1 / (1 + math.exp(-(_POSTERIOR * posterior + _ACOUSTIC * acoustic + _BIAS)))
