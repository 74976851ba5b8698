"""Who speaks, on real recordings, with the voice encoder of the bundle that comes along."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt import wire
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.core import SegmenterConfig, Session, SessionConfig, SessionInfo
from magtkd_rt.core.jobs import EncodeAudio, Encoded, Fuse, Fused, Job, JobResult
from magtkd_rt.core.media import WINDOW, AudioChunk, HeardSound
from magtkd_rt.engines.select import select
from magtkd_rt.runtime.meter import Meter
from magtkd_rt.runtime.recogniser import Recogniser
from magtkd_rt.runtime.voices import VoiceListener
from magtkd_rt.vad import StreamingVad

INFO = SessionInfo(
    bundle=wire.BundleInfo(name="test", sha256="0" * 64, licence="none"),
    asr=wire.AsrInfo(name="none"),
    engine="onnx",
    sources=wire.SourceInfo(audio="file", video=None),
    notice="",
)


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    bundle = Bundle.load("starter")
    made = Recogniser(bundle, select(bundle).engine)
    if not made.tells_voices_apart:
        pytest.skip("the starter bundle has no speaker graph")
    return made


def read(path: Path) -> NDArray[np.float32]:
    with wave.open(str(path)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return (pcm / 32768).astype(np.float32)


def heard(recogniser: Recogniser, path: Path) -> HeardSound:
    """A recording with its speech probabilities and voice prints, as the senses give them."""
    samples = read(path)
    sound = StreamingVad().push(AudioChunk(0, 0, samples[: len(samples) // WINDOW * WINDOW]))
    assert sound is not None
    return VoiceListener(recogniser.voice, Meter()).listen(sound)


def answer(job: Job) -> JobResult:
    """Some expression for every utterance: here only who speaks and when is looked at."""
    if isinstance(job, EncodeAudio):
        value = Encoded(np.zeros(1, np.float32), np.zeros(2, np.float32))
        return JobResult(job.job_id, value)
    assert isinstance(job, Fuse)
    fused = Fused(np.full(2, 0.5, np.float32), (None, 0.0, None), None)
    return JobResult(job.job_id, fused)


def told(sound: HeardSound, chunk: int) -> list[wire.Emotion]:
    """The utterances of a session that hears `chunk` windows at a time."""
    config = SessionConfig(
        SegmenterConfig(),
        labels=("neutral", "joy"),
        text_confidence_threshold=0.5,
        abstain_threshold=0.4,
        voices=True,
        transcribe=False,
        modalities=frozenset({"audio"}),
        weak_speech_windows=0,
        weak_speech_probability=0.0,
        clear_speech_probability=0.0,
    )
    session = Session(config, "session")
    outputs = [session.start(INFO)]
    for first in range(0, len(sound.speech), chunk):
        span = slice(first * WINDOW, (first + chunk) * WINDOW)
        voices = tuple(v for v in sound.voices if span.start < v.end <= span.stop)
        speech = sound.speech[first : first + chunk]
        outputs.append(session.hear(HeardSound(0, span.start, sound.samples[span], speech, voices)))
    outputs.append(session.flush())
    events: list[wire.Event] = []
    while outputs:
        output = outputs.pop(0)
        events += output.events
        outputs += [session.complete(answer(job)) for job in output.jobs]
    return [event for event in events if isinstance(event, wire.Emotion)]


def test_the_telephone_call(recogniser: Recogniser, shared: Path) -> None:
    """Two people, seven long turns, hardly a pause."""
    sound = heard(recogniser, shared / "media/speech/two_speaker_call.wav")
    found = told(sound, 31)
    said = [(e.utterance_id, e.speaker, e.start, e.end) for e in found]
    assert said == [(e.utterance_id, e.speaker, e.start, e.end) for e in told(sound, 1)]
    assert {e.speaker for e in found} <= {"S1", "S2", "S?"}
    lines = (shared / "media/speech/two_speaker_call.stm").read_text().splitlines()
    long = [line.split() for line in lines if float(line.split()[4]) - float(line.split()[3]) > 1.5]
    speakers: dict[str, set[str]] = {}
    for _, _, name, start, end, *_ in long:
        middle = (float(start) + float(end)) / 2
        (speaker,) = (e.speaker for e in found if e.start <= middle < e.end)
        speakers.setdefault(name, set()).add(speaker)
    assert sorted(map(sorted, speakers.values())) == [["S1"], ["S2"]]


@pytest.mark.parametrize("name", ["librivox_0870", "librivox_0890", "librivox_0920"])
def test_a_reader_is_one_speaker(recogniser: Recogniser, shared: Path, name: str) -> None:
    found = told(heard(recogniser, shared / f"media/speech/{name}.wav"), 31)
    assert {e.speaker for e in found} == {"S1"}
    assert len(found) == 1
