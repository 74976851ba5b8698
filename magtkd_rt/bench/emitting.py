"""The made-up session's server, run and commanded from the process that measures it."""

from __future__ import annotations

import json
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from magtkd_rt.bench.emitter import SESSION
from magtkd_rt.bench.served import Served, started
from magtkd_rt.errors import ServerError


@dataclass(frozen=True, slots=True)
class Emitting:
    """A running server whose session does as it is told.

    Attributes:
        served: its address and its process.
    """

    served: Served
    process: Process

    def url(self, since: int) -> str:
        """Where the session's events after a seq are, without a snapshot."""
        return f"{self.served.url}?session={SESSION}&since={since}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = urlsplit(self.served.url).netloc.rpartition(":")
        return host, int(port)

    async def ask(self, command: str) -> dict[str, Any]:
        """Have a command of the emitter done, and give its answer.

        Raises:
            ServerError: the server has gone.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\n".encode())
        answer = await self.process.stdout.readline()
        if not answer:
            raise ServerError("the server has gone", remedy="look why it did")
        return dict(json.loads(answer))


@asynccontextmanager
async def emitting(subscribers: int, ring_events: int) -> AsyncIterator[Emitting]:
    """Run such a server until the block ends.

    Args:
        subscribers: how many it has to admit.
        ring_events: how many events it keeps.

    Raises:
        ServerError: it does not begin.
    """
    arguments = ["-m", "magtkd_rt.bench.emitter", f"--max-subscribers={subscribers}"]
    async with started([*arguments, f"--ring-events={ring_events}"]) as (served, process):
        yield Emitting(served, process)
