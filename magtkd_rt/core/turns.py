"""Where the speaker changes inside running speech, from voice prints.

A print speaks for more than a second before its end, so after a change prints slide from the old
voice to the new one. Each print is compared with the voice of the running turn and with every
known speaker; a few signs of that, weighed as learned (magtkd_rt.train.diarization.changes), give
the log-odds that somebody else speaks by now. What speaks for a change adds up, what speaks
against it takes away, never below nothing (Page's test); when the sum is high enough the change
is believed. It lies about half a print before the print that was as much like the old voice as
like the new one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import VOICE_HOP, VOICE_WINDOWS
from magtkd_rt.core.speakers import Speakers, Vector, Voice

_KEPT = 32
"""Prints that are looked back at: four seconds."""
_EARLIER = 3 * VOICE_HOP
"""Windows back to the print that the newest one is held against."""

SIGNS: Final = (
    "own",
    "own_earlier",
    "rival",
    "heard",
    "known",
    "turn",
    "turn_own",
    "turn_rival",
)
"""What `TurnFinder.signs` tells, in this order; likenesses are cosines, 0 where there is none."""


@dataclass(frozen=True, slots=True)
class TurnConfig:
    """When the speaker has changed. Lengths are in windows of 32 ms, likeness is a cosine.

    Attributes:
        weights: what each of `SIGNS` adds to the log-odds of a change, times its value.
        bias: the log-odds where all signs are 0.
        level: likeness to the running turn under which it may be somebody new.
        crowd: what each known speaker after the first takes from `level`: the more there are, the
            likelier a strange voice is one of them in another mood.
        slope: log-odds for each unit of likeness by which a print is more like another speaker, or
            the level less `crowd`, than like the turn. What was learned of studio voices holds
            no level that a telephone's may lie under.
        clear: log-odds that these may add at most.
        voiced: clean prints in the turn's voice from which on they count.
        enough: sum of log-odds at which a change is believed.
        most: log-odds that a single print may add to or take from that sum.
        lag: from a change to the print that is as much like the old voice as like the new.
        search: the change is at the quietest place this close to where it is supposed.
        foreign: windows of somebody else's sound that a print may hold and still counts as clean.
        apart: a print is compared with those of its turn that end this much earlier.
    """

    weights: tuple[float, ...] = (-3.69, 3.7, 2.18, 1.66, -1.36, -5.07, 1.2, -0.73)
    bias: float = -0.51
    level: float = 0.455
    crowd: float = 0.1
    slope: float = 5.45
    clear: float = 0.545
    voiced: int = 3
    enough: float = 1.5
    most: float = 2.0
    lag: int = 16
    search: int = 7
    foreign: int = 8
    apart: int = 25

    def __post_init__(self) -> None:
        if len(self.weights) != len(SIGNS):
            raise ValueError(f"weights must be {len(SIGNS)}, one for each sign")
        if min(self.enough, self.most, self.voiced) <= 0 or not 0 <= self.search <= self.lag:
            raise ValueError("enough, most and voiced above 0, and search from 0 to lag are wanted")
        if not 0 <= self.foreign < VOICE_WINDOWS or not 1 <= self.apart < _KEPT * VOICE_HOP:
            raise ValueError("foreign must be less than a print, apart less than is looked back")


@dataclass(frozen=True, slots=True)
class Change:
    """The speaker has changed at one of windows `first` to `after`."""

    first: int
    after: int


class TurnFinder:
    """Follows the turn that is running on one channel.

    Args:
        config: when a change is believed.
        speakers: of the session.
    """

    def __init__(self, config: TurnConfig, speakers: Speakers) -> None:
        self._config = config
        self._speakers = speakers
        self._now = 0  # windows heard
        self._prints: deque[tuple[int, Vector]] = deque(maxlen=_KEPT)  # the latest: end, vector
        self._start = 0  # of the turn
        self._folded = 0  # prints that end up to here are in the sum, if they are clean
        self._sum: NDArray[np.float64] | float = 0.0  # of the turn's older clean prints
        self._count = 0
        self._left: Vector | None = None  # the voice of the turn before, where this is another's
        self._expected: int | None = None  # whose turn it is supposed to be
        self._rival: int | None = None  # who would have the next, if somebody known
        self._evidence = 0.0
        self._rising_since = 0

    def begin(self, start: int, *, changed: bool = False) -> None:
        """A turn begins at window `start`; `changed` if `hear` has found that out."""
        self._left = self._own_voice() if changed else None
        self._start = self._folded = start
        self._sum, self._count = 0.0, 0
        self._expected = self._rival if changed else None
        self._rival, self._evidence = None, 0.0

    @property
    def settled(self) -> int:
        """No change will be found before this window."""
        since = self._rising_since if self._evidence else self._now + VOICE_HOP
        return max(0, since - self._config.lag - self._config.search)

    def hear(self, now: int, vector: Vector | None) -> Change | None:
        """Take the sound up to window `now`, and the print that ends there if there is one."""
        self._now = now
        if vector is None:
            return None
        self._prints.append((now, vector))
        self._fold()
        rise = self._rise(vector)
        if not self._evidence:
            self._rising_since = now
        self._evidence = max(0.0, self._evidence + rise)
        if self._evidence < self._config.enough:
            return None
        place = max(self._place(vector), self.settled + self._config.search)
        return Change(place - self._config.search, place + self._config.search + 1)

    def voice(self, start: int, end: int) -> Voice | None:
        """What the turn sounded like up to window `end`, None if that cannot be told.

        A turn too short for that is judged by the print that holds most of `start` to `end`.
        """
        total, count = self._sum, self._count
        for at, vector in self._prints:
            if at > self._folded and self._clean(at) and at <= end + self._config.foreign:
                total, count = total + vector.astype(np.float64), count + 1
        if count:
            return Voice(_direction(total), VOICE_WINDOWS + (count - 1) * VOICE_HOP)
        shared = [_overlap(at, start, end) for at, _ in self._prints]
        if not shared or 2 * max(shared) < VOICE_WINDOWS:
            return None
        return Voice(self._prints[int(np.argmax(shared))][1], 0)

    def _fold(self) -> None:
        """Add prints that are old enough to the turn's voice, up to where it may have changed."""
        until = self._now - self._config.apart
        if self._evidence:
            until = min(until, self._rising_since - self._config.lag)
        for at, vector in self._prints:
            if self._folded < at <= until and self._clean(at):
                self._sum, self._count = self._sum + vector.astype(np.float64), self._count + 1
        self._folded = max(self._folded, until)

    def _own_voice(self) -> Vector | None:
        """What the turn sounds like so far, or whoever is supposed to have it."""
        if self._count:
            return _direction(self._sum)
        return None if self._expected is None else self._speakers.directions[self._expected]

    def _rise(self, vector: Vector) -> float:
        """Log-odds that somebody else speaks by now, as far as one print may tell."""
        signs = self.signs(vector)
        if signs is None:
            return 0.0
        config = self._config
        learned = float(signs @ config.weights) + config.bias
        rise = float(np.clip(learned, -config.most, config.most))
        own, rival = signs[SIGNS.index("own")], signs[SIGNS.index("rival")]
        excess = max(self._strange, rival or -1.0) - own
        if excess > 0 and self._count >= config.voiced:
            rise = max(rise, min(config.slope * excess, config.clear))
        return rise

    @property
    def _strange(self) -> float:
        """Likeness to the turn under which a voice may be a stranger's."""
        return self._config.level - self._config.crowd * max(0, len(self._speakers.directions) - 1)

    def signs(self, vector: Vector) -> NDArray[np.float64] | None:
        """What the newest print says for or against a change: float64, one for each of `SIGNS`.

        `own` is its likeness to the running turn or to the speaker whose turn it is supposed to
        be, whichever is more; `own_earlier` is that of an earlier print; `rival` is its likeness
        to the nearest other speaker. `heard` and `known` tell how much there is to compare with:
        clean prints in the turn's voice and known speakers, as shares of 4 at most. `turn` is its
        likeness to the turn alone, `turn_own` and `turn_rival` are the turn's to the two speakers.

        None where nothing is known of the turn's voice.
        """
        voice, known = self._own_voice(), self._speakers.directions
        if voice is None:
            return None
        mine = self._whose(voice, known)
        whose = [voice] if mine is None else [voice, known[mine]]
        own = _likeness(vector, whose)
        others = [n for n in range(len(known)) if n != mine]
        rival = max(others, key=lambda n: float(vector @ known[n])) if others else None
        rivals = [] if rival is None else [known[rival]]
        if max(_likeness(vector, rivals), self._strange) > own:
            self._rival = rival if _likeness(vector, rivals) > self._strange else None
        earlier = next((v for at, v in self._prints if at == self._now - _EARLIER), vector)
        return np.array(
            [
                own,
                _likeness(earlier, whose),
                _likeness(vector, rivals),
                min(self._count, 4) / 4,
                min(len(known), 4) / 4,
                float(vector @ voice),
                _likeness(voice, whose[1:]),
                _likeness(voice, rivals),
            ]
        )

    def _whose(self, voice: Vector, known: list[Vector]) -> int | None:
        """Which known speaker has the turn, as far as that can be supposed."""
        if self._expected is not None or not known:
            return self._expected
        mine = self._nearest(voice, known)
        left = self._left is not None and mine == self._nearest(self._left, known)
        return None if left else mine

    def _nearest(self, voice: Vector, known: list[Vector]) -> int | None:
        """Which known speaker the voice may be, if any."""
        likeness = [float(voice @ direction) for direction in known]
        best = int(np.argmax(likeness))
        return best if likeness[best] > self._config.level else None

    def _place(self, newest: Vector) -> int:
        """Where the change lies, now that the newest print is the new voice's."""
        old = self._own_voice()
        at = self._now
        for end, vector in reversed(self._prints):
            if old is None or vector @ newest < vector @ old:
                break
            at = end
        return at - self._config.lag

    def _clean(self, end: int) -> bool:
        """Whether the print that ends there holds this turn only."""
        return end - VOICE_WINDOWS + self._config.foreign >= self._start


def _direction(total: NDArray[np.float64] | float) -> Vector:
    return np.asarray(total / np.linalg.norm(total), np.float32)


def _likeness(vector: Vector, voices: list[Vector]) -> float:
    """To the nearest of the voices; 0 where there is none."""
    return max((float(vector @ voice) for voice in voices), default=0.0)


def _overlap(print_end: int, start: int, end: int) -> int:
    return min(print_end, end) - max(print_end - VOICE_WINDOWS, start)
