"""Conversations side by side: each as if it were alone, none beyond the bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from live_sessions import Repeats, finals
from sessions import LoudIsSpeech, sound_of

from magtkd_rt import wire
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.batching import BatchingEngine
from magtkd_rt.engines.fake import FakeEngine
from magtkd_rt.errors import ServerError
from magtkd_rt.runtime.assembly import Detectors
from magtkd_rt.runtime.host import SessionHost
from magtkd_rt.runtime.models import Models
from magtkd_rt.runtime.recogniser import Recogniser
from magtkd_rt.sources import Media, MemorySource

pytestmark = pytest.mark.anyio

HELLO = wire.Hello(audio=wire.AudioFormat(sample_rate=16_000))
PATTERNS = (".##..#.##..", "##...###...", "...##.#...")


def media(pattern: str) -> list[Media]:
    return list(sound_of(pattern, seconds=0.25))


@asynccontextmanager
async def hosting(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, most: int = 8
) -> AsyncIterator[tuple[SessionHost, list[wire.Event]]]:
    monkeypatch.setattr(Detectors, "open", lambda _: Detectors(LoudIsSpeech(), None))
    engine = BatchingEngine(FakeEngine(tiny_bundle))
    models = Models(Recogniser(tiny_bundle, engine), "fake", Repeats(), "repeats")
    events: list[wire.Event] = []
    host = SessionHost(models, events.append, most=most, drafts=False)
    try:
        yield host, events
    finally:
        await host.close("test over")


def said(events: list[wire.Event], session_id: str) -> list[object]:
    mine = [event for event in events if event.session_id == session_id]
    return [
        final.model_dump(exclude={"seq", "t", "emitted_at", "latency", "session_id"})
        for final in finals(mine)
    ]


async def test_sessions_side_by_side_say_what_each_says_alone(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosting(tiny_bundle, monkeypatch) as (host, events):
        alone = []
        for pattern in PATTERNS:
            session = await host.begin(MemorySource(media(pattern)), HELLO)
            await session.wait()
            alone.append(said(events, session.session_id))
        together = await asyncio.gather(
            *(host.begin(MemorySource(media(pattern)), HELLO) for pattern in PATTERNS)
        )
        assert host.describe()["sessions_running"] == len(PATTERNS)
        await asyncio.gather(*(session.wait() for session in together))
        assert [said(events, session.session_id) for session in together] == alone
        assert [len(results) for results in alone] == [2, 2, 1]
        assert host.sessions == []
        assert host.counters["sessions_begun"] == 2 * len(PATTERNS)
        batches = host.describe()["batches"]
        assert isinstance(batches, dict) and sum(batches["fusion"].values()) > 0


async def test_one_more_than_may_be_is_refused_until_one_ends(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosting(tiny_bundle, monkeypatch, most=1) as (host, _):
        first = await host.begin(MemorySource(media(PATTERNS[0])), HELLO)
        with pytest.raises(ServerError, match="1 conversations are going on"):
            await host.begin(MemorySource(media(PATTERNS[1])), HELLO)
        first.stop("enough")
        await first.wait()
        await (await host.begin(MemorySource(media(".#")), HELLO)).wait()
        assert host.counters["sessions_refused"] == 1


async def test_closing_gives_everybody_their_results_and_begins_nothing_more(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosting(tiny_bundle, monkeypatch) as (host, events):
        session = await host.begin(MemorySource(media(PATTERNS[0])), HELLO)
        await asyncio.sleep(1.0)
        await host.close("server is shutting down")
        last = events[-1]
        assert isinstance(last, wire.SessionEnded)
        assert last.reason == "server is shutting down"
        assert last.session_id == session.session_id
        with pytest.raises(ServerError, match="shutting down"):
            await host.begin(MemorySource(media(PATTERNS[0])), HELLO)


async def test_who_is_known_to_speak_is_named(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosting(tiny_bundle, monkeypatch) as (host, events):
        hello = HELLO.model_copy(update={"speaker": "Ann"})
        session = await host.begin(MemorySource(media(PATTERNS[0])), hello)
        await session.wait()
        assert {final.speaker for final in finals(events)} == {"Ann"}
