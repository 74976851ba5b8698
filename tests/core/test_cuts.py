"""Cutting an utterance in two from outside, and holding sound back until that is settled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magtkd_rt.core.media import WINDOW, AudioChunk, HeardSound
from magtkd_rt.core.segmenter import Segmenter, SegmenterConfig
from magtkd_rt.core.steps import Closed, Grown, Opened, Step

DEFAULT = SegmenterConfig()


def pushed(segmenter: Segmenter, sound: HeardSound, first: int, after: int) -> list[Step]:
    rows = sound.samples.reshape(-1, WINDOW)
    return [s for n in range(first, after) for s in segmenter.push(rows[n], float(sound.speech[n]))]


def test_the_cut_is_at_the_quietest_place(make_track: Any) -> None:
    sound = make_track((100, 0.9))
    sound.samples[45 * WINDOW : 49 * WINDOW] *= 0.01
    segmenter = Segmenter(DEFAULT, 0)
    segmenter.settle(0)
    pushed(segmenter, sound, 0, 100)
    closed, opened, *_ = segmenter.cut(35, 60)
    assert isinstance(closed, Closed)
    assert (closed.sound.start, closed.sound.end) == (0, 47 * WINDOW)
    assert not closed.split
    assert opened == Opened(0, 47 * WINDOW)
    (last,) = segmenter.flush()
    assert isinstance(last, Closed)
    assert (last.sound.start, last.sound.end) == (47 * WINDOW, 100 * WINDOW)


@pytest.mark.parametrize(("first", "after"), [(0, 5), (95, 100), (40, 40), (300, 310)])
def test_no_cut_leaves_less_than_an_utterance(make_track: Any, first: int, after: int) -> None:
    segmenter = Segmenter(DEFAULT, 0)
    segmenter.settle(0)
    pushed(segmenter, make_track((100, 0.9)), 0, 100)
    assert segmenter.cut(first, after) == []
    assert len(segmenter.flush()) == 1


def test_where_nothing_is_open_nothing_is_cut(make_track: Any) -> None:
    segmenter = Segmenter(DEFAULT, 0)
    pushed(segmenter, make_track((30, 0.0)), 0, 30)
    assert segmenter.cut(5, 25) == []


def test_sound_is_held_back_until_it_is_settled(make_track: Any) -> None:
    sound = make_track((120, 0.9))
    segmenter = Segmenter(DEFAULT, 0)
    segmenter.settle(30)
    grown = [step for step in pushed(segmenter, sound, 0, 120) if isinstance(step, Grown)]
    assert grown[-1].sound.end == 24 * WINDOW
    segmenter.settle(80)
    grown = [s for s in segmenter.push(sound.samples[:WINDOW], 0.9) if isinstance(s, Grown)]
    assert grown[-1].sound.end == 72 * WINDOW
    assert grown[-1].ahead is not None
    assert (grown[-1].ahead.start, grown[-1].ahead.end) == (72 * WINDOW, 121 * WINDOW)


def test_a_pause_is_not_ahead(make_track: Any) -> None:
    segmenter = Segmenter(DEFAULT, 0)
    sound = make_track((60, 0.9), (10, 0.0))
    grown = [step for step in pushed(segmenter, sound, 0, 70) if isinstance(step, Grown)]
    assert all(g.ahead.end <= (60 + DEFAULT.tail) * WINDOW for g in grown if g.ahead is not None)
    assert [g.ahead for g in grown if g.paused] == [None]


@settings(max_examples=80, deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.integers(1, 120), st.sampled_from([0.0, 0.4, 0.95])), min_size=1, max_size=8
    ),
    every=st.integers(5, 60),
    back=st.integers(1, 40),
)
def test_whatever_is_cut_the_pieces_fit(
    make_track: Any, parts: list[tuple[int, float]], every: int, back: int
) -> None:
    sound = make_track(*parts)
    segmenter = Segmenter(DEFAULT, 0)
    segmenter.settle(0)
    steps: list[Step] = []
    for n in range(len(sound.speech)):
        steps += pushed(segmenter, sound, n, n + 1)
        if n % every == 0:
            steps += segmenter.cut(n - back, n)
        segmenter.settle(max(0, n + 1 - back))
    fed: list[AudioChunk] = []
    opened: Opened | None = None
    last_end = 0
    for step in [*steps, *segmenter.flush()]:
        match step:
            case Opened():
                assert opened is None
                assert step.start >= last_end
                opened, fed = step, []
            case Grown():
                fed.append(step.sound)
            case Closed():
                assert opened is not None
                assert step.sound.start == opened.start
                assert step.speech_windows >= DEFAULT.min_speech
                handed_out = [step.rest] if step.again else [*fed, step.rest]
                handed = np.concatenate([chunk.samples for chunk in handed_out])
                np.testing.assert_array_equal(handed, step.sound.samples)
                np.testing.assert_array_equal(
                    handed, sound.samples[step.sound.start : step.sound.end]
                )
                assert step.sound.start < step.last_speech <= step.sound.end
                last_end, opened = step.sound.end, None
    assert opened is None


def test_a_change_found_before_a_pause_takes_back_what_was_handed_out(make_track: Any) -> None:
    sound = make_track((60, 0.9), (10, 0.0), (30, 0.9))
    segmenter = Segmenter(DEFAULT, 0)
    segmenter.settle(0)
    steps = pushed(segmenter, sound, 0, 100)
    handed = [step.sound for step in steps if isinstance(step, Grown)]
    assert [chunk.end for chunk in handed] == [65 * WINDOW]  # at the pause, though not settled
    closed, opened, *_ = segmenter.cut(39, 41)
    assert isinstance(closed, Closed)
    assert isinstance(opened, Opened)
    assert closed.again
    np.testing.assert_array_equal(closed.rest.samples, closed.sound.samples)
    assert closed.sound.end == opened.start <= 40 * WINDOW
