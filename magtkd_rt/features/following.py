"""Which face is which from one picture to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from magtkd_rt.core.media import Box

MOST_FACES: Final = 4
"""Faces of one picture that are followed."""

_LOST_NS: Final = 500_000_000
"""A face that was not seen for longer comes back as another one."""

_JUMP: Final = 0.6
"""Sides that a face may move between two looks; two faces are at least a side apart."""

_GROWTH: Final = 1.8
"""Factor by which its size may change."""

_FOLLOW_BONUS: Final = 2.0
"""A face that is followed counts as this much larger, where there are too many."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A face that was found: `track` is its number, never another face's."""

    track: int
    box: Box
    score: float


class Follower:
    """Numbers the faces that a detector finds, by where they were before."""

    def __init__(self) -> None:
        self._known: list[tuple[Followed, int]] = []  # with when it was last found
        self._count = 0

    def follow(self, found: list[tuple[Box, float]], time_ns: int) -> list[Followed]:
        """Say which faces these are, the nearest pairs first.

        Args:
            found: what the detector saw, any number.
            time_ns: when; going back in time forgets all faces.

        Returns:
            At most MOST_FACES, the largest and surest, those that were followed before others.
        """
        known = {
            face.track: (face, seen_ns)
            for face, seen_ns in self._known
            if 0 <= time_ns - seen_ns <= _LOST_NS
        }
        pairs = sorted(
            (distance, face.track, n)
            for n, (box, _) in enumerate(found)
            for face, _ in known.values()
            if (distance := _distance(face.box, box)) is not None
        )
        tracks: dict[int, int] = {}  # by index in `found`
        for _, track, n in pairs:
            if n not in tracks and track not in tracks.values():
                tracks[n] = track
        order = sorted(range(len(found)), key=lambda n: -_weight(*found[n], known=n in tracks))
        faces = [self._face(tracks.get(n), *found[n]) for n in order[:MOST_FACES]]
        for face in faces:
            known[face.track] = (face, time_ns)
        self._known = list(known.values())
        return faces

    def _face(self, track: int | None, box: Box, score: float) -> Followed:
        if track is None:
            track = self._count
            self._count += 1
        return Followed(track, box, score)


def _distance(one: Box, other: Box) -> float | None:
    """Between two faces' middles, in sides of the larger; None where they cannot be one face."""
    width, height = max(one[2], other[2]), max(one[3], other[3])
    if width > _GROWTH * min(one[2], other[2]) or height > _GROWTH * min(one[3], other[3]):
        return None
    aside = abs((one[0] + one[2] / 2) - (other[0] + other[2] / 2)) / width
    down = abs((one[1] + one[3] / 2) - (other[1] + other[3] / 2)) / height
    distance = max(aside, down)
    return distance if distance < _JUMP else None


def _weight(box: Box, score: float, *, known: bool) -> float:
    return box[2] * box[3] * score * (_FOLLOW_BONUS if known else 1.0)
