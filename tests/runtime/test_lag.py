"""What a session tells, and leaves out, when the machine falls behind; and how soon it speaks."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from live_sessions import Repeats, bright_pictures, events_of, finals
from sessions import make_setup, sound_of

from magtkd_rt import wire
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.core.jobs import Job, Transcribe
from magtkd_rt.core.media import NANOSECONDS
from magtkd_rt.engines.fake import FakeEngine
from magtkd_rt.runtime import giving_way, lane
from magtkd_rt.runtime.clock import MonotonicClock, VirtualClock
from magtkd_rt.runtime.live import LiveSession
from magtkd_rt.runtime.recogniser import Recogniser
from magtkd_rt.runtime.work import ModelWork
from magtkd_rt.sources import Media, MemorySource

pytestmark = pytest.mark.anyio


@pytest.fixture
def work(tiny_bundle: Bundle) -> ModelWork:
    return ModelWork(Recogniser(tiny_bundle, FakeEngine(tiny_bundle)), Repeats())


async def test_lag_is_told_once(work: ModelWork, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()
    setup = make_setup(work)
    inner = setup.senses.perceive

    def late(item: Media):  # type: ignore[no-untyped-def]
        if getattr(item, "start", 0) == 512 * 10:
            clock.sleep_until_ns(clock.now_ns() + 3 * NANOSECONDS)
        return inner(item)

    monkeypatch.setattr(setup.senses, "perceive", late)
    events = await events_of(sound_of("." * 10), work, setup=setup, fast=False, clock=clock)
    told = [event for event in events if isinstance(event, wire.Status)]
    assert [status.code for status in told][:2] == ["lag", "giving_way"]
    assert [status.code for status in told].count("lag") == 1
    assert told[0].lag_ms >= 2000


async def test_a_first_result_comes_while_somebody_speaks(work: ModelWork) -> None:
    media = sound_of("####..", seconds=0.5)
    events = await events_of(media, work, fast=False, clock=MonotonicClock())
    results = [event for event in events if isinstance(event, wire.Emotion)]
    assert [result.stage for result in results] == ["provisional", "provisional", "final"]
    assert results[0].t < 0.8
    assert 0 <= results[0].latency.total_ms < 500  # from the sound that it speaks for


async def test_under_load_things_give_way_and_come_back(
    work: ModelWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(giving_way, "BEHIND_MS", 300.0)
    monkeypatch.setattr(giving_way, "FINE_MS", 150.0)
    monkeypatch.setattr(giving_way, "NEXT_AFTER_NS", NANOSECONDS // 4)
    monkeypatch.setattr(giving_way, "BACK_AFTER_NS", NANOSECONDS // 2)
    monkeypatch.setattr(lane, "WORDS_WITHIN_NS", NANOSECONDS // 2)
    begun = time.monotonic()

    def overloaded(job: Job) -> object:
        if isinstance(job, Transcribe) and time.monotonic() - begun < 2.5:
            time.sleep(0.6)
        return work(job)

    lags: list[tuple[float, float]] = []
    media = [*sound_of("##.." * 6, seconds=0.3), *bright_pictures(*np.arange(0, 7, 0.1).tolist())]
    source = MemorySource(media)
    session = LiveSession(source, make_setup(overloaded), clock=MonotonicClock(), fast=False)
    events: list[wire.Event] = []

    async def watch() -> None:
        while True:
            lags.append((time.monotonic() - begun, session.lag_ms))
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    await session.run([events.append])
    watching.cancel()
    codes = [event.code for event in events if isinstance(event, wire.Status)]
    assert codes.count("giving_way") == codes.count("taking_back") == 2  # pictures and drafts
    assert max(lag for _, lag in lags) > 400
    assert max(lag for at, lag in lags if at > 4.5) < 300
    assert len(finals(events)) == 6  # what was said has its result, with or without its words
    reasons = {final.modalities["text"].reason for final in finals(events)}
    assert "overload" in reasons
    assert finals(events)[-1].modalities["text"].present
    dropped = events[-2] if isinstance(events[-2], wire.Status) else None
    assert dropped is None or dropped.dropped.get("pictures_left_out", 0) > 0
