"""Settings by which utterances are named: judged on made voices, found by a search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_voices import LEAN, Part, conversation, direction
from numpy.typing import NDArray

from magtkd_rt.core.media import WINDOW, seconds
from magtkd_rt.core.speakers import IDENTITIES
from magtkd_rt.train.diarization.changes import Heard
from magtkd_rt.train.diarization.names import DRAWN, Over, judge, search, utterances
from magtkd_rt.train.diarization.reference import SpokenTurn

TURNS = ((90, 0), (100, 1), (90, 0), (110, 2), (90, 1))
PAUSE = 30


def heard() -> Heard:
    """Turns of three people with pauses between, and who speaks in truth."""
    parts: list[Part] = [(PAUSE, None)]
    truth: list[SpokenTurn] = []
    at = PAUSE
    for length, speaker in TURNS:
        parts += [(length, speaker), (PAUSE, None)]
        truth.append(
            SpokenTurn(seconds(at * WINDOW), seconds((at + length) * WINDOW), f"{speaker}")
        )
        at += length + PAUSE
    return Heard(conversation(*parts), tuple(truth))


def described(sound: NDArray[np.float32], alike: float = 0.2) -> NDArray[np.float32]:
    """Whose voice it is, as a vector; all voices have something in common."""
    speaker = round(float(sound.mean()) / LEAN)
    vector = np.sqrt(1 - alike) * direction(speaker) + np.sqrt(alike) * direction(99)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.fixture(scope="module")
def over() -> list[Over]:
    return utterances(heard(), described)


def test_utterances_are_cut_as_a_session_cuts_them(over: list[Over]) -> None:
    assert len(over) == len(TURNS)
    for one, turn in zip(over, heard().turns, strict=True):
        assert one.start <= turn.start < turn.end <= one.end
        assert one.voice.vector @ described(np.full(9, LEAN * int(turn.speaker))) > 0.99
        assert not one.changed


def test_names_are_judged_by_number_and_share(over: list[Over]) -> None:
    steady = replace(IDENTITIES, same=0.6, variance=0.0)  # these voices never vary
    assert judge(heard(), over, steady) > 0.9
    all_one = judge(heard(), over, replace(steady, same=-1.0))
    assert all_one < 0.5  # the number is wrong, and most is given to others
    nobody = judge(heard(), over, replace(steady, evidence=1000))
    assert nobody < all_one


def test_the_search_finds_settings_that_tell_voices_apart(over: list[Over]) -> None:
    found = search([(heard(), over)], count=12, best=3)
    assert judge(heard(), over, found) > 0.9
    for name, (low, high) in DRAWN.items():
        assert low <= getattr(found, name) <= high
