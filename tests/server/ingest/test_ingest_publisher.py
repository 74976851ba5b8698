"""The Python publisher and the server together, over connections that break."""

from __future__ import annotations

import asyncio

import pytest
from senders import Serving, jpeg, meaning, speech

from magtkd_rt import wire
from magtkd_rt.clients.publish import Publisher

pytestmark = pytest.mark.anyio

PATTERN = ".##..####..##..#.##...###..."


async def published(serve: Serving, *, cut_every: int) -> list[wire.Event]:
    """What comes of it where the server loses the connection every so many blocks."""
    sound, block = speech(PATTERN), 800
    events: list[wire.Event] = []
    audio = wire.AudioFormat(sample_rate=16_000, encoding="pcm_f32le")
    async with Publisher(
        serve.server.url, audio=audio, video=wire.VideoFormat(), subscribe=True
    ) as publisher:

        async def read() -> None:
            async for event in publisher.events():
                assert not isinstance(event, wire.Snapshot)
                events.append(event)

        reading = asyncio.create_task(read())
        for count, first in enumerate(range(0, len(sound), block)):
            captured_us = 10**12 + round(first / 16_000 * 1e6)
            await publisher.picture(jpeg(grey=True), captured_us)
            await publisher.sound(sound[first : first + block], captured_us)
            await asyncio.sleep(0.01)
            if count % cut_every == cut_every - 1:
                session = serve.endpoint._sessions[publisher.session_id]
                if session.link is not None:
                    session.link._connection.transport.abort()
    await reading
    return events


async def test_connections_that_break_cost_nothing(serve: Serving) -> None:
    whole = await published(serve, cut_every=10_000)
    assert serve.hub.counters == {}
    broken = await published(serve, cut_every=13)
    assert serve.hub.counters["ingest_resumed"] >= 5
    assert [event.seq for event in broken] == list(range(1, len(broken) + 1))
    assert len(meaning(whole)) == 5
    assert meaning(broken) == meaning(whole)
    heard = [end.totals["windows_heard"] for end in (whole[-1], broken[-1])]  # type: ignore[union-attr]
    assert heard[0] == heard[1]
