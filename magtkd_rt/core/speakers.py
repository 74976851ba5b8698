"""Who a voice belongs to: the speakers of a session, found one after the other as they speak.

Each speaker is one direction in the space of voice prints, the mean of what was surely theirs.
An utterance's voice is compared with all of them and with "somebody new", a speaker whose
likeness is a constant. Numbers count from 0 by first appearance and never change their meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import VOICE_WINDOWS

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Enrolled:
    """A speaker who is known beforehand.

    Attributes:
        name: what they are called.
        vector: float32 (d,), of length 1, the mean of their prints.
        identity: the same of their voice as a whole, where a session has identities.
    """

    name: str
    vector: Vector
    identity: Vector | None = None


@dataclass(frozen=True, slots=True)
class SpeakerConfig:
    """When two voices are one speaker. Likeness is the cosine of voice prints, at most 1.

    Attributes:
        most: speakers of a session at most, enrolled ones included.
        same: likeness of two long samples of voice above which they are one speaker's.
        crowd: what each known speaker after the first takes from `same`: the more there are, the
            likelier it is one of them.
        variance: share of a single print that is not the speaker's, but the moment's. The less
            was heard, the less like may one speaker's samples be.
        evidence: windows of clean voice from which on somebody new is believed.
        sharpness: how fast the odds by which it is decided grow with likeness.
        sure: probability by these odds under which nobody is named.
        learn: the same from which on an utterance adds to its speaker.
        calibrated: the sharpness of a confidence that is right as often as it says.
        memory: windows of voice after which a speaker's older sound begins to fade.
        change: what a found change takes from the likeness of the previous speaker, shared out
            among all who are known: where others are, a false change is the likelier error.
    """

    most: int = 8
    same: float = 0.66
    crowd: float = 0.12
    variance: float = 0.72
    evidence: int = 42
    sharpness: float = 17.0
    sure: float = 0.35
    learn: float = 0.7
    calibrated: float = 4.0
    memory: int = 1600
    change: float = 0.31

    def __post_init__(self) -> None:
        if min(self.most, self.evidence, self.memory) < 1:
            raise ValueError("most, evidence and memory must be positive")
        if min(self.sharpness, self.calibrated) <= 0:
            raise ValueError("sharpness and calibrated must be positive")
        if not 0 <= self.variance < 1 or not 0 <= self.sure <= self.learn <= 1:
            raise ValueError("0 <= variance < 1 and 0 <= sure <= learn <= 1 are wanted")


IDENTITIES: Final = SpeakerConfig(
    same=0.455,
    crowd=0.044,
    variance=0.78,
    evidence=35,
    sharpness=14.5,
    sure=0.4,
    learn=0.68,
    calibrated=6.0,
    change=0.23,
)
"""The same for descriptions of whole utterances, see `SessionConfig.identities`. Found on 72
conversations that were built of RAVDESS's training actors (docs/speakers.md)."""


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """What an utterance sounded like.

    Attributes:
        vector: float32 (d,), of length 1: the mean of its prints.
        windows: of clean voice that it speaks for; 0 where no print is clean.
    """

    vector: Vector
    windows: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who spoke.

    Attributes:
        speaker: number by first appearance, None where it is not sure.
        guess: the most likely number, all the same; None where nobody is known.
        confidence: that it is the guess, 0 to 1.
    """

    speaker: int | None
    guess: int | None
    confidence: float


@dataclass(slots=True, eq=False)
class _Speaker:
    total: NDArray[np.float64]
    """Sum of voice vectors, weighted with the windows they speak for."""
    windows: float
    name: str | None = None
    number: int | None = None
    """None for somebody enrolled who has not spoken yet."""

    @property
    def direction(self) -> Vector:
        return (self.total / np.linalg.norm(self.total)).astype(np.float32)


class Speakers:
    """The speakers of one session.

    Args:
        config: when voices are alike.
        enrolled: those known beforehand.
    """

    def __init__(self, config: SpeakerConfig, enrolled: Sequence[Enrolled] = ()) -> None:
        self._config = config
        self._known = [
            _Speaker(e.vector.astype(np.float64) * config.memory, config.memory, e.name)
            for e in enrolled
        ]
        self._appeared = 0

    @property
    def directions(self) -> list[Vector]:
        """One vector for each known speaker, in a fixed order; a new speaker comes last."""
        return [speaker.direction for speaker in self._known]

    def name(self, number: int) -> str | None:
        """The name of an enrolled speaker, None for others."""
        return next((s.name for s in self._known if s.number == number), None)

    def judge(self, voice: Voice | None, not_speaker: int | None = None) -> Verdict:
        """Say whose voice it is, and learn from it.

        Args:
            voice: of an utterance that is over; None where nothing could be heard of it.
            not_speaker: who spoke before a found change, and so is less likely now.
        """
        if voice is None:
            return Verdict(None, None, 0.0)
        config = self._config
        likeness = [self._likeness(speaker, voice, not_speaker) for speaker in self._known]
        somebody_new = config.same - config.crowd * max(0, len(self._known) - 1)
        if len(self._known) >= config.most:
            somebody_new = -np.inf
        likenesses = np.array([*likeness, somebody_new])
        chances = _chances(likenesses, config.sharpness)
        told = _chances(likenesses, config.calibrated)
        best = int(np.argmax(chances))
        new = best == len(self._known)
        if chances[best] < config.sure or (new and voice.windows < config.evidence):
            return self._unsure(told[:-1])
        if new:
            self._known.append(_Speaker(np.zeros(len(voice.vector)), 0.0))
        speaker = self._known[best]
        if speaker.number is None:
            speaker.number = self._appeared
            self._appeared += 1
        if new or chances[best] >= config.learn:
            self._learn(speaker, voice)
        return Verdict(speaker.number, speaker.number, float(told[best]))

    def _likeness(self, speaker: _Speaker, voice: Voice, not_speaker: int | None) -> float:
        """Cosine, made up for what short samples lose of it."""
        config = self._config
        cosine = float(voice.vector @ speaker.direction)
        expected = 1.0
        for windows in (voice.windows, speaker.windows):
            prints = max(1.0, windows / VOICE_WINDOWS)
            expected *= 1 - config.variance + config.variance / prints
        likeness = cosine / (1 - config.variance) * np.sqrt(expected)
        changed = not_speaker is not None and speaker.number == not_speaker
        return float(likeness) - (config.change / len(self._known) if changed else 0.0)

    def _unsure(self, chances: NDArray[np.float64]) -> Verdict:
        """Nobody is named; the guess is the nearest of those who have spoken."""
        spoken = [n for n, speaker in enumerate(self._known) if speaker.number is not None]
        if not spoken:
            return Verdict(None, None, 0.0)
        best = max(spoken, key=lambda n: float(chances[n]))
        return Verdict(None, self._known[best].number, float(chances[best]))

    def _learn(self, speaker: _Speaker, voice: Voice) -> None:
        if not voice.windows:
            return
        speaker.total += voice.vector.astype(np.float64) * voice.windows
        speaker.windows += voice.windows
        if speaker.windows > self._config.memory:
            fade = self._config.memory / speaker.windows
            speaker.total *= fade
            speaker.windows *= fade


def _chances(likenesses: NDArray[np.float64], sharpness: float) -> NDArray[np.float64]:
    """Softmax of (n,); a likeness of minus infinity has none."""
    odds = np.exp(sharpness * (likenesses - likenesses.max()))
    chances: NDArray[np.float64] = odds / odds.sum()
    return chances
