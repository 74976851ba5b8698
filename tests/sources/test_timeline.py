"""Capture times as a sender states them: what can be true, where sound is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magtkd_rt.core.media import NANOSECONDS
from magtkd_rt.sources.timeline import GAP_NS, Present, Timeline, Untimely

S = NANOSECONDS
BLOCK = S // 50
START = 1_700_000_000 * S
"""A sender that counts from 1970."""


def runs(timeline: Timeline, stamps: list[int], *, length: int = BLOCK, late: int = 0) -> list[int]:
    """Sound that arrives as soon as it was captured."""
    return [timeline.take_sound(START + t, length, t + length + late) for t in stamps]


def test_even_sound_is_one_run() -> None:
    timeline = Timeline(S)
    assert set(runs(timeline, [n * BLOCK for n in range(500)])) == {1}
    assert timeline.zero_ns == START
    assert timeline.sound_end_ns == START + 500 * BLOCK


@given(st.lists(st.integers(0, GAP_NS // 2), min_size=2, max_size=200))
def test_jitter_makes_no_gap(jitter: list[int]) -> None:
    stamps, last = [], 0
    for n, off in enumerate(jitter):
        last = max(last, n * BLOCK + off)
        stamps.append(last)
    assert set(runs(Timeline(S), stamps)) == {1}


@pytest.mark.parametrize("gap", [GAP_NS + BLOCK, S, 60 * S])
def test_missing_sound_begins_a_new_run(gap: int) -> None:
    before = [n * BLOCK for n in range(50)]
    after = [S + gap + n * BLOCK for n in range(50)]
    found = runs(Timeline(S), before + after)
    assert found == [1] * 50 + [2] * 50


@pytest.mark.parametrize("drift", [2e-4, -2e-4])
def test_a_clock_that_runs_wrong_makes_neither_gaps_nor_refusals(drift: float) -> None:
    timeline = Timeline(S)
    count = 50 * 3600  # an hour, by a sound card that is off the clock of the stamps
    for n in range(count):
        stamp = round(n * BLOCK * (1 + drift))
        assert timeline.take_sound(START + stamp, BLOCK, stamp + BLOCK) == 1


def test_a_fast_sender_clock_is_not_too_fast() -> None:
    timeline = Timeline(S)
    for n in range(8 * 3600):
        timeline.take_sound(START + n * S, S, round((n + 1) * S / 1.0002))


def test_media_ahead_of_real_time_is_refused_and_changes_nothing() -> None:
    timeline = Timeline(2 * S)
    runs(timeline, [0])
    for n in range(1, 100):
        timeline.take_sound(START + n * BLOCK, BLOCK, BLOCK)  # all at once
    for _ in range(3):
        with pytest.raises(Untimely) as caught:
            timeline.take_sound(START + 3 * S, BLOCK, BLOCK)
        assert caught.value.code == "too_fast"
    with pytest.raises(Untimely):
        timeline.take_picture(START + 3 * S, BLOCK)
    assert timeline.take_sound(START + 100 * BLOCK, BLOCK, BLOCK) == 1
    assert timeline.take_picture(START + 2 * S, BLOCK)


def test_many_seconds_under_one_stamp_are_refused() -> None:
    timeline = Timeline(100 * S)
    timeline.take_sound(START, S, S)
    with pytest.raises(Untimely, match="heard already"):
        timeline.take_sound(START + 1, S, S)


def test_what_was_held_up_is_not_too_fast() -> None:
    timeline = Timeline(S)
    runs(timeline, [0])
    for n in range(1, 500):
        assert timeline.take_sound(START + n * BLOCK, BLOCK, 10 * S) == 1


def test_time_does_not_go_back() -> None:
    timeline = Timeline(S)
    runs(timeline, [0, S])
    with pytest.raises(Untimely, match="goes back by 0.500 s"):
        timeline.take_sound(START + S // 2, BLOCK, 2 * S)
    assert timeline.take_picture(START + S, 2 * S)
    for back in (S, S // 2):
        with pytest.raises(Untimely, match="goes back"):
            timeline.take_picture(START + back, 2 * S)


def test_another_connection_may_send_again() -> None:
    timeline = Timeline(S)
    runs(timeline, [n * BLOCK for n in range(100)])
    assert timeline.take_picture(START + S, 2 * S)
    timeline.reconnect()
    assert timeline.take_sound(START + S, BLOCK, 3 * S) == 2
    assert not timeline.take_picture(START + S // 2, 3 * S), "it was seen"
    assert not timeline.take_picture(START + S, 3 * S)
    assert timeline.take_picture(START + 2 * S, 3 * S)
    assert timeline.sound_end_ns == START + 2 * S, "what was taken stays taken"
    timeline.reconnect()
    with pytest.raises(Untimely, match="began anew"):
        timeline.take_sound(5, BLOCK, 4 * S)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sound", "picture", "again"]),
            st.integers(0, 2**64 - 1) | st.integers(0, 10_000_000),
            st.integers(1, 5 * S),
            st.integers(0, 20 * S),
        ),
        max_size=60,
    )
)
def test_whatever_is_stated_what_is_taken_is_bounded(
    steps: list[tuple[str, int, int, int]],
) -> None:
    timeline = Timeline(5 * S)
    now = first = last_run = heard = 0
    for kind, stated_us, length, passed in steps:
        now += passed
        try:
            if kind == "again":
                timeline.reconnect()
                heard = 0
                continue
            if kind == "sound":
                run = timeline.take_sound(stated_us * 1000, length, now)
                assert run - last_run in (0, 1)
                last_run = run
                heard += length
            else:
                timeline.take_picture(stated_us * 1000, now)
        except Untimely:
            continue
        first = first or now
        # Sound of one connection is at most what has passed, and what may be ahead or overlap.
        assert heard <= (now - first) * 1.01 + 2 * 5 * S + 2 * S


def test_the_present_is_told_by_the_quickest_media() -> None:
    present = Present()
    assert present.behind_ns(0, 5 * S) == 0
    for n in range(100):
        delay = 40_000_000 if n % 10 else 10_000_000
        present.observe(n * BLOCK, 7 * S + n * BLOCK + delay)
    present.longest_ns = BLOCK
    assert present.behind_ns(2 * S, 7 * S + 2 * S + BLOCK + 10_000_000) == 0
    assert present.behind_ns(2 * S, 10 * S + BLOCK + 10_000_000) == S


def test_the_present_follows_a_clock_that_drifts() -> None:
    present = Present()
    for n in range(3600):  # an hour by a sender that runs slow by 200 ppm
        present.observe(n * S, round(n * S * 1.0002))
    assert abs(present.behind_ns(3599 * S, round(3599 * S * 1.0002))) < S // 50
