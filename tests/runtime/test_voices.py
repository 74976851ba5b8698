"""Voice prints: where they are worth it, on the absolute grid, whatever the chunks."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.core.media import (
    VOICE_HOP,
    VOICE_WINDOWS,
    WINDOW,
    AudioChunk,
    HeardSound,
    VideoFrame,
    VoicePrint,
)
from magtkd_rt.engines.fake import FakeEngine
from magtkd_rt.engines.onnx import OnnxEngine
from magtkd_rt.runtime.meter import Meter
from magtkd_rt.runtime.recogniser import Recogniser
from magtkd_rt.runtime.senses import Senses
from magtkd_rt.runtime.voices import VoiceListener, worth_a_print
from magtkd_rt.sources import FileSource
from magtkd_rt.vad import StreamingVad

RANDOM = np.random.default_rng(4)


def ends_and_sum(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """A stand-in for a graph that says which sound it was given."""
    return np.array([sound[0], sound[-1], sound.sum()], np.float32)


def heard(start: int, speech: NDArray[np.floating], channel: int = 0) -> HeardSound:
    """Sound of windows from window `start` on; each sample says where it is."""
    samples = np.arange(start * WINDOW, (start + len(speech)) * WINDOW, dtype=np.float32) + 1
    return HeardSound(channel, start * WINDOW, samples, speech.astype(np.float32))


@pytest.mark.parametrize(
    ("speech", "worth"),
    [
        (np.ones(38), True),
        (np.zeros(38), False),
        ([0.0] * 25 + [0.5] * 13, True),
        ([0.0] * 26 + [0.9] * 12, False),  # less than a third
        ([0.0] * 25 + [0.49] * 13, False),
        ([1.0] * (38 - VOICE_HOP) + [0.0] * VOICE_HOP, False),  # nothing new
        ([1.0] * (38 - VOICE_HOP) + [0.0] * (VOICE_HOP - 1) + [0.5], True),
        ([0.0] * 10 + [1.0] * (29 - VOICE_HOP) + [0.0] * (VOICE_HOP - 1), True),
    ],
)
def test_which_windows_are_worth_a_print(speech: list[float], worth: bool) -> None:
    assert worth_a_print(np.array(speech, np.float32)) is worth


def test_prints_are_on_the_absolute_grid_and_speak_for_the_sound_before() -> None:
    listener = VoiceListener(ends_and_sum, Meter())
    sound = heard(7, np.ones(100))
    found = listener.listen(sound).voices
    # A third of the 38 windows before the end must be speech, which begins at window 7.
    grid = [w for w in range(7 + 13, 7 + 101) if w % VOICE_HOP == 0]
    assert [voice.end for voice in found] == [w * WINDOW for w in grid]
    for voice in found:
        begin = voice.end - VOICE_WINDOWS * WINDOW
        inside = np.arange(max(begin, 7 * WINDOW), voice.end) + 1
        first = begin + 1 if begin >= 7 * WINDOW else 0  # before the session there was silence
        assert voice.vector[:2].tolist() == [first, voice.end]
        assert voice.vector[2] == pytest.approx(float(inside.sum()), rel=1e-4)


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(1, 119), max_size=12, unique=True), start=st.integers(0, 9))
def test_chunks_do_not_matter(cuts: list[int], start: int) -> None:
    speech = (np.random.default_rng(2).random(120).round(2)).astype(np.float32)
    speech[40:80] = 0
    whole = heard(start, speech)
    want = VoiceListener(ends_and_sum, Meter()).listen(whole).voices
    assert want
    listener, got = VoiceListener(ends_and_sum, Meter()), list[VoicePrint]()
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), 120], strict=True):
        part = heard(start + begin, speech[begin:end])
        result = listener.listen(part)
        assert all(part.start < v.end <= part.start + len(part.samples) for v in result.voices)
        got += result.voices
    same_prints(got, want)


def same_prints(got: list[VoicePrint], want: tuple[VoicePrint, ...] | list[VoicePrint]) -> None:
    assert [voice.end for voice in got] == [voice.end for voice in want]
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one.vector, other.vector)


def test_channels_stand_alone_and_a_hole_is_silence() -> None:
    listener = VoiceListener(ends_and_sum, Meter())
    listener.listen(heard(0, np.ones(60), channel=0))
    assert listener.listen(heard(0, np.ones(12), channel=1)).voices == ()
    voice = listener.listen(heard(600, np.ones(18), channel=0)).voices[0]
    assert voice.end == -(-613 // VOICE_HOP) * VOICE_HOP * WINDOW  # once a third has been spoken
    assert voice.vector[0] == 0


def test_silence_costs_nothing_and_prints_are_counted() -> None:
    meter = Meter()
    listener = VoiceListener(ends_and_sum, meter)
    listener.listen(heard(0, np.zeros(600)))
    assert meter.calls["voices"] == 0
    found = listener.listen(heard(600, np.ones(120))).voices
    assert meter.calls["voices"] == len(found) == 120 // VOICE_HOP - 12 // VOICE_HOP


def test_waiting_costs_the_core_nothing() -> None:
    meter = Meter()
    for part in ("core", "voices"):
        with meter.measure(part):
            time.sleep(0.05)
    assert meter.spent_ns["core"] < 20_000_000 < meter.spent_ns["voices"]


def test_on_one_core_waiting_costs_graphs_nothing_either() -> None:
    meter = Meter(one_core=True)
    for part in ("voices", "vad"):
        with meter.measure(part):
            time.sleep(0.05)
    assert meter.spent_ns["voices"] < 20_000_000 < meter.spent_ns["vad"]
    with meter.measure("voices"):
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
    assert meter.spent_ns["voices"] >= 50_000_000


class AllIsSpeech:
    """A speech detector."""

    def push(self, chunk: AudioChunk) -> HeardSound | None:
        speech = np.ones(len(chunk.samples) // WINDOW, np.float32)
        return HeardSound(chunk.channel, chunk.start, chunk.samples, speech)

    def flush(self, channel: int) -> HeardSound | None:
        return None


class Blind:
    """A face finder that fails."""

    def find(self, frame: VideoFrame, *, calm: bool = False) -> None:
        raise RuntimeError("blind")


def chunks(seconds: float, size: int = 6 * WINDOW) -> list[AudioChunk]:
    sound = RANDOM.standard_normal(round(seconds * 16_000) // size * size).astype(np.float32)
    return [AudioChunk(0, at, sound[at : at + size]) for at in range(0, len(sound), size)]


def test_a_failing_graph_is_told_once_and_ends_no_session(tiny_bundle: Bundle) -> None:
    engine = FakeEngine(tiny_bundle, failing=frozenset({"speaker"}))
    recogniser, meter = Recogniser(tiny_bundle, engine), Meter()
    senses = Senses(
        AllIsSpeech(),
        Blind(),  # type: ignore[arg-type]
        1,
        meter,
        VoiceListener(recogniser.voice, meter),
    )
    sound = [senses.perceive(chunk) for chunk in chunks(4.0)]
    senses.perceive(VideoFrame(0, np.zeros((4, 4, 3), np.uint8)))
    assert all(isinstance(one, HeardSound) and one.voices == () for one in sound)
    assert engine.runs["speaker"] == 1
    first, second = senses.problems
    assert first.startswith("voices are told apart no more: ")
    assert "speaker" in first
    assert "blind" in second


def test_without_voices_sound_stays_as_it_is() -> None:
    senses = Senses(AllIsSpeech(), None, 1, Meter())
    for chunk in chunks(3.0):
        percept = senses.perceive(chunk)
        assert isinstance(percept, HeardSound)
        assert percept.voices == ()


def prints_of(path: Path, recogniser: Recogniser, size: int) -> list[VoicePrint]:
    """Hear a recording in chunks of `size` samples, with the real speech detector and graph."""
    source = FileSource(path)
    sound = np.concatenate([m.samples for m in source.media() if isinstance(m, AudioChunk)])
    meter = Meter()
    senses = Senses(StreamingVad(), None, 1, meter, VoiceListener(recogniser.voice, meter))
    percepts = [
        senses.perceive(AudioChunk(0, at, sound[at : at + size]))
        for at in range(0, len(sound), size)
    ]
    percepts += senses.flush()
    assert not senses.problems
    return [v for p in percepts if isinstance(p, HeardSound) for v in p.voices]


def test_real_speech_in_any_chunks(shared: Path, tiny_bundle: Bundle) -> None:
    recogniser = Recogniser(tiny_bundle, OnnxEngine(tiny_bundle, threads=1))
    path = shared / "media/speech/librivox_0880.wav"
    want = prints_of(path, recogniser, 10**9)
    assert 2.0 < len(want) * VOICE_HOP * WINDOW / 16_000 < 3.0  # 3 s with a little silence
    for size in (160, 1000, 4096):
        same_prints(prints_of(path, recogniser, size), want)
