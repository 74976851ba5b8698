"""Blocks of a microphone on the session's time line: resampled, in step with the clock."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.core.media import NANOSECONDS, SAMPLE_RATE, WINDOW, AudioChunk
from magtkd_rt.sources.inbox import SoundBlock
from magtkd_rt.sources.soundline import DRIFT, SoundLine

ZERO = 77 * NANOSECONDS


def tone(hertz: float, seconds: float, rate: int) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype("f4")


def blocks(
    sound: NDArray[np.float32],
    rate: int,
    *,
    size: int = 0,
    begin: float = 0.0,
    fast: float = 0.0,
    jitter: float = 0.0,
    run: int = 1,
) -> Iterator[SoundBlock]:
    """Cut (n, channels) into blocks; `fast` is the error of the device's clock."""
    random = np.random.default_rng(3)
    size = size or rate // 50
    for first in range(0, len(sound), size):
        when = begin + first / rate / (1 + fast) + random.uniform(-jitter, jitter)
        yield SoundBlock(sound[first : first + size], rate, ZERO + round(when * NANOSECONDS), run)


def heard(line: SoundLine, given: Iterable[SoundBlock]) -> list[AudioChunk]:
    return [chunk for block in given for chunk in line.push(block)]


def joined(chunks: Iterable[AudioChunk], channel: int = 0) -> NDArray[np.float32]:
    """The samples of a channel, which must follow each other without hole or overlap."""
    mine = [chunk for chunk in chunks if chunk.channel == channel]
    assert all(before.end == after.start for before, after in itertools.pairwise(mine))
    assert mine[0].start == 0
    assert all(len(chunk.samples) <= WINDOW for chunk in mine)
    return np.concatenate([chunk.samples for chunk in mine])


def likeness(sound: NDArray[np.float32], hertz: float) -> float:
    """Correlation with a tone of any phase."""
    time = np.arange(len(sound)) / SAMPLE_RATE
    wave = np.exp(2j * np.pi * hertz * time)
    return float(abs(np.vdot(wave, sound)) / (np.linalg.norm(sound) * np.sqrt(len(sound) / 2)))


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000, 96_000])
def test_any_rate_becomes_16_khz(rate: int) -> None:
    stereo = np.stack([tone(440, 2, rate), tone(440, 2, rate)], axis=1)
    sound = joined(heard(SoundLine(1, ZERO), blocks(stereo, rate)))
    assert len(sound) == pytest.approx(2 * SAMPLE_RATE, abs=50)
    assert likeness(sound[500:], 440) > 0.999
    assert np.abs(sound[500:]).max() == pytest.approx(0.5, abs=0.01)


def test_what_is_above_8_khz_does_not_fold_back() -> None:
    high = tone(12_000, 1, 48_000)[:, np.newaxis]
    sound = joined(heard(SoundLine(1, ZERO), blocks(high, 48_000)))
    assert np.abs(sound[500:-500]).max() < 0.01


def test_channels_are_kept_apart_where_they_are_speakers() -> None:
    stereo = np.stack([tone(440, 1, 48_000), tone(700, 1, 48_000)], axis=1)
    chunks = heard(SoundLine(2, ZERO), blocks(stereo, 48_000))
    left, right = joined(chunks, 0)[500:], joined(chunks, 1)[500:]
    assert likeness(left, 440) > 0.999 and likeness(left, 700) < 0.01
    assert likeness(right, 700) > 0.999


def test_channels_are_mixed_otherwise() -> None:
    four = np.stack([tone(440, 1, 48_000)] + 3 * [np.zeros(48_000, "f4")], axis=1)
    sound = joined(heard(SoundLine(1, ZERO), blocks(four, 48_000)))
    assert np.abs(sound[500:]).max() == pytest.approx(0.125, abs=0.01)


def test_another_microphone_may_take_over() -> None:
    stereo = np.stack([tone(440, 1, 48_000)] * 2, axis=1)
    mono = tone(440, 1, 44_100)[:, np.newaxis]
    line = SoundLine(2, ZERO)
    chunks = heard(line, blocks(stereo, 48_000))
    chunks += heard(line, blocks(mono, 44_100, begin=1.5, run=2))
    sound = joined(chunks, 1)
    assert len(sound) == pytest.approx(2.5 * SAMPLE_RATE, abs=50)
    assert not sound[round(1.05 * SAMPLE_RATE) : round(1.45 * SAMPLE_RATE)].any()
    assert likeness(sound[round(1.55 * SAMPLE_RATE) :], 440) > 0.999


@pytest.mark.parametrize("size", [160, 441, 1000, 4410])
def test_chunking_changes_nothing(size: int) -> None:
    mono = tone(300, 1, 44_100)[:, np.newaxis]
    usual = joined(heard(SoundLine(1, ZERO), blocks(mono, 44_100)))
    other = joined(heard(SoundLine(1, ZERO), blocks(mono, 44_100, size=size)))
    common = min(len(usual), len(other))
    assert common > 15_900
    np.testing.assert_allclose(usual[:common], other[:common], atol=1e-6)


@pytest.mark.parametrize("fast", [300e-6, -300e-6])
def test_a_clock_that_runs_wrong_is_followed(fast: float) -> None:
    line = SoundLine(1, ZERO)
    seconds = 240
    quiet = np.zeros((seconds * SAMPLE_RATE, 1), np.float32)
    joined(heard(line, blocks(quiet, SAMPLE_RATE, fast=fast, jitter=0.01)))
    # Without following it would be 72 ms off.
    real = round(seconds / (1 + fast) * SAMPLE_RATE)
    assert abs(line.end - real) < DRIFT + SAMPLE_RATE // 100
    assert line.slipped * fast < 0


def test_stamps_that_tremble_change_nothing() -> None:
    line = SoundLine(1, ZERO)
    sound = tone(200, 20, SAMPLE_RATE)[:, np.newaxis]
    joined(heard(line, blocks(sound, SAMPLE_RATE, jitter=0.015)))
    assert line.slipped == 0


def test_sound_that_was_lost_becomes_silence() -> None:
    line = SoundLine(1, ZERO)
    second = tone(200, 4, SAMPLE_RATE)[:, np.newaxis]
    chunks = heard(line, blocks(second, SAMPLE_RATE))
    chunks += heard(line, blocks(second, SAMPLE_RATE, begin=4.5))
    sound = joined(chunks)
    assert len(sound) == 8.5 * SAMPLE_RATE
    silent = np.convolve(np.abs(sound) < 1e-6, np.ones(100), "same") > 99
    assert silent.sum() == pytest.approx(SAMPLE_RATE / 2, abs=400)


def test_silence_fills_in_and_what_comes_late_is_left_out() -> None:
    line = SoundLine(1, ZERO)
    sound = tone(200, 3, SAMPLE_RATE)[:, np.newaxis]
    given = list(blocks(sound, SAMPLE_RATE))
    chunks = heard(line, given[:50])
    chunks += list(line.silence_until(2 * SAMPLE_RATE))
    assert list(line.silence_until(SAMPLE_RATE)) == []
    chunks += heard(line, given[50:])
    out = joined(chunks)
    assert len(out) == 3 * SAMPLE_RATE
    np.testing.assert_allclose(out[:SAMPLE_RATE], sound[:SAMPLE_RATE, 0], atol=1e-6)
    assert not out[SAMPLE_RATE : 2 * SAMPLE_RATE].any()
    np.testing.assert_allclose(out[2 * SAMPLE_RATE :], sound[2 * SAMPLE_RATE :, 0], atol=1e-6)


def test_sound_from_before_the_session_is_left_out() -> None:
    line = SoundLine(1, ZERO)
    sound = tone(200, 1, SAMPLE_RATE)[:, np.newaxis]
    out = joined(heard(line, blocks(sound, SAMPLE_RATE, begin=-0.25)))
    np.testing.assert_allclose(out, sound[SAMPLE_RATE // 4 :, 0], atol=1e-6)


def test_broken_samples_do_not_get_through() -> None:
    bad = np.array([[np.nan], [np.inf], [-np.inf], [7.0]] * 400, np.float32)
    sound = joined(heard(SoundLine(1, ZERO), blocks(bad, SAMPLE_RATE)))
    assert np.isfinite(sound).all() and np.abs(sound).max() <= 1.0
