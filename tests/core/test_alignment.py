"""Windows of several channels in one order; faces beside speech."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from magtkd_rt.core.alignment import FaceTrack, WindowMerge, spread
from magtkd_rt.core.media import SAMPLE_RATE, WINDOW, SeenFace, samples_to_ns

SECOND = 1_000_000_000


def face(time_ns: int, value: int = 0) -> SeenFace:
    return SeenFace(time_ns, np.full((48, 48), value, np.uint8), (0.1, 0.1, 0.2, 0.2), 0.9)


def drained(merge: WindowMerge) -> list[tuple[int, int]]:
    return [(window.start // WINDOW, window.channel) for window in merge.ready()]


def test_one_channel_waits_for_nobody(make_track: Any) -> None:
    merge = WindowMerge(1, 10 * WINDOW)
    assert merge.add(make_track((3, 0.5))) == 0
    assert drained(merge) == [(0, 0), (1, 0), (2, 0)]


def test_channels_come_out_by_time(make_track: Any) -> None:
    merge = WindowMerge(2, 10 * WINDOW)
    merge.add(make_track((3, 0.5), channel=1))
    assert drained(merge) == []
    merge.add(make_track((2, 0.5), channel=0))
    assert drained(merge) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [(w.start // WINDOW, w.channel) for w in merge.rest()] == [(2, 1)]


def test_a_dead_channel_is_waited_for_only_so_long(make_track: Any) -> None:
    merge = WindowMerge(2, 10 * WINDOW)
    merge.add(make_track((15, 0.5), channel=0))
    assert drained(merge) == [(n, 0) for n in range(5)]


def test_sound_of_a_time_that_was_heard_is_late(make_track: Any) -> None:
    merge = WindowMerge(1, 10 * WINDOW)
    merge.add(make_track((4, 0.5)))
    assert merge.add(make_track((4, 0.5), start=2 * WINDOW)) == 2
    assert merge.add(make_track((1, 0.5), start=0)) == 1
    assert drained(merge) == [(n, 0) for n in range(6)]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 9)), max_size=30))
def test_the_order_does_not_depend_on_who_came_first(
    make_track: Any, piece: Any, turns: list[tuple[int, int]]
) -> None:
    tracks = [make_track((40, 0.5), channel=c, seed=c) for c in (0, 1)]
    merge, reached, out = WindowMerge(2, 100 * WINDOW), [0, 0], []
    for channel, count in [*turns, (0, 40), (1, 40)]:
        after = min(40, reached[channel] + count)
        if after > reached[channel]:
            merge.add(piece(tracks[channel], reached[channel], after))
            reached[channel] = after
        out += drained(merge)
    assert out == [(n, channel) for n in range(40) for channel in (0, 1)]


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
    track = FaceTrack(100)
    for n in range(30):
        track.add(face(n * SECOND // 10, n))
    chosen = track.choose(SAMPLE_RATE, 2 * SAMPLE_RATE, 4)
    assert chosen is not None
    assert chosen.shape == (4, 48, 48)
    assert chosen.dtype == np.uint8
    assert chosen[:, 0, 0].tolist() == [11, 13, 16, 18]
    few = track.choose(SAMPLE_RATE, SAMPLE_RATE + 4800, 4)
    assert few is not None
    assert few[:, 0, 0].tolist() == [10, 11, 12]
    assert track.choose(10 * SAMPLE_RATE, 11 * SAMPLE_RATE, 4) is None


def test_pictures_without_a_face_are_not_chosen() -> None:
    track = FaceTrack(100)
    for n in range(10):
        track.add(face(n * SECOND // 10, n) if n % 2 else SeenFace(n * SECOND // 10, None))
    chosen = track.choose(0, SAMPLE_RATE, 8)
    assert chosen is not None
    assert chosen[:, 0, 0].tolist() == [1, 3, 5, 7, 9]


def test_faces_are_forgotten_and_bounded() -> None:
    track = FaceTrack(10)
    assert [track.add(face(n)) for n in range(12)] == [False] * 10 + [True] * 2
    assert len(track) == 10
    track.add(face(samples_to_ns(WINDOW)))
    track.forget_before(WINDOW)
    assert len(track) == 1
