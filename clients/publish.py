"""Sending sound and pictures to a running server, over connections that may break."""

from __future__ import annotations

import asyncio
import ssl as tls
from collections import deque
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from magtkd_rt import wire
from magtkd_rt.clients.connection import (
    DEFAULT_URL,
    address_of,
    check_protocol,
    is_final,
    open_connection,
    read,
    refused,
    unreachable,
)
from magtkd_rt.clients.outbox import Outbox
from magtkd_rt.clients.subscriber import Place, Update, retry_delay
from magtkd_rt.errors import ServerError

MAX_BUFFERED: Final = 8 << 20
"""Bytes of media that are kept until the server has taken them."""
MAX_EVENTS: Final = 10_000
"""Events that wait for who reads them; the oldest give way."""
_FINAL_CLOSES: Final = (1002, 1003, 1007, 1008, 1009)
"""After these, coming back with the same media cannot help."""


class Publisher:
    """Sends the media of one session; an asynchronous context manager.

    On entering it waits until the server is ready. On leaving it sends what is left and waits
    for the end of the session; where an exception leaves, the connection is just closed. A lost
    connection is taken up again, and what the server has not acknowledged is sent again as far
    as there was room to keep it.

    Args:
        url: the server: `ws://host:port`, `http://host:port` or `host:port`.
        audio: how sound will be sent; None where there is none.
        video: how pictures will be sent; None where there are none.
        speaker: who is heard, where that is one person.
        token: the server's token, where it wants one.
        tls_context: for `wss://`, whom to trust; the system's certificates if None.
        subscribe: whether the session's events come over this connection too, see `events`.
        attempts: connections that may fail one after the other before giving up.
        max_buffered: bytes of media that are kept until the server has taken them.
        on_retry: called with the reason and the seconds until the next attempt.

    Attributes:
        session_id: the session that was begun; empty before.
        limits: what the server puts up with; None before.
        dropped: what was thrown away for lack of room: `sound` and `pictures` unsent, `events`
            unread.

    Raises:
        ServerError: on entering, sending and leaving: the server cannot be reached, refuses, or
            stays away; with the remedy.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        audio: wire.AudioFormat | None = None,
        video: wire.VideoFormat | None = None,
        speaker: str | None = None,
        token: str | None = None,
        tls_context: tls.SSLContext | None = None,
        subscribe: bool = False,
        attempts: int = 10,
        max_buffered: int = MAX_BUFFERED,
        on_retry: Callable[[str, float], None] | None = None,
    ) -> None:
        self._url = address_of(url, "/v1/ingest")
        self._hello = wire.Hello(audio=audio, video=video, speaker=speaker, subscribe=subscribe)
        self._token, self._tls = token, tls_context
        self._attempts, self._on_retry = attempts, on_retry
        self._outbox = Outbox(max_buffered)
        self.session_id = ""
        self.limits: wire.IngestLimits | None = None
        self.dropped = self._outbox.dropped
        self.dropped["events"] = 0
        self._resume_token = ""
        self._place = Place(None, None)
        self._events: deque[Update] = deque()
        self._ready, self._work, self._news = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._ending = False
        self._progress = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            self._task.cancel()
            raise
        finally:
            ready.cancel()
        if not self._ready.is_set():
            self._task.result()
            raise ServerError("the server closed before it was ready", remedy="try again later")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._task is not None
        if error is None:
            await self.end()
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def unsent(self) -> int:
        """Bytes of media that have not been sent yet."""
        return self._outbox.unsent

    async def sound(
        self, samples: NDArray[np.int16] | NDArray[np.float32], captured_us: int
    ) -> None:
        """Send samples; they are converted to the encoding that was announced.

        Args:
            samples: int16, or float32 from -1 to 1: (n,), or (n, channels).
            captured_us: when the first was recorded, in microseconds on a clock that never goes
                back.
        """
        self._check_going()
        audio = self._hello.audio
        if audio is None:
            raise ServerError("no sound was announced", remedy="publish with audio=AudioFormat()")
        assert self.limits is not None
        pcm = encoded(samples, audio.encoding).reshape(-1, audio.channels)
        frame_bytes = pcm.itemsize * audio.channels
        room = (self.limits.max_message_bytes - wire.MEDIA_HEADER.size) // frame_bytes
        step = max(1, min(room, audio.sample_rate))  # no server takes many seconds at once
        for first in range(0, len(pcm), step):
            part = pcm[first : first + step]
            begin = captured_us + round(first / audio.sample_rate * 1e6)
            until = captured_us + (first + len(part)) / audio.sample_rate * 1e6
            self._outbox.add(wire.SOUND, begin, until, part.tobytes())
        await self._hand_over()

    async def picture(self, jpeg: bytes, captured_us: int) -> None:
        """Send one JPEG that was taken at `captured_us`, on the clock of the sound."""
        self._check_going()
        assert self.limits is not None
        limit = self.limits.max_message_bytes
        if len(jpeg) + wire.MEDIA_HEADER.size > limit:
            raise ServerError(
                f"a picture has {len(jpeg)} bytes, the server takes {limit}",
                remedy="make it smaller",
            )
        self._outbox.add(wire.PICTURE, captured_us, captured_us, jpeg)
        await self._hand_over()

    async def events(self) -> AsyncGenerator[Update, None]:
        """Yield the session's events, each once and in order, until it has ended.

        Raises:
            ServerError: the session failed.
        """
        assert self._task is not None
        self._task.add_done_callback(lambda _: self._news.set())
        while True:
            while self._events:
                yield self._events.popleft()
            if self._task.done():
                self._task.result()
                return
            self._news.clear()
            await self._news.wait()

    async def end(self) -> None:
        """Send what is left, and wait until the session has ended.

        Raises:
            ServerError: the session failed, or the connection was lost for good.
        """
        assert self._task is not None
        self._ending = True
        self._work.set()
        await asyncio.shield(self._task)

    async def _hand_over(self) -> None:
        self._work.set()
        await asyncio.sleep(0)

    def _check_going(self) -> None:
        assert self._task is not None, "enter it with `async with` first"
        if self._task.done():
            self._task.result()
        if self._task.done() or self._ending:
            raise ServerError("the session has ended", remedy="publish anew")

    async def _run(self) -> None:
        """Connect again and again, until the session has ended."""
        failures = 0
        while True:
            self._progress = False
            code, refusal = 1006, None
            try:
                async with open_connection(self._url, self._token, self._tls) as connection:
                    refusal = await self._serve(connection)
                code = connection.close_code or 1006
                problem = f"the connection was lost ({code} {connection.close_reason or ''})"
            except (OSError, InvalidHandshake) as error:
                if is_final(error) or not self.session_id:
                    raise unreachable(self._url, error) from error
                problem = f"no connection to {self._url} ({error})"
            if code == 1000:
                return
            failures = 1 if self._progress else failures + 1
            if code in _FINAL_CLOSES or not self.session_id or failures > self._attempts:
                raise refusal or ServerError(problem, remedy="publish anew")
            delay = retry_delay(failures)
            if self._on_retry is not None:
                self._on_retry(refusal.problem if refusal else problem, delay)
            await asyncio.sleep(delay)

    async def _serve(self, connection: ClientConnection) -> ServerError | None:
        """One connection from its hello to its close; return the server's last refusal."""
        sending: asyncio.Task[None] | None = None
        refusal: ServerError | None = None
        check_protocol(connection)
        try:
            await connection.send(wire.dump_message(self._greeting()))
            async for text in connection:
                message = read(text, wire.parse_ingest_message)
                if isinstance(message, wire.Ready) and sending is None:
                    self._take_ready(message)
                    sending = asyncio.create_task(self._send(connection))
                elif isinstance(message, wire.Ack):
                    self._progress = True
                    self._outbox.ack(message.kind, message.t)
                elif isinstance(message, wire.Error):
                    refusal = refused(message, self.session_id)
                elif message is not None and not isinstance(message, wire.Ready):
                    self._take_event(message)
        except ConnectionClosed:
            pass  # the close code says it
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        return refusal

    def _greeting(self) -> wire.Hello:
        if not self.session_id:
            return self._hello
        place = {"session_id": self.session_id, "resume_token": self._resume_token}
        since = self._place.since if self._hello.subscribe else None
        return self._hello.model_copy(update={**place, "since": since})

    async def _send(self, connection: ClientConnection) -> None:
        """Send everything there is, wait for more, and at last say that it was all."""
        try:
            while True:
                self._work.clear()
                while (data := self._outbox.next()) is not None:
                    await connection.send(data)
                if self._ending:
                    await connection.send(wire.dump_message(wire.End()))
                    return
                await self._work.wait()
        except ConnectionClosed:
            return  # whoever reads hears of it

    def _take_ready(self, ready: wire.Ready) -> None:
        self.session_id, self._resume_token = ready.session_id, ready.resume_token
        self.limits = ready.limits
        self._outbox.rewind()
        self._ready.set()

    def _take_event(self, update: Update) -> None:
        if not self._place.take(update):
            return
        if len(self._events) == MAX_EVENTS:
            self._events.popleft()
            self.dropped["events"] += 1
        self._events.append(update)
        self._news.set()


publish = Publisher
"""`async with publish(url, audio=...) as publisher`, beside `subscribe`."""


def encoded(samples: NDArray[np.int16] | NDArray[np.float32], encoding: str) -> NDArray[np.generic]:
    """Samples as little-endian int16 (`pcm_s16le`) or float32 (`pcm_f32le`), of the same shape."""
    if encoding == "pcm_s16le":
        if samples.dtype.kind == "f":
            scaled: NDArray[np.float32] = np.rint(samples * np.float32(32768))
            np.clip(scaled, -32768, 32767, out=scaled)
            return scaled.astype("<i2")
        return samples.astype("<i2", copy=False)
    if samples.dtype.kind == "i":
        return (samples / np.float32(32768)).astype("<f4")
    return samples.astype("<f4", copy=False)
