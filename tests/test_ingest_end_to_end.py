"""A recording that is sent over a socket comes out as from its file, with the starter bundle."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
from senders import Sender, meaning

from magtkd_rt import wire
from magtkd_rt.config import ModelConfig
from magtkd_rt.runtime.hearing import hear_file
from magtkd_rt.runtime.host import SessionHost
from magtkd_rt.runtime.models import Models, load_models
from magtkd_rt.server import EventServer, Hub
from magtkd_rt.server.ingest import IngestEndpoint, SenderLimits

pytestmark = pytest.mark.anyio

SPEED = 10.0
BLOCK = 0.1


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    models = load_models(ModelConfig(asr="none", threads=1))
    yield models
    models.close()


async def test_a_call_that_is_sent_is_a_call_that_is_read(shared: Path, models: Models) -> None:
    path = shared / "media/speech/two_speaker_call.wav"
    with wave.open(str(path)) as file:
        rate, channels = file.getframerate(), file.getnchannels()
        pcm = file.readframes(file.getnframes())
    hub, events = Hub(), list[wire.Event]()

    def publish(event: wire.Event) -> None:
        events.append(event)
        hub.publish(event)

    host = SessionHost(models, publish, drafts=False)
    endpoint = IngestEndpoint(hub, host, SenderLimits(ahead_seconds=60.0))
    async with EventServer(hub, port=0, ingest=endpoint) as server, endpoint:
        sender = await Sender.dial(server.url.replace("events", "ingest"))
        await sender.hello(audio={"sample_rate": rate, "channels": channels}, subscribe=True)
        size = round(BLOCK * rate) * 2 * channels
        for first in range(0, len(pcm), size):
            captured_us = 10**15 + round(first / (2 * channels * rate) * 1e6)
            header = wire.MEDIA_HEADER.pack(wire.SOUND, captured_us)
            await sender.connection.send(header + pcm[first : first + size])
            await asyncio.sleep(BLOCK / SPEED)
        assert await sender.end() == 1000
    assert [one for one in sender.messages if not isinstance(one, wire.Ready | wire.Ack)] == events
    assert hub.counters == {}
    (ended,) = [event for event in events if isinstance(event, wire.SessionEnded)]
    heard = await asyncio.to_thread(_hear, path)
    assert ended.totals == heard[-1].totals  # type: ignore[union-attr]
    assert len(meaning(events)) >= 8
    assert meaning(events) == meaning(heard)


def _hear(path: Path) -> list[wire.Event]:
    return hear_file(path, bundle="starter", threads=1).events
