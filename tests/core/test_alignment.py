"""Windows of several channels in one order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magtkd_rt.core.alignment import WindowMerge
from magtkd_rt.core.media import WINDOW


def drained(merge: WindowMerge) -> list[tuple[int, int]]:
    return [(window.start // WINDOW, window.channel) for window in merge.ready()]


def test_one_channel_waits_for_nobody(make_track: Any) -> None:
    merge = WindowMerge(1, 10 * WINDOW)
    assert merge.add(make_track((3, 0.5))) == 0
    assert drained(merge) == [(0, 0), (1, 0), (2, 0)]


def test_a_window_knows_how_loud_it_is(make_track: Any) -> None:
    track = make_track((3, 0.5))
    merge = WindowMerge(1, 10 * WINDOW)
    merge.add(track)
    for window in merge.ready():
        exact = np.mean(np.square(window.samples, dtype=np.float64))
        assert window.power == pytest.approx(exact, rel=1e-12)
        assert window.power > 0


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
