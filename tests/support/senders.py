"""A server that takes media, and who sends it: real sockets, the tiny bundle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self, cast

import cv2
import numpy as np
import pytest
from live_sessions import Repeats, finals
from numpy.typing import NDArray
from sessions import BrightIsFace, LoudIsSpeech, sound_of
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from magtkd_rt import wire
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.core.media import SAMPLE_RATE, WINDOW, AudioChunk, HeardSound
from magtkd_rt.engines.batching import BatchingEngine
from magtkd_rt.engines.fake import FakeEngine
from magtkd_rt.features.faces import FaceFinder
from magtkd_rt.runtime.assembly import Detectors
from magtkd_rt.runtime.host import SessionHost
from magtkd_rt.runtime.models import Models
from magtkd_rt.runtime.recogniser import Recogniser
from magtkd_rt.server import EventServer, Hub
from magtkd_rt.server.ingest import IngestEndpoint, SenderLimits

Sound = NDArray[np.float32]
SOUND = {"sample_rate": SAMPLE_RATE, "encoding": "pcm_f32le"}
PICTURES = {"encoding": "jpeg"}


class LoudPieces:
    """`LoudIsSpeech` for sound in pieces of any length."""

    def __init__(self) -> None:
        self._waiting: dict[int, AudioChunk] = {}

    def push(self, chunk: AudioChunk) -> HeardSound | None:
        before = self._waiting.pop(chunk.channel, None)
        start = chunk.start if before is None else before.start
        parts = [chunk.samples] if before is None else [before.samples, chunk.samples]
        samples = np.concatenate(parts)
        whole = len(samples) // WINDOW * WINDOW
        rest = AudioChunk(chunk.channel, start + whole, samples[whole:])
        self._waiting[chunk.channel] = rest
        if not whole:
            return None
        return LoudIsSpeech().push(AudioChunk(chunk.channel, start, samples[:whole]))

    def flush(self, channel: int) -> HeardSound | None:
        return None


class BrightFaces(BrightIsFace):
    """With the name of its detector, as a session's face finder has it."""

    detector = SimpleNamespace(name="bright")


@dataclass
class Serving:
    """A server with its parts."""

    server: EventServer
    endpoint: IngestEndpoint
    host: SessionHost
    hub: Hub
    events: list[wire.Event]

    @property
    def url(self) -> str:
        return self.server.url.replace("/v1/events", "/v1/ingest")

    def of(self, session_id: str) -> list[wire.Event]:
        return [event for event in self.events if event.session_id == session_id]


@asynccontextmanager
async def serving(
    tiny_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    limits: SenderLimits | None = None,
    *,
    most: int = 8,
) -> AsyncIterator[Serving]:
    """A server whose sessions take loud sound for speech and bright pictures for faces.

    Media may run ahead of real time, and pause, unless `limits` say otherwise: tests have a
    pace of their own.
    """
    faces = cast("FaceFinder", BrightFaces())
    monkeypatch.setattr(Detectors, "open", lambda _: Detectors(LoudPieces(), faces))
    models = Models(
        Recogniser(tiny_bundle, BatchingEngine(FakeEngine(tiny_bundle))), "fake", Repeats(), "words"
    )
    hub, events = Hub(), list[wire.Event]()

    def publish(event: wire.Event) -> None:
        events.append(event)
        hub.publish(event)

    host = SessionHost(models, publish, most=most, drafts=False)
    endpoint = IngestEndpoint(
        hub, host, limits or SenderLimits(ahead_seconds=60.0, patience_seconds=60.0)
    )
    async with EventServer(hub, port=0, ingest=endpoint) as server:
        yield Serving(server, endpoint, host, hub, events)
        await endpoint.close("test over")
        await host.close("test over")


@dataclass
class Sender:
    """A sender that may also break the rules."""

    connection: ClientConnection
    messages: list[Any] = field(default_factory=list)
    _reading: asyncio.Task[None] | None = None

    @classmethod
    async def dial(cls, url: str) -> Self:
        sender = cls(
            await connect(url, subprotocols=[Subprotocol(wire.PROTOCOL)], compression=None)
        )
        sender._reading = asyncio.create_task(sender._read())
        return sender

    async def _read(self) -> None:
        try:
            async for message in self.connection:
                self.messages.append(wire.parse_ingest_message(message))
        except ConnectionClosed:
            pass

    async def say(self, **fields: Any) -> None:
        await self.connection.send(json.dumps(fields))

    async def hello(self, **fields: Any) -> wire.Ready:
        """Say hello and wait for the answer, which must be `ready`."""
        await self.say(type="hello", **({"audio": SOUND} | fields))
        ready = await self.next_of(wire.Ready)
        assert isinstance(ready, wire.Ready)
        return ready

    async def sound(self, samples: Sound, at: float) -> None:
        """Send float32 (n,) or (n, channels) with this capture time in seconds."""
        header = wire.MEDIA_HEADER.pack(wire.SOUND, round(at * 1e6))
        await self.connection.send(header + samples.astype("<f4").tobytes())

    async def talk(self, samples: Sound, at: float = 0.0, block: float = 0.1) -> None:
        """Send sound in blocks as fast as it goes."""
        size = round(block * SAMPLE_RATE)
        for first in range(0, len(samples), size):
            await self.sound(samples[first : first + size], at + first / SAMPLE_RATE)

    async def picture(self, jpeg: bytes, at: float) -> None:
        await self.connection.send(wire.MEDIA_HEADER.pack(wire.PICTURE, round(at * 1e6)) + jpeg)

    async def next_of(self, kind: type[Any], count: int = 1) -> Any:
        """The `count`th message of this kind, once it has come."""
        async with asyncio.timeout(10):
            while True:
                found = [message for message in self.messages if isinstance(message, kind)]
                if len(found) >= count:
                    return found[count - 1]
                assert self._reading is not None
                assert not self._reading.done(), (self.connection.close_code, self.messages)
                await asyncio.sleep(0.005)

    @property
    def errors(self) -> list[wire.Error]:
        return [message for message in self.messages if isinstance(message, wire.Error)]

    async def end(self) -> int | None:
        """Say end, and wait for the close; returns its code."""
        await self.say(type="end")
        return await self.closed()

    async def closed(self) -> int | None:
        """Wait for the close; returns its code."""
        assert self._reading is not None
        await asyncio.wait_for(self._reading, 15)
        return self.connection.close_code

    def cut(self) -> None:
        """Lose the connection."""
        self.connection.transport.abort()


def speech(pattern: str, seconds: float = 0.25) -> Sound:
    """Float32 (n,): `#` is loud, `.` silent, each character some seconds long."""
    return np.concatenate([chunk.samples for chunk in sound_of(pattern, seconds=seconds)])


def jpeg(
    level: int = 200, width: int = 64, height: int = 64, *, grey: bool = False, quality: int = 90
) -> bytes:
    """An even picture."""
    shape = (height, width) if grey else (height, width, 3)
    _, data = cv2.imencode(".jpg", np.full(shape, level, np.uint8), [1, quality])
    return bytes(data.tobytes())


def meaning(events: list[wire.Event]) -> list[object]:
    """What its final results say, whenever and in which session."""
    left_out = {"seq", "t", "emitted_at", "latency", "session_id"}
    return [final.model_dump(exclude=left_out) for final in finals(events)]


@asynccontextmanager
async def undisturbed(serve: Serving) -> AsyncIterator[None]:
    """A session that goes on beside whatever happens, and must come out as one that was alone."""
    sound = speech(".##..#.##...")
    alone = await Sender.dial(serve.url)
    expected = (await alone.hello()).session_id
    await alone.talk(sound)
    assert await alone.end() == 1000
    beside = await Sender.dial(serve.url)
    ready = await beside.hello()
    await beside.talk(sound[:20_000])
    yield
    await beside.talk(sound[20_000:], at=20_000 / SAMPLE_RATE)
    assert await beside.end() == 1000
    assert beside.errors == []
    assert meaning(serve.of(ready.session_id)) == meaning(serve.of(expected)) != []
