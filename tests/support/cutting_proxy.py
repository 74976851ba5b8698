"""A relay to a server that breaks connections at random moments."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class CuttingProxy:
    """Cuts each connection after a random while, until enough were cut.

    Args:
        port: the server's, on this machine.
        wanted: connections to cut.
        spared: so many connections at first live for `long` seconds at least.
        long: a client whose very first connection fails gives up, and should.
        seed: of the moments.
    """

    def __init__(
        self, port: int, *, wanted: int, spared: int, long: float = 0.5, seed: int = 1
    ) -> None:
        self.port = 0
        self.cuts = 0
        self.enough = asyncio.Event()
        self.answers = asyncio.Event()
        """Cleared, nothing that the server says gets through."""
        self.answers.set()
        self._server_port = port
        self._wanted, self._spared, self._long = wanted, spared, long
        self._random = random.Random(seed)
        self._open: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[CuttingProxy, None]:
        """Relay until the block ends."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            yield self

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        life = self._life()
        done: set[asyncio.Task[None]] = set()
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        copies = [
            asyncio.create_task(_copy(reader, back)),
            asyncio.create_task(_copy(there, writer, self.answers)),
        ]
        self._open.update(copies)
        try:
            done, _ = await asyncio.wait(copies, timeout=life, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                self.cuts += 1
                if self.cuts >= self._wanted:
                    self.enough.set()
            elif copies[1] in done:
                await writer.drain()
        finally:
            for task in copies:
                task.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
            self._open.difference_update(copies)
            back.transport.abort()
            if done:
                writer.close()
            else:
                writer.transport.abort()

    def cut_all(self) -> None:
        """Break every connection that there is."""
        for task in self._open:
            task.cancel()

    def _life(self) -> float | None:
        """Seconds that a connection lives; None lets it live."""
        if self.cuts >= self._wanted:
            return None
        life = self._random.uniform(0, 0.1)
        if self._spared:
            self._spared -= 1
            life += self._long
        return life


async def _copy(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    allowed: asyncio.Event | None = None,
) -> None:
    try:
        while data := await reader.read(4096):
            if allowed is not None:
                await allowed.wait()
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
