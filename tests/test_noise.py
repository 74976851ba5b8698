"""What is no speech has no emotion: made sound through the whole runtime, with real detectors."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import noises
import numpy as np
import pytest
from noises import Sound

from magtkd_rt import wire
from magtkd_rt.asr.base import Transcriber
from magtkd_rt.asr.pocketsphinx import PocketsphinxTranscriber
from magtkd_rt.asr.whisper import WhisperTranscriber
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.config import LiveConfig
from magtkd_rt.core.media import AudioChunk
from magtkd_rt.runtime.assembly import assemble
from magtkd_rt.runtime.clock import MonotonicClock
from magtkd_rt.runtime.live import LiveSession
from magtkd_rt.sources.base import MediaInfo, Notice

pytestmark = pytest.mark.anyio

SCENE_S = 10.0
"""Length of a scene: one kind of sound, or several at once, at one level."""


@pytest.fixture(scope="module")
def pocketsphinx() -> Iterator[PocketsphinxTranscriber]:
    transcriber = PocketsphinxTranscriber()
    yield transcriber
    transcriber.close()


def scene(number: int) -> Sound:
    """A sound of `SCENE_S`: each kind comes up in turn, its level, its company by chance."""
    random = np.random.default_rng([4, number])
    makers = list(noises.EVERYDAY.values())
    sound = makers[number % len(makers)](random, SCENE_S)
    if random.random() < 0.4:
        other = makers[int(random.integers(len(makers)))](random, SCENE_S)
        sound = (sound + noises.at_level(other, random.uniform(-20, 0))) / 2
    level = random.uniform(-50, 0)
    match int(random.integers(4)):
        case 0:
            return noises.clipped(sound, random.uniform(6, 30))
        case 1:
            return noises.at_level(noises.with_steps(random, sound), level)
        case _:
            return noises.at_level(sound, level)


class Scenes:
    """A source of sounds, one after the other without a pause; made as they are heard."""

    def __init__(self, sounds: Iterable[Sound]) -> None:
        self.info = MediaInfo(audio="noise", video=None, channels=1, duration_ns=None)
        self.problems: list[str] = []
        self.notices: deque[Notice] = deque()
        self.dropped: Mapping[str, int] = {}
        self._sounds = sounds
        self._closed = False

    def media(self) -> Iterator[AudioChunk]:
        """Chunks of 0.1 s."""
        start = 0
        for sound in self._sounds:
            samples = sound.astype(np.float32)
            for at in range(0, len(samples), 1600):
                if self._closed:
                    return
                yield AudioChunk(0, start + at, samples[at : at + 1600])
            start += len(samples)

    def close(self) -> None:
        self._closed = True


async def heard(
    sounds: Iterable[Sound], bundle: Bundle, transcriber: Transcriber
) -> list[wire.Event]:
    """All events of a session that hears the sounds as fast as it can."""
    config = LiveConfig(bundle=str(bundle.directory), asr="none", fast=True, threads=1)
    source = Scenes(sounds)
    setup = assemble(config, source.info, transcriber)
    events: list[wire.Event] = []
    await LiveSession(source, setup, clock=MonotonicClock(), fast=True).run([events.append])
    return events


def outcome(events: list[wire.Event]) -> dict[str, int]:
    """Utterances that were announced, dropped by reason, and emotions."""
    counts = Counter[str]()
    for event in events:
        if isinstance(event, wire.SpeechStarted | wire.Emotion):
            counts[event.type] += 1
        elif isinstance(event, wire.UtteranceDropped):
            counts[event.reason] += 1
    return dict(counts)


async def test_a_few_minutes_of_everything_but_speech(
    tiny_bundle: Bundle, pocketsphinx: PocketsphinxTranscriber
) -> None:
    count = 2 * len(noises.EVERYDAY)
    events = await heard(map(scene, range(count)), tiny_bundle, pocketsphinx)
    assert outcome(events).get("emotion", 0) == 0, outcome(events)
    assert isinstance(events[-1], wire.SessionEnded)
    assert events[-1].totals["windows_heard"] == pytest.approx(count * SCENE_S / 0.032, abs=1)


def sung(number: int) -> Sound:
    """Silence, then wordless singing by a made voice: now and then the detector calls it speech."""
    random = np.random.default_rng([91, number])
    voice = noises.at_level(noises.sung_vowels(random, SCENE_S), [-30, -20, -6][number % 3])
    return np.concatenate([noises.silence(random, 4.0), voice])


async def test_a_whisper_that_babbles_gives_noise_and_singing_no_emotion(
    tiny_bundle: Bundle, tiny_whisper: Path
) -> None:
    transcriber = WhisperTranscriber(str(tiny_whisper), threads=1)
    made = [*map(sung, range(10)), *map(scene, range(len(noises.EVERYDAY)))]
    events = await heard(made, tiny_bundle, transcriber)
    counts = outcome(events)
    assert counts["speech.started"] >= 1  # else nothing was tried
    assert counts["speech.started"] == counts.get("hallucination", 0) + counts.get("no_speech", 0)
    transcriber.close()


@pytest.mark.soak
async def test_an_hour_of_everything_but_speech(
    tiny_bundle: Bundle, pocketsphinx: PocketsphinxTranscriber
) -> None:
    events = await heard(map(scene, range(360)), tiny_bundle, pocketsphinx)
    assert outcome(events).get("emotion", 0) == 0, outcome(events)
