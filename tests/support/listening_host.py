"""A server whose sessions only listen: what arrives on `/v1/ingest`, without any recognition."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from event_script import EventScript
from numpy.typing import NDArray

from magtkd_rt import wire
from magtkd_rt.core.media import AudioChunk
from magtkd_rt.errors import ServerError
from magtkd_rt.server import EventServer, Hub
from magtkd_rt.server.gate import Access
from magtkd_rt.server.ingest import IngestEndpoint, SenderLimits
from magtkd_rt.sources import Source


class Listening:
    """A session that keeps what it is given, with an event a second and one emotion at the end."""

    def __init__(self, source: Source, hello: wire.Hello, hub: Hub) -> None:
        self.session_id = "call-1"
        self._sound: dict[int, list[NDArray[np.float32]]] = {}
        self.pictures: list[int] = []
        self.events: list[Any] = []
        self._source, self._hub = source, hub
        self._speaker = hello.speaker or "S1"
        self._script = EventScript(self.session_id)
        self._running = asyncio.create_task(self._run())

    def heard(self, channel: int = 0) -> NDArray[np.float32]:
        """Everything that was heard on a channel; silence stands for what did not come."""
        return np.concatenate(self._sound[channel])

    def stop(self, reason: str) -> None:
        self._source.close()

    async def wait(self) -> None:
        await asyncio.shield(self._running)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._say(self._script.started())
        await asyncio.to_thread(self._hear, loop)
        result = self._script.emotion("u1")
        self._say(result.model_copy(update={"speaker": self._speaker}))
        self._say(self._script.ended())

    def _hear(self, loop: asyncio.AbstractEventLoop) -> None:
        samples = 0
        for item in self._source.media():
            if isinstance(item, AudioChunk):
                self._sound.setdefault(item.channel, []).append(item.samples)
                samples = max(samples, item.end)
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
        self.session = Listening(source, hello, self.hub)
        return self.session


@asynccontextmanager
async def serving(
    limits: SenderLimits | None = None, access: Access | None = None
) -> AsyncGenerator[tuple[EventServer, ListeningHost, Counter[str]], None]:
    hub = Hub()
    host = ListeningHost(hub)
    endpoint = IngestEndpoint(hub, host, limits)
    async with EventServer(hub, port=0, ingest=endpoint, access=access) as server, endpoint:
        yield server, host, hub.counters
