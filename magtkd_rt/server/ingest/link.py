"""One connection of a sender: what it sends is taken or refused, and acknowledged."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal

from websockets.asyncio.server import ServerConnection

from magtkd_rt import wire
from magtkd_rt.server.ingest.limits import MESSAGE_COST, Bucket, Refused, SenderLimits
from magtkd_rt.server.ingest.parser import MediaParser, Sound, read_text
from magtkd_rt.server.ingest.session import SenderSession
from magtkd_rt.server.logs import ServerLog
from magtkd_rt.sources.ingest import NoRoom
from magtkd_rt.sources.jpeg import BadPicture
from magtkd_rt.sources.timeline import Untimely

ACK_SECONDS: Final = 1.0
_WIDEST: Final = 4  # bytes of a sample


class SenderLink:
    """Reads a connection for a session.

    Args:
        connection: after its hello.
        session: whose media it brings.
        hello: what was announced.
        limits: what is put up with.
        counters: counts each refusal as `ingest_` and its code.
        clock: seconds that never go back.
        log: is told of refusals.
    """

    def __init__(
        self,
        connection: ServerConnection,
        session: SenderSession,
        hello: wire.Hello,
        limits: SenderLimits,
        counters: Counter[str],
        clock: Callable[[], float],
        log: ServerLog,
    ) -> None:
        self.replaced = asyncio.Event()
        """Set once another connection has taken over."""
        self._connection = connection
        self._session = session
        self._log = log
        self._limits = limits
        self._counters = counters
        self._parser = MediaParser(hello, limits)
        self._rate = hello.audio.sample_rate if hello.audio is not None else 0
        announced = self._rate * (hello.audio.channels if hello.audio is not None else 0) * _WIDEST
        rate = limits.bytes_per_second + announced
        self._bytes = Bucket(rate, rate * limits.burst_seconds, clock)
        self._patience = Bucket(1.0, limits.refusals, clock)
        self._refusals: Counter[str] = Counter()
        self._acknowledged: dict[int, int | None] = {}
        self._ended = False

    async def read(self) -> Refused:
        """Take what is sent, until the stream cannot be trusted any more; returns why.

        Raises:
            ConnectionClosed: it was closed or lost.
        """
        while True:
            try:
                message = await self._receive()
            except Refused as refused:
                await self._complain(refused)
                return refused
            if self._session.link is not self:
                continue  # another connection has taken over; this one is about to be closed
            self._session.confirm()
            try:
                self._take(message)
            except Refused as refused:
                await self._complain(refused)
                if not self._patience.take(1):
                    return refused
                await asyncio.sleep(self._bytes.seconds_to_wait)
            else:
                if self._ended:
                    await self.acknowledge_now()

    async def acknowledge(self) -> None:
        """Say once a second what was taken.

        Raises:
            ConnectionClosed: it was closed or lost.
        """
        while True:
            await self.acknowledge_now()
            await asyncio.sleep(ACK_SECONDS)

    async def acknowledge_now(self) -> None:
        """Say what was taken since it was said last."""
        timeline = self._session.source.timeline
        kinds: list[tuple[Literal[1, 2], int | None]] = [
            (wire.SOUND, timeline.sound_end_ns),
            (wire.PICTURE, timeline.picture_ns),
        ]
        for kind, taken_ns in kinds:
            if taken_ns is not None and self._acknowledged.get(kind) != taken_ns:
                self._acknowledged[kind] = taken_ns
                await self._connection.send(
                    wire.dump_message(wire.Ack(kind=kind, t=taken_ns / 1e9))
                )

    async def _receive(self) -> str | bytes:
        idle = None if self._ended else self._limits.idle_seconds
        try:
            async with asyncio.timeout(idle):
                return await self._connection.recv()
        except TimeoutError:
            raise Refused(
                "timeout", f"nothing was sent for {idle:g} s; come back with the resume_token"
            ) from None

    def _take(self, message: str | bytes) -> None:
        """Hand a message on.

        Raises:
            Refused: it is not accepted.
        """
        if not self._bytes.take(len(message) + MESSAGE_COST):
            most = self._limits.bytes_per_second
            raise Refused(
                "too_fast",
                f"more than {most} bytes a second beside the sound; send smaller pictures",
            )
        if self._ended:
            raise Refused("bad_request", "nothing is taken after end; begin a new session")
        if isinstance(message, str):
            if len(message) > self._limits.text_bytes:
                raise Refused(
                    "too_large", f"a long text; send {self._limits.text_bytes} bytes at most"
                )
            read_text(message)
            self._ended = True
            self._session.source.end()
            return
        self._take_media(message)

    def _take_media(self, message: bytes) -> None:
        media = self._parser.parse(message)
        source = self._session.source
        try:
            if isinstance(media, Sound):
                source.put_sound(media.begin_us, media.samples, self._rate)
            else:
                source.put_picture(media.time_us, media.jpeg)
        except (Untimely, BadPicture) as bad:
            raise Refused(bad.code, str(bad)) from bad
        except NoRoom as full:
            raise Refused(
                "overload", "media was lost, the session cannot keep up; send less"
            ) from full

    async def _complain(self, refused: Refused) -> None:
        """Count a refusal; tell the sender of the 1st, 10th, 100th ... of each kind."""
        self._counters[f"ingest_{refused.code}"] += 1
        self._refusals[refused.code] += 1
        count = self._refusals[refused.code]
        if count == 10 ** (len(str(count)) - 1):
            said = refused.problem if count == 1 else f"{count} times by now: {refused.problem}"
            address = (self._connection.remote_address or [""])[0]
            about = {"session_id": self._session.session_id, "count": count}
            self._log.lost(f"ingest_{refused.code}", address, refused.problem, **about)
            error = wire.Error(code=refused.code, message=said)
            await self._connection.send(wire.dump_message(error))
