"""Which of several faces an utterance is judged by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from magtkd_rt.core.alignment import HeardWindow
from magtkd_rt.core.faces import FaceMemory, spread
from magtkd_rt.core.media import (
    SAMPLE_RATE,
    WINDOW,
    Box,
    Face,
    SeenFaces,
    mean_power,
    samples_to_ns,
)

SECOND = 1_000_000_000
LEFT: Box = (0.1, 0.1, 0.2, 0.2)
RIGHT: Box = (0.6, 0.1, 0.3, 0.3)


def face(value: int = 0, track: int = 0, box: Box = LEFT, movement: float = 0.0) -> Face:
    return Face(track, np.full((48, 48), value, np.uint8), box, 0.9, movement)


def seen(tenth: int, *faces: Face) -> SeenFaces:
    return SeenFaces(tenth * SECOND // 10, faces)


def talk(memory: FaceMemory, seconds: float, channel: int = 0) -> NDArray[np.float64]:
    """Speech of a loudness that rises and falls; returns the amplitude of each window."""
    amplitude = 0.2 + 0.19 * np.sin(np.arange(int(seconds * SAMPLE_RATE / WINDOW)) / 2)
    for n, level in enumerate(amplitude):
        samples = np.full(WINDOW, level, np.float32)
        memory.hear(HeardWindow(channel, n * WINDOW, samples, 0.95, mean_power(samples)))
    return amplitude


@given(st.integers(0, 500), st.integers(1, 40))
def test_faces_are_spread_evenly(available: int, count: int) -> None:
    chosen = spread(available, count)
    assert len(chosen) == min(available, count)
    assert chosen == sorted(set(chosen))
    assert all(0 <= n < available for n in chosen)
    gaps = np.diff(chosen)
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1
    if chosen:
        assert abs(chosen[0] - (available - 1 - chosen[-1])) <= 1


def test_faces_are_those_of_the_utterance() -> None:
    memory = FaceMemory(100)
    for n in range(30):
        memory.see(seen(n, face(n)))
    chosen = memory.choose(0, SAMPLE_RATE, 2 * SAMPLE_RATE, 4)
    assert chosen is not None
    assert chosen.crops.shape == (4, 48, 48)
    assert chosen.crops.dtype == np.uint8
    assert chosen.crops[:, 0, 0].tolist() == [11, 13, 16, 18]
    assert (chosen.box, chosen.score, chosen.seen, chosen.others) == (LEFT, 0.9, 1.0, 0)
    few = memory.choose(0, SAMPLE_RATE, SAMPLE_RATE + 4800, 4)
    assert few is not None
    assert few.crops[:, 0, 0].tolist() == [10, 11, 12]
    assert memory.choose(0, 10 * SAMPLE_RATE, 11 * SAMPLE_RATE, 4) is None


def test_pictures_without_a_face_are_not_chosen_but_count() -> None:
    memory = FaceMemory(100)
    for n in range(10):
        memory.see(seen(n, face(n)) if n % 2 else seen(n))
    chosen = memory.choose(0, 0, SAMPLE_RATE, 8)
    assert chosen is not None
    assert chosen.crops[:, 0, 0].tolist() == [1, 3, 5, 7, 9]
    assert chosen.seen == 0.5


def test_one_face_at_a_time_is_taken_whatever_its_number() -> None:
    memory = FaceMemory(100)
    for n in range(10):
        memory.see(seen(n, face(n, track=n // 4)))
    chosen = memory.choose(0, 0, SAMPLE_RATE, 16)
    assert chosen is not None
    assert chosen.crops[:, 0, 0].tolist() == list(range(10))
    assert (chosen.track, chosen.others) == (2, 0)


def test_faces_are_forgotten_and_bounded() -> None:
    memory = FaceMemory(10)
    assert [memory.see(SeenFaces(n, (face(),))) for n in range(12)] == [False] * 10 + [True] * 2
    assert len(memory) == 10
    memory.see(SeenFaces(samples_to_ns(WINDOW), (face(),)))
    memory.forget_before(WINDOW)
    assert len(memory) == 1
    assert not any(memory.see(SeenFaces(samples_to_ns(2 * WINDOW))) for _ in range(9))
    assert memory.see(SeenFaces(samples_to_ns(3 * WINDOW)))  # now the face gives way
    assert not memory.see(SeenFaces(samples_to_ns(3 * WINDOW)))  # and now an empty picture


@pytest.mark.parametrize("speaker", [0, 1])
def test_the_mouth_that_moves_in_the_speech_is_the_speakers(speaker: int) -> None:
    memory = FaceMemory(100)
    talk(memory, 3)
    for n in range(30):
        moves = [0.08 if track == speaker else 0.01 for track in (0, 1)]
        left, right = face(n, 0, LEFT, moves[0]), face(100 + n, 1, RIGHT, moves[1])
        memory.see(seen(n, right, left) if n % 2 else seen(n, left, right))
    chosen = memory.choose(0, 0, 3 * SAMPLE_RATE, 8)
    assert chosen is not None
    assert (chosen.track, chosen.box) == (speaker, (LEFT, RIGHT)[speaker])
    assert (chosen.others, chosen.seen) == (1, 1.0)
    assert all((value >= 100) == bool(speaker) for value in chosen.crops[:, 0, 0])


def test_of_two_that_move_the_one_ahead_of_the_sound_speaks() -> None:
    memory = FaceMemory(100)
    loud = talk(memory, 3)
    for n in range(30):
        # Its movement ends at n tenths; its middle is 0.05 s before, the sound 0.15 s after that.
        heard = loud[min(len(loud) - 1, int((n / 10 + 0.1) * SAMPLE_RATE / WINDOW))]
        with_it, against = 0.05 + heard / 10, 0.09 - heard / 10
        memory.see(seen(n, face(0, 4, LEFT, against), face(1, 5, RIGHT, with_it)))
    chosen = memory.choose(0, 0, 3 * SAMPLE_RATE, 8)
    assert chosen is not None
    assert chosen.track == 5


def test_movement_outside_the_speech_counts_for_nothing() -> None:
    memory = FaceMemory(100)
    for n in range(90):
        speech = 0.95 if n >= 45 else 0.0
        memory.hear(HeardWindow(0, n * WINDOW, np.full(WINDOW, 0.1, np.float32), speech, 0.01))
    for n in range(28):
        before = n < 13
        chews, speaks = (0.2, 0.0) if before else (0.0, 0.08)
        memory.see(seen(n, face(0, 0, LEFT, chews), face(1, 1, RIGHT, speaks)))
    chosen = memory.choose(0, 0, 90 * WINDOW, 8)
    assert chosen is not None
    assert chosen.track == 1


def test_where_no_mouth_moves_it_is_the_largest() -> None:
    memory = FaceMemory(100)
    talk(memory, 1)
    for n in range(10):
        memory.see(seen(n, face(0, 0, LEFT, 0.015), face(1, 1, RIGHT, 0.0)))
    chosen = memory.choose(0, 0, SAMPLE_RATE, 8)
    assert chosen is not None
    assert chosen.track == 1


def test_who_spoke_last_on_the_channel_is_preferred_a_little() -> None:
    memory = FaceMemory(100)
    talk(memory, 1)
    talk(memory, 1, channel=1)
    for n in range(10):
        memory.see(seen(n, face(0, 0, LEFT, 0.07), face(1, 1, RIGHT, 0.075)))
    for _ in range(2):  # asking changes nothing
        chosen = memory.choose(0, 0, SAMPLE_RATE, 8)
        assert chosen is not None
        assert chosen.track == 1
    left_only = FaceMemory(100)
    left_only.see(seen(0, face()))
    memory.remember(0, left_only.choose(0, 0, SAMPLE_RATE, 8))
    memory.remember(1, None)
    tracks = [memory.choose(channel, 0, SAMPLE_RATE, 8) for channel in (0, 1)]
    assert [chosen.track for chosen in tracks if chosen] == [0, 1]


def test_what_comes_after_the_end_changes_nothing() -> None:
    """The choice must not depend on how far ahead sound and pictures were handed in."""
    short, long = FaceMemory(100), FaceMemory(100)
    for memory, tenths in ((short, 20), (long, 40)):
        talk(memory, tenths / 10)
        for n in range(tenths):
            memory.see(seen(n, face(n, 0, LEFT, 0.08), face(n, 1, RIGHT, 0.2 * (n >= 20))))
    span = 0, 62 * WINDOW, 8
    one, other = short.choose(0, *span), long.choose(0, *span)
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.crops, other.crops)
    assert (one.track, one.box, one.seen) == (other.track, other.box, other.seen) == (0, LEFT, 1.0)
