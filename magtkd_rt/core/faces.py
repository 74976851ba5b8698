"""Whose face belongs to an utterance: of the faces seen in it, the one whose mouth moves with it.

A speaker's mouth moves while there is speech, and moves more where it is louder; a mouth is ahead
of its voice by 100 to 300 ms (Chandrasekaran et al. 2009, "The natural statistics of audiovisual
speech"). That is weak evidence: chewing and laughing move mouths too, and who speaks may be out
of the picture.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.alignment import HeardWindow
from magtkd_rt.core.media import NANOSECONDS, SAMPLE_RATE, WINDOW, Box, SeenFaces, samples_to_ns

_STILL = 0.02  # mean movement under it says nothing: compression and detection move a mouth so much
_MOST = 0.2  # movement above it says no more than this: a head that turns
_AHEAD_NS = 150_000_000  # what a mouth is ahead of its voice, from middle to middle
_BESIDE = 1  # windows either side of that moment that are heard: 96 ms in all
_LEAST_LIKENESS = -0.5  # a short utterance may go against its speaker's mouth by chance
_SAME_AS_BEFORE = 1.2  # factor for the face that spoke last on the channel


@dataclass(frozen=True, slots=True, eq=False)
class ChosenFaces:
    """The face that an utterance is judged by.

    Attributes:
        crops: uint8 (n, 48, 48), n at least 1, in order of time.
        box: where it was last.
        score: the detector's mean confidence, 0 to 1.
        seen: share of the utterance's pictures that show it.
        others: further faces in those pictures, the median.
        track: which face it is; the last one's where one face at a time was seen.
    """

    crops: NDArray[np.uint8]
    box: Box
    score: float
    seen: float
    others: int
    track: int


class FaceMemory:
    """The faces and the speech of late, kept for utterances that are not over yet.

    Args:
        capacity: pictures kept at most; the oldest gives way.
    """

    def __init__(self, capacity: int) -> None:
        self._pictures: deque[SeenFaces] = deque(maxlen=capacity)
        self._heard: dict[int, deque[_Heard]] = {}  # by channel
        self._spoke_last: dict[int, int] = {}  # by channel: track

    def __len__(self) -> int:
        return len(self._pictures)

    def see(self, picture: SeenFaces) -> bool:
        """Keep what a picture showed; returns whether an older one with a face gave way."""
        full = len(self._pictures) == self._pictures.maxlen
        lost = full and bool(self._pictures[0].faces)
        self._pictures.append(picture)
        return lost

    def hear(self, window: HeardWindow) -> None:
        """Keep how loud a window is and how likely it is speech."""
        decibels = 10 * float(np.log10(window.power + 1e-8))
        heard = _Heard(window.start // WINDOW, window.speech, decibels)
        self._heard.setdefault(window.channel, deque()).append(heard)

    def forget_before(self, sample: int) -> None:
        """No utterance that is still to be closed begins before this sample."""
        limit = samples_to_ns(sample)
        while self._pictures and self._pictures[0].time_ns < limit:
            self._pictures.popleft()
        for heard in self._heard.values():
            while heard and heard[0].window < sample // WINDOW:
                heard.popleft()

    def choose(self, channel: int, start: int, end: int, count: int) -> ChosenFaces | None:
        """At most `count` faces spread evenly over those of who speaks in samples `start` to `end`.

        Changes nothing, so that it may be asked while the utterance goes on. Only what was seen
        and heard before `end` counts.

        Returns:
            None where no face was seen.
        """
        first, after = samples_to_ns(start), samples_to_ns(end)
        pictures = [picture for picture in self._pictures if first <= picture.time_ns < after]
        pictures.sort(key=lambda picture: picture.time_ns)
        shown = [(picture, face) for picture in pictures for face in picture.faces]
        if any(len(picture.faces) > 1 for picture in pictures):
            track = self._who_speaks(channel, end, pictures)
            shown = [(picture, face) for picture, face in shown if face.track == track]
        # Else it is one at a time, who may have been lost and found again under another number.
        if not shown:
            return None
        last = shown[-1][1]
        return ChosenFaces(
            crops=np.stack([shown[n][1].crop for n in spread(len(shown), count)]),
            box=last.box,
            score=float(np.mean([face.score for _, face in shown])),
            seen=len(shown) / len(pictures),
            others=int(np.median([len(picture.faces) - 1 for picture, _ in shown])),
            track=last.track,
        )

    def remember(self, channel: int, chosen: ChosenFaces | None) -> None:
        """An utterance of the channel is over, and this was its face."""
        if chosen is not None:
            self._spoke_last[channel] = chosen.track

    def _who_speaks(self, channel: int, end: int, pictures: list[SeenFaces]) -> int:
        """The track whose mouth goes best with the channel; the most prominent if none moves."""
        moments = _middles([picture.time_ns for picture in pictures])
        heard = self._heard_at(channel, end, moments + _AHEAD_NS)
        there, speech, decibels = heard
        spoke_last = self._spoke_last.get(channel)

        def rank(track: int) -> tuple[float, float]:
            faces = [next((f for f in p.faces if f.track == track), None) for p in pictures]
            # A picture that does not show it counts against it.
            moves = np.array([min(face.movement, _MOST) if face else 0.0 for face in faces])
            prominence = sum(f.box[2] * f.box[3] * f.score for f in faces if f)
            in_speech = float((moves * speech).sum() / max(speech.sum(), 1e-6))
            if in_speech < _STILL:
                return 0.0, prominence
            likeness = max(_LEAST_LIKENESS, _correlation(moves[there], decibels[there]))
            before = _SAME_AS_BEFORE if track == spoke_last else 1.0
            return in_speech * (1 + likeness) * before, prominence

        return max(sorted({f.track for p in pictures for f in p.faces}), key=rank)

    def _heard_at(
        self, channel: int, end: int, moments: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
        """Whether something was heard before `end` at some moments, how likely speech, how loud."""
        heard = {h.window: h for h in self._heard.get(channel, ()) if h.window < end // WINDOW}
        windows = moments * SAMPLE_RATE // (NANOSECONDS * WINDOW)
        around = [
            [heard[n] for n in range(window - _BESIDE, window + _BESIDE + 1) if n in heard]
            for window in windows.tolist()
        ]
        return (
            np.array([bool(some) for some in around]),
            np.array(
                [float(np.mean([h.speech for h in some])) if some else 0.0 for some in around]
            ),
            np.array(
                [float(np.mean([h.decibels for h in some])) if some else 0.0 for some in around]
            ),
        )


@dataclass(frozen=True, slots=True)
class _Heard:
    window: int
    speech: float
    decibels: float


def _middles(times_ns: list[int]) -> NDArray[np.int64]:
    """The middle of each picture's movement, which began with the picture before."""
    times = np.array(times_ns, np.int64)
    middles: NDArray[np.int64] = times - np.diff(times, prepend=times[0]) // 2
    return middles


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Pearson's; 0 where one of the two does not change, or there is too little."""
    if len(one) < 3 or one.std() < 1e-6 or other.std() < 1e-6:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def spread(available: int, count: int) -> list[int]:
    """`count` of the numbers below `available`: the middles of equal parts; all if there are few.

    >>> spread(16, 4)
    [2, 6, 10, 14]
    """
    if available <= count:
        return list(range(available))
    return [(2 * n + 1) * available // (2 * count) for n in range(count)]
