"""A session over sound and its voice prints, in which only who speaks and when is looked at."""

from __future__ import annotations

import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magtkd_rt import wire
from magtkd_rt.core import SegmenterConfig, Session, SessionConfig, SessionInfo
from magtkd_rt.core.jobs import (
    EncodeAudio,
    Encoded,
    Fuse,
    Fused,
    Identified,
    Identify,
    Job,
    JobResult,
)
from magtkd_rt.core.media import VOICE_HOP, WINDOW, AudioChunk, HeardSound
from magtkd_rt.core.speakers import IDENTITIES
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


def read(path: Path) -> NDArray[np.float32]:
    """A WAV file of one channel."""
    with wave.open(str(path)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return (pcm / 32768).astype(np.float32)


def heard(recogniser: Recogniser, samples: NDArray[np.float32]) -> HeardSound:
    """Sound at 16 kHz with its speech probabilities and voice prints, as the senses give them."""
    sound = StreamingVad().push(AudioChunk(0, 0, samples[: len(samples) // WINDOW * WINDOW]))
    assert sound is not None
    return VoiceListener(recogniser.voice, Meter()).listen(sound)


def answer(recogniser: Recogniser, job: Job) -> JobResult:
    """Some expression for every utterance: here only who speaks and when is looked at."""
    if isinstance(job, Identify):
        return JobResult(job.job_id, Identified(recogniser.identify(job.samples)))
    if isinstance(job, EncodeAudio):
        value = Encoded(np.zeros(1, np.float32), np.zeros(2, np.float32))
        return JobResult(job.job_id, value)
    assert isinstance(job, Fuse)
    fused = Fused(np.full(2, 0.5, np.float32), (None, 0.0, None), None)
    return JobResult(job.job_id, fused)


def told(recogniser: Recogniser, sound: HeardSound, chunk: int = 31) -> list[wire.Emotion]:
    """The utterances of a session that hears `chunk` windows at a time."""
    config = SessionConfig(
        SegmenterConfig(),
        labels=("neutral", "joy"),
        text_confidence_threshold=0.5,
        abstain_threshold=0.4,
        voices=True,
        identities=IDENTITIES if recogniser.tells_identities else None,
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
        outputs += [session.complete(answer(recogniser, job)) for job in output.jobs]
    return [event for event in events if isinstance(event, wire.Emotion)]


def repeated(sound: HeardSound, times: int) -> HeardSound:
    """The same sound again and again, a whole number of print hops long: nothing is heard anew."""
    length = len(sound.speech) // VOICE_HOP * VOICE_HOP
    step = length * WINDOW
    voices = [
        replace(voice, end=voice.end + number * step)
        for number in range(times)
        for voice in sound.voices
        if voice.end <= step
    ]
    samples, speech = np.tile(sound.samples[:step], times), np.tile(sound.speech[:length], times)
    return replace(sound, samples=samples, speech=speech, voices=tuple(voices))
