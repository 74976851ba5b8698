"""Live sessions from media in memory to events: order, loss, failures, ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from live_sessions import Repeats, bright_pictures, events_of, finals
from sessions import make_setup, sound_of

from magtkd_rt import wire
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.core.jobs import EncodeAudio, Fuse, Job, Transcribe
from magtkd_rt.core.media import VideoFrame
from magtkd_rt.engines.fake import FakeEngine
from magtkd_rt.errors import InputError
from magtkd_rt.runtime.clock import MonotonicClock, VirtualClock
from magtkd_rt.runtime.live import LiveSession
from magtkd_rt.runtime.recogniser import Recogniser
from magtkd_rt.runtime.work import ModelWork
from magtkd_rt.sources import Media, MediaInfo, MemorySource

pytestmark = pytest.mark.anyio


@pytest.fixture
def work(tiny_bundle: Bundle) -> ModelWork:
    return ModelWork(Recogniser(tiny_bundle, FakeEngine(tiny_bundle)), Repeats())


def meaning(emotion: wire.Emotion) -> object:
    return emotion.model_dump(exclude={"seq", "t", "emitted_at", "latency", "revision"})


async def test_an_utterance_from_sound_to_emotion(work: ModelWork) -> None:
    events = await events_of([*sound_of(".##..."), *bright_pictures(0.6, 0.9, 2.5)], work)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[0], wire.SessionStarted)
    assert isinstance(events[-1], wire.SessionEnded)
    assert events[-1].reason == "end of input"
    (final,) = finals(events)
    assert final.text.startswith("word")
    assert all(part.present for part in final.modalities.values())
    assert all(event.emitted_at is not None for event in events)
    assert final.latency.total_ms >= 0


async def test_real_time_and_fast_agree(work: ModelWork, tiny_bundle: Bundle) -> None:
    sound = sound_of(".##..#.##...##", seconds=0.3)
    media = [*sound, *bright_pictures(*np.arange(0, 4.2, 0.1).tolist())]
    fast = await events_of(list(media), work)
    slow_work = ModelWork(Recogniser(tiny_bundle, FakeEngine(tiny_bundle)), Repeats())

    def slow(job: Job) -> object:
        time.sleep(0.003 if isinstance(job, Transcribe) else 0.02)
        return slow_work(job)

    paced = await events_of(list(media), slow, fast=False, clock=MonotonicClock())
    assert len(finals(fast)) >= 3
    assert list(map(meaning, finals(fast))) == list(map(meaning, finals(paced)))


async def test_total_latency_counts_from_the_last_speech(work: ModelWork) -> None:
    clock = MonotonicClock()
    (final,) = finals(
        await events_of(sound_of("##...", seconds=0.3), work, fast=False, clock=clock)
    )
    # The hang-over passes in real time before the utterance is known to be over.
    assert final.latency.endpoint_ms == pytest.approx(16 * 32)
    assert final.latency.endpoint_ms <= final.latency.total_ms


async def test_two_channels_are_two_speakers(work: ModelWork) -> None:
    left, right = sound_of("##....", channel=0), sound_of("...##.", channel=1)
    events = await events_of([*left, *right], work, setup=make_setup(work, channels=2))
    assert [final.speaker for final in finals(events)] == ["S1", "S2"]


async def test_speech_at_the_very_end_gets_its_result(work: ModelWork) -> None:
    assert len(finals(await events_of(sound_of("..##"), work))) == 1


async def test_pictures_end_an_utterance_whose_sound_stops(work: ModelWork) -> None:
    seconds = np.arange(0.0, 4.0, 0.1).tolist()
    events = await events_of([*sound_of(".##"), *bright_pictures(*seconds)], work)
    (final,) = finals(events)
    assert final.latency.endpoint_ms < 1000


@pytest.mark.parametrize("failing", [EncodeAudio, Fuse, Transcribe])
async def test_a_job_that_fails_costs_its_part_only(work: ModelWork, failing: type[Job]) -> None:
    def fails(job: Job) -> object:
        if isinstance(job, failing):
            raise ValueError("out of\norder")
        return work(job)

    events = await events_of([*sound_of(".##..."), *bright_pictures(0.6)], fails)
    statuses = [event for event in events if isinstance(event, wire.Status)]
    assert [status.message for status in statuses] == ["out of order"]
    if failing is Fuse:
        assert any(isinstance(event, wire.UtteranceDropped) for event in events)
    else:
        (final,) = finals(events)
        absent = [n for n, part in final.modalities.items() if part.reason == "error"]
        assert absent == ["audio" if failing is EncodeAudio else "text"]
    assert isinstance(events[-1], wire.SessionEnded)


async def test_a_transcriber_that_fails_leaves_no_stream_open(tiny_bundle: Bundle) -> None:
    transcriber = Repeats()
    work = ModelWork(Recogniser(tiny_bundle, FakeEngine(tiny_bundle)), transcriber)
    seen = 0

    def fails_later(job: Job) -> object:
        nonlocal seen
        seen += isinstance(job, Transcribe)
        if isinstance(job, Transcribe) and seen > 2:
            raise ValueError("deaf")
        return work(job)

    await events_of(sound_of(".####..."), fails_later)
    assert transcriber.open_streams == 0


async def test_real_time_drops_pictures_and_says_so(work: ModelWork) -> None:
    class Slow:
        def find(self, frame: VideoFrame, *, calm: bool = False):  # type: ignore[no-untyped-def]
            time.sleep(0.1)
            raise ValueError("blind")

    setup = make_setup(work)
    setup.senses._faces = Slow()
    media = [*sound_of("##.."), *bright_pictures(*np.arange(0, 2, 0.02).tolist())]
    events = await events_of(media, work, setup=setup, fast=False, clock=MonotonicClock())
    dropped = [e for e in events if isinstance(e, wire.Status) and e.code == "dropped"]
    assert dropped[-1].dropped["pictures"] > 40
    assert "sound_samples" not in dropped[-1].dropped
    told = [e.message for e in events if isinstance(e, wire.Status) and "blind" in e.message]
    assert len(told) == 1
    assert len(finals(events)) == 1
    assert isinstance(events[-1], wire.SessionEnded)
    assert events[-1].totals["windows_heard"] == len(sound_of("##.."))


async def test_fast_hearing_waits_for_the_models(work: ModelWork) -> None:
    most = 0

    def count(job: Job) -> object:
        time.sleep(0.002)
        return work(job)

    setup = make_setup(count)
    session = LiveSession(
        MemorySource(sound_of("##.." * 8)), setup, clock=VirtualClock(), fast=True
    )

    def watch(_: wire.Event) -> None:
        nonlocal most
        most = max(most, len(session._jobs))

    await session.run([watch])
    assert 0 < most <= 20


class Endless(MemorySource):
    """Speaks again and again, until it is closed."""

    def __init__(self) -> None:
        super().__init__(sound_of("##."))
        self.info = MediaInfo("endless", None, 1)

    def media(self) -> Iterator[Media]:
        chunks = sound_of("##...")
        length, turn = chunks[-1].end, 0
        while not self._closed:
            yield from (replace(chunk, start=chunk.start + turn * length) for chunk in chunks)
            turn += 1


@pytest.mark.parametrize("fast", [True, False])
async def test_stop_finishes_what_was_heard(work: ModelWork, fast: bool) -> None:
    events: list[wire.Event] = []
    session = LiveSession(Endless(), make_setup(work), clock=MonotonicClock(), fast=fast)
    running = asyncio.create_task(session.run([events.append]))
    while not any(isinstance(event, wire.SpeechStarted) for event in events):
        await asyncio.sleep(0.01)
    session.stop("interrupted")
    await asyncio.wait_for(running, 10)
    assert isinstance(events[-1], wire.SessionEnded)
    assert events[-1].reason == "interrupted"
    spoken = {e.utterance_id for e in events if isinstance(e, wire.SpeechStarted)}
    assert spoken == {final.utterance_id for final in finals(events)}


class Breaks(MemorySource):
    """Fails in the middle."""

    def __init__(self, error: Exception) -> None:
        super().__init__(sound_of(".##...##..."))
        self._error = error

    def media(self) -> Iterator[Media]:
        for n, item in enumerate(super().media()):
            if n == 110:
                raise self._error
            yield item


@pytest.mark.parametrize("error", [ValueError("bad\nblock"), InputError("gone", remedy="find it")])
async def test_a_source_that_fails_loses_nothing_before(work: ModelWork, error: Exception) -> None:
    events: list[wire.Event] = []
    session = LiveSession(Breaks(error), make_setup(work), clock=VirtualClock(), fast=True)
    with pytest.raises(InputError, match="bad block|gone"):
        await session.run([events.append])
    assert len(finals(events)) == 2
    assert isinstance(events[-1], wire.SessionEnded)
    assert events[-1].reason == "input failed"
    assert isinstance(events[-2], wire.Status)
    assert events[-2].level == "error"


async def test_a_sink_that_fails_does_not_stop_the_others(work: ModelWork) -> None:
    events: list[wire.Event] = []
    calls = 0

    def full_disk(event: wire.Event) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise InputError("the disk is full", remedy="make room")

    session = LiveSession(
        MemorySource(sound_of(".##...")), make_setup(work), clock=VirtualClock(), fast=True
    )
    with pytest.raises(InputError, match="disk is full"):
        await session.run([full_disk, events.append])
    assert calls == 3
    assert len(finals(events)) == 1
    assert any(isinstance(e, wire.Status) and e.code == "sink_failed" for e in events)


async def test_an_idle_session_does_not_compute(work: ModelWork) -> None:
    class Silent(Endless):
        def media(self) -> Iterator[Media]:
            yield sound_of(".")[0]
            while not self._closed:
                time.sleep(0.01)

    session = LiveSession(Silent(), make_setup(work), clock=MonotonicClock(), fast=False)
    running = asyncio.create_task(session.run([]))
    await asyncio.sleep(0.3)
    start = time.process_time()
    await asyncio.sleep(1.0)
    spent = time.process_time() - start
    session.stop("enough")
    await running
    assert spent < 0.1
