"""Eight hours of talk in a few minutes: memory stays, nothing piles up, every utterance ends.

Half a minute of each hour is a real telephone call through the real models; the rest is made sound
whose answers cost nothing. Run it by `pytest -m soak -o faulthandler_timeout=0 -s`.
"""

from __future__ import annotations

import gc
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sessions import LoudIsSpeech

from magtkd_rt import wire
from magtkd_rt.config import LiveConfig
from magtkd_rt.core.jobs import (
    EncodeAudio,
    Encoded,
    EncodeText,
    EncodeVideo,
    Fuse,
    Fused,
    Identified,
    Identify,
    Job,
    Transcribe,
    Transcribed,
)
from magtkd_rt.core.media import SAMPLE_RATE, WINDOW, AudioChunk, HeardSound
from magtkd_rt.labels import LABELS
from magtkd_rt.runtime.assembly import assemble
from magtkd_rt.runtime.clock import VirtualClock
from magtkd_rt.runtime.lane import Work
from magtkd_rt.runtime.live import LiveSession
from magtkd_rt.runtime.senses import Percept, Senses
from magtkd_rt.sources import FileSource, Media
from magtkd_rt.sources.base import MediaInfo, Notice

pytestmark = pytest.mark.anyio

HOURS = 8
HOUR = 3600 * SAMPLE_RATE
CHUNK = 8 * WINDOW
REAL = 40 * SAMPLE_RATE
"""Of each hour: the call, and some silence in which its last jobs are done."""
PROBE_S = 10 * 60.0


class Talk:
    """A call at the beginning of each hour, then bursts of a tone that stand for speech."""

    def __init__(self, call: Path) -> None:
        self.info = MediaInfo(audio="talk", video=None, channels=1)
        self.problems: list[str] = []
        self.notices: deque[Notice] = deque()
        self.dropped: Mapping[str, int] = {}
        chunks = [c for c in FileSource(call).media() if isinstance(c, AudioChunk)]
        self._call = np.concatenate([chunk.samples for chunk in chunks])
        self._closed = False

    def media(self) -> Iterator[AudioChunk]:
        tone = (0.5 * np.sin(np.arange(CHUNK) * 0.2)).astype(np.float32)
        silence = np.zeros(CHUNK, np.float32)
        real = np.zeros(REAL // CHUNK * CHUNK, np.float32)
        real[: len(self._call)] = self._call
        random = np.random.default_rng(0)
        for hour in range(HOURS):
            start = hour * HOUR // CHUNK * CHUNK
            for at in range(0, len(real), CHUNK):
                yield AudioChunk(0, start + at, real[at : at + CHUNK])
            at = start + len(real)
            while at < start + HOUR - 30 * CHUNK and not self._closed:
                for sound, count in ((tone, random.integers(4, 24)), (silence, 3)):
                    for _ in range(count):
                        yield AudioChunk(0, at, sound)
                        at += CHUNK

    def close(self) -> None:
        self._closed = True


class Hourly(Senses):
    """The real senses for the call, others that cost nothing for the rest."""

    def __init__(self, real: Senses) -> None:
        self._real = real
        self._made = LoudIsSpeech()
        self.problems = real.problems

    def perceive(self, item: Media) -> Percept | None:
        assert isinstance(item, AudioChunk)
        hears_call = item.start % HOUR < REAL
        return self._real.perceive(item) if hears_call else self._made.push(item)

    def flush(self) -> list[HeardSound]:
        return []


def cheap(job: Job) -> object:
    """An answer that costs nothing."""
    random = np.random.default_rng(job.job_id)
    match job:
        case Transcribe():
            return Transcribed("so it goes", None, 0.9, "en", job.last)
        case EncodeText() | EncodeAudio() | EncodeVideo():
            return Encoded(random.standard_normal(128).astype(np.float32), np.zeros(7, np.float32))
        case Identify():
            vector = random.standard_normal(192).astype(np.float32)
            return Identified(vector / np.linalg.norm(vector))
        case Fuse():
            shares = random.dirichlet(np.ones(len(LABELS))).astype(np.float32)
            falls = [None if feature is None else 0.1 for feature in job.features]
            return Fused(shares, (falls[0], falls[1], falls[2]), job.state)
    return None


def _rss_mb() -> float:
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1000


@pytest.mark.soak
async def test_eight_hours_of_talk_need_no_more_memory_than_ten_minutes(shared: Path) -> None:
    call = shared / "media/speech/two_speaker_call.wav"
    source = Talk(call)
    setup = assemble(LiveConfig(asr="pocketsphinx", threads=1), source.info)
    senses = Hourly(setup.senses)
    real: Work = setup.work
    in_calls: set[str] = set()

    def work(job: Job) -> object:
        return real(job) if job.utterance_id in in_calls else cheap(job)

    memory: list[tuple[float, float]] = []
    counts: Counter[str] = Counter()
    open_now: set[str] = set()

    def take(event: wire.Event) -> None:
        counts[
            f"{event.type}.{event.stage}" if isinstance(event, wire.Emotion) else event.type
        ] += 1
        if isinstance(event, wire.SpeechStarted):
            open_now.add(event.utterance_id)
            if event.t % 3600 < REAL / SAMPLE_RATE:
                in_calls.add(event.utterance_id)
        final = isinstance(event, wire.Emotion) and event.stage == "final"
        if isinstance(event, wire.UtteranceDropped) or final:
            open_now.discard(event.utterance_id)  # type: ignore[union-attr]
        if event.t >= (memory[-1][0] if memory else 0) + PROBE_S:
            memory.append((event.t, _rss_mb()))

    made = replace(setup, senses=senses, work=work)
    await LiveSession(source, made, clock=VirtualClock(), fast=True).run([take])
    print(f"\n{dict(counts)}\n" + "  ".join(f"{t / 3600:.2f} h {mb:.0f} MB" for t, mb in memory))
    assert not open_now
    assert counts["emotion.final"] > HOURS * 500
    first, last = memory[0][1], memory[-1][1]
    assert memory[-1][0] > (HOURS - 0.5) * 3600
    assert last < 1.05 * first
