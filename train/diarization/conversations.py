"""Conversations built of RAVDESS clips: actors take turns without a pause.

What each is made of depends on its seed alone. Actors of two splits never meet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import SAMPLE_RATE, WINDOW, AudioChunk, seconds
from magtkd_rt.errors import DataError, InputError
from magtkd_rt.sources import MemorySource
from magtkd_rt.train.corpora.starter import RAVDESS_ACTORS, Clip, read_ravdess, read_sound
from magtkd_rt.train.diarization.reference import SpokenTurn

SPEAKERS: Final = (2, 3, 4)
"""How many speak; seed after seed takes the next number."""
TURNS: Final = 12
MOST_CLIPS: Final = 3
"""A turn is one to so many clips."""
_FRAME: Final = SAMPLE_RATE // 50
_QUIET: Final = 0.03
"""Share of a clip's loudest frames (20 ms, RMS) under which it is silent."""
_RAMP: Final = SAMPLE_RATE // 200  # 5 ms, so that no click tells where clips were joined


@dataclass(frozen=True, eq=False)
class Conversation:
    """One built conversation.

    Attributes:
        seed: of which it is made.
        sound: float32 (n,) at 16 kHz.
        turns: who speaks when; they follow one another without a gap.
        clips: what each turn is made of.
    """

    seed: int
    sound: NDArray[np.float32]
    turns: tuple[SpokenTurn, ...]
    clips: tuple[tuple[Path, ...], ...]

    def source(self) -> MemorySource:
        """Its sound, one window at a time as a file gives it."""
        starts = range(0, len(self.sound), WINDOW)
        return MemorySource(
            (AudioChunk(0, start, self.sound[start : start + WINDOW]) for start in starts),
            name=f"built conversation {self.seed}",
        )


def parse_actors(text: str) -> tuple[str, tuple[int, ...]]:
    """`21-24` as the split's name and its actors.

    Raises:
        InputError: it is no range, one of its actors does not exist, or it spans two splits.
    """
    splits = ", ".join(f"{one[0]}-{one[-1]} ({name})" for name, one in RAVDESS_ACTORS.items())
    found = re.fullmatch(r"(\d{1,2})-(\d{1,2})", text)
    actors = range(int(found[1]), int(found[2]) + 1) if found else range(0)
    if len(actors) < 2:
        raise InputError(
            f"{text!r} is no range of two actors or more", remedy="write it as in --actors 21-24"
        )
    for name, members in RAVDESS_ACTORS.items():
        if set(actors) <= set(members):
            return name, tuple(actors)
    raise InputError(f"the actors {text} are not of one split", remedy=f"the splits are {splits}")


def read_clips(data: Path, actors: str) -> dict[int, list[Clip]]:
    """The clips of a range of actors, as `parse_actors` takes it, by actor.

    Raises:
        InputError: the range cannot be used.
        DataError: RAVDESS is missing, or has no clip of an actor.
    """
    split, wanted = parse_actors(actors)
    clips = read_ravdess(data, split)
    by_actor = {actor: [clip for clip in clips if clip.actor == actor] for actor in wanted}
    for actor, those in by_actor.items():
        if not those:
            raise DataError(
                f"{data / 'ravdess'} has no clips of actor {actor}", remedy="get the whole corpus"
            )
    return by_actor


def build(
    clips: dict[int, list[Clip]], seed: int, turns: int = TURNS, *, steady: bool = False
) -> Conversation:
    """Build the conversation of a seed.

    Args:
        clips: by actor; of each turn's speaker other clips are taken, as long as there are any.
        seed: of all that is drawn.
        turns: how many.
        steady: the clips of a turn are of one emotion; else a voice may leap within its turn from
            calm to screaming.
    """
    random = np.random.default_rng(seed)
    count = min(SPEAKERS[seed % len(SPEAKERS)], len(clips))
    actors = random.choice(sorted(clips), count, replace=False)
    piles = {int(actor): _Pile(clips[int(actor)], random) for actor in actors}
    sounds: list[NDArray[np.float32]] = []
    spoken, used, at = [], [], 0
    for actor in _order([int(actor) for actor in actors], turns, random):
        taken = piles[actor].take(int(random.integers(1, MOST_CLIPS + 1)), steady=steady)
        parts = [trimmed(read_sound(path)) for path in taken]
        end = at + sum(map(len, parts))
        spoken.append(SpokenTurn(seconds(at), seconds(end), f"actor {actor}"))
        used.append(tuple(taken))
        sounds += parts
        at = end
    return Conversation(seed, np.concatenate(sounds), tuple(spoken), tuple(used))


def _order(actors: Sequence[int], turns: int, random: np.random.Generator) -> list[int]:
    """Who speaks: nobody twice in a row, everybody twice at least."""
    if turns < 2 * len(actors):
        raise ValueError(f"{turns} turns are too few for {len(actors)} speakers")
    while True:
        order = [int(random.choice(actors))]
        while len(order) < turns:
            order.append(int(random.choice([actor for actor in actors if actor != order[-1]])))
        if min(order.count(actor) for actor in actors) >= 2:
            return order


class _Pile:
    """An actor's clips in a random order; once it is empty all come again in another."""

    def __init__(self, clips: Sequence[Clip], random: np.random.Generator) -> None:
        self._all = clips
        self._random = random
        self._left: list[Clip] = []

    def take(self, count: int, *, steady: bool) -> list[Path]:
        """The next clips; with `steady` of the first one's emotion."""
        first = self._next()
        return [first.path] + [
            self._next(first.label if steady else None).path for _ in range(count - 1)
        ]

    def _next(self, label: int | None = None) -> Clip:
        wanted = [clip for clip in self._left if label is None or clip.label == label]
        if not wanted:
            self._left += [self._all[int(n)] for n in self._random.permutation(len(self._all))]
            wanted = [clip for clip in self._left if label is None or clip.label == label]
        self._left.remove(wanted[0])
        return wanted[0]


def trimmed(clip: NDArray[np.float32]) -> NDArray[np.float32]:
    """A clip without the silence at its ends, and with soft edges: float32 (n,).

    Three frames in a row have to be loud: lips click before they speak.
    """
    frames = clip[: len(clip) // _FRAME * _FRAME].reshape(-1, _FRAME)
    loudness = np.sqrt(np.mean(np.square(frames, dtype=np.float64), axis=1))
    loud = loudness > _QUIET * loudness.max(initial=0.0)
    steady = np.flatnonzero(loud[:-2] & loud[1:-1] & loud[2:])
    if len(steady):
        clip = clip[steady[0] * _FRAME : (steady[-1] + 3) * _FRAME]
    ramp = np.linspace(0, 1, min(_RAMP, len(clip) // 2), dtype=np.float32)
    joinable = clip.copy()
    joinable[: len(ramp)] *= ramp
    joinable[len(joinable) - len(ramp) :] *= ramp[::-1]
    return joinable
