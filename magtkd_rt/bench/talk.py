"""Who speaks when in a made-up conversation, after the habits of a real one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from magtkd_rt.errors import InputError

_SPREAD: Final = 0.25
"""How far lengths and gaps are strewn around those that were measured: sigma of their logarithm."""
_SHORTEST_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Turn:
    """One speaker from `start` to `end`, in seconds; speakers are numbers from 0."""

    start: float
    end: float
    speaker: int


@dataclass(frozen=True, slots=True)
class Step:
    """How one turn followed what came before.

    Attributes:
        length: of the turn, in seconds.
        gap: seconds since everybody had ended; negative where somebody still spoke.
        changed: whether somebody else had begun the turn before.
    """

    length: float
    gap: float
    changed: bool


@dataclass(frozen=True, slots=True)
class Habits:
    """How people take turns: every step of a real conversation, and how many speak in it."""

    steps: tuple[Step, ...]
    speakers: int


CALL: Final = Habits(
    (
        Step(0.80, 0.43, True),
        Step(1.70, -0.03, True),
        Step(1.11, -0.10, True),
        Step(4.13, -0.46, True),
        Step(3.43, -0.21, True),
        Step(3.44, 0.13, True),
        Step(0.44, -3.34, True),
        Step(6.72, 0.29, False),
        Step(2.15, -0.65, True),
    ),
    speakers=2,
)
"""Of a telephone call of two, measured by its RTTM file (pyannote.audio's sample): hardly a pause,
most turns begin before the other's end."""


def measure_habits(turns: Sequence[Turn]) -> Habits:
    """The habits of a conversation.

    Raises:
        InputError: it has fewer than two turns.
    """
    ordered = sorted(turns, key=lambda turn: (turn.start, turn.end))
    if len(ordered) < 2:
        raise InputError(
            f"{len(ordered)} turns tell nothing of how people take turns",
            remedy="give a recording, or an RTTM file, with several",
        )
    steps = []
    silent_from = ordered[0].end
    for before, turn in pairwise(ordered):
        changed = turn.speaker != before.speaker
        steps.append(Step(turn.end - turn.start, turn.start - silent_from, changed))
        silent_from = max(silent_from, turn.end)
    return Habits(tuple(steps), len({turn.speaker for turn in ordered}))


def talk(habits: Habits, seed: int) -> Iterator[Turn]:
    """A conversation without end, from its first turn at 0 s, the same for the same seed.

    Each turn follows the one before like one of the real conversation, drawn at random, with its
    length and gap strewn a little; nobody speaks twice at once. Turns come by their start.
    """
    random = np.random.default_rng(seed)
    ends = [0.0] * habits.speakers
    speaker, start = int(random.integers(habits.speakers)), 0.0
    while True:
        step = habits.steps[int(random.integers(len(habits.steps)))]
        # The mean of what is strewn stays what was measured.
        longer, wider = np.exp(_SPREAD * random.standard_normal(2) - _SPREAD**2 / 2)
        if step.changed and habits.speakers > 1:
            others = [other for other in range(habits.speakers) if other != speaker]
            speaker = others[int(random.integers(len(others)))]
        start = max(start, max(ends) + step.gap * float(wider), ends[speaker])
        ends[speaker] = start + max(_SHORTEST_S, step.length * float(longer))
        yield Turn(start, ends[speaker], speaker)
