"""Both publishers against the real `/v1/ingest`, over connections that break."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import cv2
import numpy as np
import pytest
from both_clients import in_node
from cutting_proxy import CuttingProxy
from event_script import EventScript
from numpy.typing import NDArray

from magtkd_rt import wire
from magtkd_rt.clients import publish, subscriber
from magtkd_rt.clients.publish import Publisher
from magtkd_rt.core.media import AudioChunk
from magtkd_rt.errors import ServerError
from magtkd_rt.server import EventServer, Hub
from magtkd_rt.server.ingest import IngestEndpoint, SenderLimits
from magtkd_rt.sources import Source

pytestmark = pytest.mark.anyio

CHUNK = 320
"""Samples, 20 ms."""
PICTURE_EVERY = 5
START_US = 1_700_000_000_000_000
SOUND = wire.AudioFormat(sample_rate=16_000)
JPEG = cv2.imencode(".jpg", np.full((16, 16, 3), 200, np.uint8))[1].tobytes()
HURRIED = SenderLimits(ahead_seconds=600.0, resume_seconds=20.0)


def sample(index: int) -> int:
    """Every sample is told from its neighbours; run_client.mjs has the same."""
    return index * 7919 % 65536 - 32768


class Listening:
    """A session that keeps what it is given, and says an event for every second of it."""

    def __init__(self, source: Source, hub: Hub) -> None:
        self.session_id = "call-1"
        self.sound: list[NDArray[np.float32]] = []
        self.pictures: list[int] = []
        self.events: list[Any] = []
        self._source, self._hub = source, hub
        self._script = EventScript(self.session_id)
        self._running = asyncio.create_task(self._run())

    def stop(self, reason: str) -> None:
        self._source.close()

    async def wait(self) -> None:
        await asyncio.shield(self._running)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._say(self._script.started())
        await asyncio.to_thread(self._hear, loop)
        self._say(self._script.ended())

    def _hear(self, loop: asyncio.AbstractEventLoop) -> None:
        samples = 0
        for item in self._source.media():
            if isinstance(item, AudioChunk):
                self.sound.append(item.samples)
                samples += len(item.samples)
                if samples >= 16_000 * len(self.events):
                    loop.call_soon_threadsafe(self._say, self._script.status(f"{samples}"))
            else:
                self.pictures.append(item.time_ns)

    def _say(self, event: Any) -> None:
        self.events.append(event)
        self._hub.publish(event)


class ListeningHost:
    """Begins one session."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.session: Listening | None = None

    async def begin(self, source: Source, hello: wire.Hello) -> Listening:
        if self.session is not None:
            raise ServerError("one conversation is going on already", remedy="try again later")
        self.session = Listening(source, self.hub)
        return self.session


@asynccontextmanager
async def serving(
    limits: SenderLimits = HURRIED,
) -> AsyncGenerator[tuple[EventServer, ListeningHost, Counter[str]], None]:
    hub = Hub()
    host = ListeningHost(hub)
    endpoint = IngestEndpoint(hub, host, limits)
    async with EventServer(hub, port=0, ingest=endpoint) as server, endpoint:
        yield server, host, hub.counters


async def stream(publisher: Publisher, chunks: int, until: asyncio.Event | None = None) -> int:
    """Send so many chunks, or more until the event; returns how many."""
    for number in itertools.count():
        if number >= chunks and (until is None or until.is_set()):
            return number
        first = number * CHUNK
        at = START_US + number * 20_000
        samples = np.array([sample(index) for index in range(first, first + CHUNK)], np.int16)
        await publisher.sound(samples, at)
        if number % PICTURE_EVERY == 0:
            await publisher.picture(JPEG, at)
        await asyncio.sleep(0.002)
    raise AssertionError


def check_heard(session: Listening, chunks: int) -> None:
    """Everything was heard and seen once, as it was sent."""
    wanted = np.array([sample(index) for index in range(chunks * CHUNK)], np.float32) / 32768
    heard = np.concatenate(session.sound)
    assert len(heard) == len(wanted)
    assert np.array_equal(heard, wanted)
    assert session.pictures == [number * 20_000_000 for number in range(0, chunks, PICTURE_EVERY)]


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(subscriber, "LONGEST_DELAY", 0.05)


async def test_everything_arrives_and_comes_back_as_events() -> None:
    async with (
        serving() as (server, host, _),
        asyncio.timeout(20),
        publish(
            server.url, audio=SOUND, video=wire.VideoFormat(), speaker="Ada", subscribe=True
        ) as publisher,
    ):
        assert publisher.session_id == "call-1"
        assert publisher.limits is not None
        await stream(publisher, 200)
        await publisher.end()
        events = [event async for event in publisher.events()]
        with pytest.raises(ServerError, match="the session has ended; publish anew"):
            await publisher.sound(np.zeros(1, np.int16), START_US)
    assert host.session is not None
    check_heard(host.session, 200)
    assert events == host.session.events
    assert publisher.dropped == {"sound": 0, "pictures": 0, "events": 0}


COUNTS = pytest.mark.parametrize("cuts", [30, pytest.param(1000, marks=pytest.mark.soak)])


@COUNTS
async def test_python_loses_nothing_over_broken_connections(cuts: int) -> None:
    async with serving() as (server, host, counters), asyncio.timeout(300):
        proxy = CuttingProxy(server.port, wanted=cuts, spared=1)
        async with (
            proxy.running(),
            publish(
                f"127.0.0.1:{proxy.port}", audio=SOUND, video=wire.VideoFormat(), subscribe=True,
                attempts=1000,
            ) as publisher,
        ):  # fmt: skip
            chunks = await stream(publisher, 50, proxy.enough)
            await publisher.end()
            events = [event async for event in publisher.events()]
    assert proxy.cuts >= cuts
    assert counters["ingest_resumed"] > cuts / 4
    assert host.session is not None
    check_heard(host.session, chunks)
    assert events == host.session.events
    assert publisher.dropped == {"sound": 0, "pictures": 0, "events": 0}


@COUNTS
async def test_javascript_loses_nothing_over_broken_connections(cuts: int) -> None:
    async with serving() as (server, host, counters), asyncio.timeout(300):
        proxy = CuttingProxy(server.port, wanted=cuts, spared=1)
        chunks = 50 + cuts * 25  # some 50 ms of sending for each connection, at least
        async with proxy.running():
            lines = await in_node(
                job="stream", url=f"127.0.0.1:{proxy.port}", chunks=chunks, jpeg=JPEG.hex(),
                options={"attempts": 1000, "subscribe": True}, seconds=300,
            )  # fmt: skip
    *updates, left = lines
    assert proxy.cuts >= cuts
    assert counters["ingest_resumed"] > cuts / 4
    assert host.session is not None
    check_heard(host.session, chunks)
    found = [wire.parse_message(json.dumps(line["update"])) for line in updates]
    assert found == host.session.events
    assert left == {"dropped": {"sound": 0, "pictures": 0}}
