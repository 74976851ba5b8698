"""Where utterances begin, end and are split."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from magtkd_rt.core.media import SAMPLE_RATE, WINDOW, AudioChunk, HeardSound
from magtkd_rt.core.segmenter import Segmenter, SegmenterConfig
from magtkd_rt.core.steps import Closed, Grown, Opened, SoFar, Step
from magtkd_rt.vad import StreamingVad

DEFAULT = SegmenterConfig()


def run(sound: HeardSound, config: SegmenterConfig = DEFAULT, flush: bool = True) -> list[Step]:
    segmenter = Segmenter(config, sound.channel)
    steps: list[Step] = []
    for window, samples in zip(sound.speech, sound.samples.reshape(-1, WINDOW), strict=True):
        steps += segmenter.push(samples, float(window))
    return steps + segmenter.flush() if flush else steps


def closed(steps: list[Step]) -> list[Closed]:
    return [step for step in steps if isinstance(step, Closed)]


def spans(steps: list[Step]) -> list[tuple[int, int]]:
    """Utterances in windows."""
    return [(c.sound.start // WINDOW, c.sound.end // WINDOW) for c in closed(steps)]


def test_an_utterance_keeps_some_sound_before_and_after(make_track: Any) -> None:
    sound = make_track((20, 0.0), (30, 0.9), (40, 0.0))
    steps = run(sound, flush=False)
    assert spans(steps) == [(20 - DEFAULT.preroll, 50 + DEFAULT.tail)]
    only = closed(steps)[0]
    np.testing.assert_array_equal(only.sound.samples, sound.samples[15 * WINDOW : 55 * WINDOW])
    assert (only.last_speech, only.speech_windows, only.split) == (50 * WINDOW, 30, False)
    assert only.mean_speech == pytest.approx(0.9)


def test_clicks_give_nothing(make_track: Any) -> None:
    assert run(make_track((20, 0.0), (DEFAULT.min_speech - 1, 0.9), (60, 0.0))) == []
    assert run(make_track(*[(1, 0.9), (6, 0.0)] * 60)) == []
    assert run(make_track(*[(4, 0.9), (9, 0.0)] * 60)) == []


def test_speech_is_announced_when_there_is_enough_of_it(make_track: Any) -> None:
    segmenter = Segmenter(DEFAULT, 3)
    sound = make_track((20, 0.0), (DEFAULT.min_speech, 0.9))
    rows = sound.samples.reshape(-1, WINDOW)
    for n in range(19 + DEFAULT.min_speech):
        assert segmenter.push(rows[n], float(sound.speech[n])) == []
    assert segmenter.busy
    steps = segmenter.push(rows[-1], float(sound.speech[-1]))
    assert steps[0] == Opened(channel=3, start=15 * WINDOW)


def test_it_takes_more_to_begin_than_to_go_on(make_track: Any) -> None:
    assert run(make_track((100, 0.45))) == []
    steps = run(make_track((10, 0.9), (40, 0.4), (60, 0.0)))
    assert spans(steps) == [(0, 50 + DEFAULT.tail)]
    steps = run(make_track((10, 0.9), (40, 0.34), (60, 0.0)))
    assert spans(steps) == [(0, 10 + DEFAULT.tail)]


@pytest.mark.parametrize("pause", [1, DEFAULT.hangover - 1, DEFAULT.hangover])
def test_a_pause_ends_it_only_if_it_is_long(make_track: Any, pause: int) -> None:
    steps = run(make_track((30, 0.9), (pause, 0.0), (30, 0.9)))
    assert len(closed(steps)) == (2 if pause >= DEFAULT.hangover else 1)


def test_a_long_utterance_ends_with_a_shorter_pause(make_track: Any) -> None:
    pause = DEFAULT.long_hangover
    assert len(closed(run(make_track((170, 0.9), (pause, 0.0), (30, 0.9))))) == 2
    assert len(closed(run(make_track((170, 0.9), (pause - 1, 0.0), (30, 0.9))))) == 1


def test_the_next_utterance_does_not_reach_into_the_last(make_track: Any) -> None:
    steps = run(make_track((200, 0.9), (DEFAULT.long_hangover, 0.0), (30, 0.9)))
    assert spans(steps) == [(0, 205), (205, 238)]


@pytest.mark.parametrize("quiet", [200, 240, 300])
def test_a_long_utterance_is_split_where_the_speech_is_least_sure(
    make_track: Any, quiet: int
) -> None:
    steps = run(make_track((quiet - 2, 0.9), (4, 0.4), (400 - quiet, 0.9)))
    first, second = closed(steps)
    assert first.sound.end == quiet * WINDOW
    assert first.split
    assert second.sound.start == first.sound.end
    assert not second.split


@pytest.mark.parametrize("quiet", [190, 251, 307])
def test_a_long_utterance_is_split_where_it_is_least_loud(make_track: Any, quiet: int) -> None:
    sound = make_track((400, 0.9))
    sound.samples[(quiet - 2) * WINDOW : (quiet + 2) * WINDOW] *= 0.01
    first, second = closed(run(sound))
    assert first.sound.end == second.sound.start == quiet * WINDOW


def test_a_quiet_place_that_is_too_early_is_no_place_to_split(make_track: Any) -> None:
    early = DEFAULT.longest - DEFAULT.split_search - 10
    sound = make_track((400, 0.9))
    sound.samples[(early - 2) * WINDOW : (early + 2) * WINDOW] = 0
    first = closed(run(sound))[0]
    assert first.sound.end >= (DEFAULT.longest - DEFAULT.split_search) * WINDOW


def test_a_long_utterance_is_split_soon_after_a_place_quieter_than_any_before(
    make_track: Any,
) -> None:
    heard: list[int] = []
    for end in range(225, 300):
        steps = run(make_track((220, 0.95), (4, 0.36), (end - 224, 0.95)), flush=False)
        heard += [end for step in closed(steps)]
    assert heard[0] <= 222 + 6


def test_at_the_limit_the_split_is_not_long_ago(make_track: Any) -> None:
    """Places in the search that are no quieter than one before it do not end an utterance."""
    sound = make_track((60, 0.9), (12, 0.2), (150, 0.9), (4, 0.4), (120, 0.9))
    first = closed(run(sound))[0]
    assert first.split
    assert first.sound.end >= (DEFAULT.longest - DEFAULT.split_within) * WINDOW


def test_speech_that_fades_out_at_the_limit_just_ends(make_track: Any) -> None:
    pause = 3
    steps = run(make_track((DEFAULT.longest - pause, 0.9), (pause, 0.0), (100, 0.0)))
    first, *more = closed(steps)
    assert first.sound.end <= DEFAULT.longest * WINDOW
    assert not more


def test_missing_sound_is_silence(make_track: Any) -> None:
    sound = make_track((30, 0.9))
    segmenter = Segmenter(DEFAULT, 0)
    for row in sound.samples.reshape(-1, WINDOW):
        segmenter.push(row, 0.9)
    assert closed(segmenter.silence_until(40 * WINDOW)) == []
    assert spans(segmenter.silence_until(10_000_000 * WINDOW)) == [(0, 30 + DEFAULT.tail)]
    assert segmenter.position == segmenter.earliest == 10_000_000 * WINDOW
    steps: list[Step] = []
    for row in sound.samples.reshape(-1, WINDOW):
        steps += segmenter.push(row, 0.9)
    assert steps[0] == Opened(0, 10_000_000 * WINDOW)


parts = st.lists(
    st.tuples(st.integers(1, 90), st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.95])), min_size=1
)
splits = st.integers(5, 20).flatmap(lambda n: st.tuples(st.just(n), st.integers(5, n)))
configs = st.builds(
    lambda splits, **others: SegmenterConfig(
        split_search=splits[0], split_within=splits[1], **others
    ),
    splits,
    min_speech=st.integers(1, 12),
    hangover=st.integers(6, 20),
    long_hangover=st.integers(6, 12),
    long_from=st.integers(20, 200),
    preroll=st.integers(0, 9),
    tail=st.integers(0, 6),
    longest=st.integers(40, 120),
    group=st.integers(1, 12),
)


@settings(max_examples=150, deadline=None)
@given(parts=parts, config=configs)
def test_whatever_is_said_the_pieces_fit(
    make_track: Any, parts: list[tuple[int, float]], config: SegmenterConfig
) -> None:
    sound = make_track(*parts)
    fed: list[AudioChunk] = []
    opened: Opened | None = None
    last_end = 0
    paused: SoFar | None = None
    for step in run(sound, config):
        match step:
            case Opened():
                assert opened is None
                opened, fed, paused = step, [], None
                assert step.start >= last_end
            case Grown():
                fed.append(step.sound)
                assert len(step.sound.samples) > 0
            case SoFar():
                assert opened is not None
                assert step.sound.start == opened.start
                end = step.sound.end
                np.testing.assert_array_equal(step.sound.samples, sound.samples[opened.start : end])
                if step.paused:
                    assert not fed or fed[-1].end <= end
                    paused = step
            case Closed():
                assert opened is not None
                assert step.sound.start == opened.start
                assert len(step.sound.samples) <= config.longest * WINDOW
                assert not step.again
                if paused is not None and not step.split and step.last_speech < paused.sound.end:
                    np.testing.assert_array_equal(paused.sound.samples, step.sound.samples)
                    assert paused.speech_windows == step.speech_windows
                handed = np.concatenate([chunk.samples for chunk in [*fed, step.rest]])
                np.testing.assert_array_equal(handed, step.sound.samples)
                np.testing.assert_array_equal(
                    handed, sound.samples[step.sound.start : step.sound.end]
                )
                assert step.sound.start < step.last_speech <= step.sound.end
                last_end, opened = step.sound.end, None
    assert opened is None


@pytest.mark.parametrize(
    "change",
    [
        {"enter": 0.3},
        {"min_speech": 0},
        {"tail": 9},
        {"preroll": -1},
        {"split_search": 200},
        {"split_search": 3},
        {"split_within": 3},
        {"split_within": 126},
        {"first_look": 7},
        {"look_every": 0},
        {"pause_look": 4},
    ],
)
def test_settings_that_cannot_work_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wanted|must"):
        SegmenterConfig(**change)


def heard(samples: NDArray[np.float32]) -> HeardSound:
    """Sound with the real detector's probabilities."""
    sound = StreamingVad().push(AudioChunk(0, 0, samples[: len(samples) // WINDOW * WINDOW]))
    assert sound is not None
    return sound


def test_the_telephone_call(shared: Path) -> None:
    with wave.open(str(shared / "media/speech/two_speaker_call.wav")) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    samples = (pcm / 32768).astype(np.float32)
    found = [(c.sound.start, c.sound.end) for c in closed(run(heard(samples)))]
    assert len(found) >= 3
    assert all(end - start <= 10 * SAMPLE_RATE for start, end in found)
    spoken = np.zeros(31 * SAMPLE_RATE, np.bool_)
    for line in (shared / "media/speech/two_speaker_call.stm").read_text().splitlines():
        first, after = (int(float(value) * SAMPLE_RATE) for value in line.split()[3:5])
        spoken[first:after] = True
    covered = np.zeros_like(spoken)
    for start, end in found:
        covered[start:end] = True
    assert (spoken & covered).sum() / spoken.sum() >= 0.9
    assert not covered[: 6 * SAMPLE_RATE].any()


def hum(seconds: int) -> NDArray[np.float32]:
    time = np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE
    parts = [0.2 / n * np.sin(2 * np.pi * 50 * n * time) for n in (1, 3, 5)]
    return np.asarray(np.sum(parts, axis=0), np.float32)


def chords(seconds: int) -> NDArray[np.float32]:
    """A plucked chord every half second, eight harmonics each."""
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    music = np.zeros((seconds + 2) * SAMPLE_RATE)
    for n in range(2 * seconds):
        root = 220 * 2 ** ([0, 7, 9, 5, 4, 0, 2, 11][n % 8] / 12)
        for note in (root, root * 1.26, root * 1.5):
            tone = np.sum(
                [np.sin(2 * np.pi * note * k * time) / k for k in range(1, 9)], axis=0
            ) * np.exp(-3 * time)
            begin = n * SAMPLE_RATE // 2
            music[begin : begin + len(tone)] += 0.05 * tone
    return music[: seconds * SAMPLE_RATE].astype(np.float32)


@pytest.mark.parametrize("loud", [0.0, 0.005, 0.05, 0.3])
def test_silence_and_white_noise_open_nothing(loud: float) -> None:
    noise = np.random.default_rng(1).standard_normal(12 * SAMPLE_RATE) * loud
    assert run(heard(noise.astype(np.float32))) == []


@pytest.mark.parametrize("sound", [hum, chords])
def test_hum_and_music_open_nothing(sound: Callable[[int], NDArray[np.float32]]) -> None:
    assert run(heard(sound(12))) == []
