"""Who is said to speak in the evaluation of the context."""

from __future__ import annotations

import numpy as np
import pytest

from magtkd_rt.core.speakers import SpeakerConfig, Voice
from magtkd_rt.train.diarization.context import NOBODY, find_speakers, judge_found
from magtkd_rt.train.pairing import Paired


def voice(direction: int, seed: int) -> Voice:
    """Two seconds of a voice near one of the axes."""
    random = np.random.default_rng(seed)
    vector = 0.02 * random.standard_normal(16) + np.eye(16)[direction]
    return Voice((vector / np.linalg.norm(vector)).astype(np.float32), 62)


def dialogue(voices: list[int], speakers: list[int]) -> Paired:
    count = len(voices)
    return Paired(
        np.zeros((count, 3, 8), np.float32),
        np.zeros((count, 3, 7), np.float32),
        np.array(speakers),
        np.zeros(count, np.int64),
        np.array(voices),
    )


def test_voices_are_told_apart_turn_by_turn_and_each_dialogue_begins_anew() -> None:
    bank = [voice(0, 1), voice(0, 2), voice(5, 3), voice(5, 4), None]
    found = find_speakers(
        [dialogue([2, 0, 3, 1], [0, 1, 0, 1]), dialogue([0, 4, 2], [0, 0, 1])],
        bank,
        SpeakerConfig(),
    )
    assert [said.tolist() for said in found.fused] == [[0, 1, 0, 1], [0, NOBODY, 1]]
    assert [said.tolist() for said in found.prompt] == [[0, 1, 0, 1], [0, 0, 1]]


def test_judged_by_hand() -> None:
    true = [np.array([0, 1, 0, 1]), np.array([0, 0])]
    found = [np.array([1, 0, 1, NOBODY]), np.array([0, 1])]
    told = judge_found(true, [found, found])
    assert told["turns_right"] == pytest.approx(4 / 6)
    assert told["unknown"] == pytest.approx(1 / 6)
    assert told["dialogues_with_right_number"] == pytest.approx(1 / 2)
