"""Connections that are cut, and connections that come and go: is anything lost, or kept?"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from magtkd_rt import wire
from magtkd_rt.bench.emitter import SESSION
from magtkd_rt.bench.emitting import Emitting, emitting
from magtkd_rt.bench.readers import Reader
from magtkd_rt.bench.subscribers import RING
from magtkd_rt.clients import subscribe

CLIENTS: Final = 50
"""Clients that share the disconnections."""
RATE: Final = 50
"""Events a second meanwhile; enough that some are always missed."""
_CUTS_PER_S: Final = 25
_KEPT: Final = 10_000
"""Events that the server keeps for those who come back, as it does if not told otherwise."""
_WARM_UP: Final = 1000
"""Connections before the memory is looked at first: code is loaded, pools are filled."""
_AT_ONCE: Final = 50
_SETTLE_S: Final = 3.0


class Cutter:
    """A proxy on this machine that cuts connections, in the middle of a message where it happens.

    Args:
        host: of the server.
        port: of the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._open: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        self._server: asyncio.Server | None = None
        self.cuts = 0

    async def __aenter__(self) -> str:
        """Listen; returns the address, `host:port`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=256)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        """Listen no more, and cut what is left."""
        assert self._server is not None
        self._server.close()
        for pair in list(self._open):
            self._abort(pair)

    def cut(self) -> None:
        """Cut a connection, if there is any: both ends lose what was on its way."""
        if self._open:
            self._abort(random.choice(self._open))
            self.cuts += 1

    def _abort(self, pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self._open.remove(pair)
        for writer in pair:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, to_server = await asyncio.open_connection(self._host, self._port)
        pair = (writer, to_server)
        self._open.append(pair)
        await asyncio.gather(_pump(reader, to_server), _pump(theirs, writer))
        if pair in self._open:
            self._abort(pair)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on in small pieces, so that a cut may fall into a message."""
    try:
        while data := await reader.read(512):
            writer.write(data)
            await writer.drain()
        writer.close()
    except OSError:
        writer.transport.abort()


@dataclass(frozen=True, slots=True)
class Resumed:
    """What clients got that were cut off again and again.

    Attributes:
        cuts: connections that were cut.
        clients: how many there were.
        complete: those that got every event once, in order.
        snapshots: that a client got instead of events.
        events: of the session.
        seconds: it took.
    """

    cuts: int
    clients: int
    complete: int
    snapshots: int
    events: int
    seconds: float


async def measure_resuming(
    cuts: int, clients: int = CLIENTS, note: Callable[[str], None] = lambda _: None
) -> Resumed:
    """Cut so many connections at random moments while events come.

    Raises:
        ServerError: the server does not begin, or a client gives up.
    """
    begun = time.monotonic()
    async with emitting(clients * 3, _KEPT) as server:
        cutter = Cutter(*server.address)
        async with cutter as address:
            first = [asyncio.Event() for _ in range(clients)]
            tasks = [asyncio.create_task(_follow(address, event)) for event in first]
            await asyncio.gather(*(event.wait() for event in first))
            cutting = asyncio.create_task(_cut(cutter, cuts, note))
            while not cutting.done():
                state = await server.ask(f"emit {RATE} {RATE}")
            state = await server.ask("end")
            got = await asyncio.gather(*tasks)
    return Resumed(
        cuts=cutter.cuts,
        clients=clients,
        complete=sum(seqs == list(range(1, state["seq"] + 1)) for seqs, _ in got),
        snapshots=sum(snapshots for _, snapshots in got),
        events=state["seq"],
        seconds=time.monotonic() - begun,
    )


async def _follow(address: str, first: asyncio.Event) -> tuple[list[int], int]:
    """The numbers of the events that the client of this package gives, and the snapshots."""
    seqs, snapshots = [], 0
    async for update in subscribe(address, session=SESSION, since=0, attempts=100):
        first.set()
        if isinstance(update, wire.Snapshot):
            snapshots += 1
        else:
            seqs.append(update.seq)
    return seqs, snapshots


async def _cut(cutter: Cutter, cuts: int, note: Callable[[str], None]) -> None:
    while cutter.cuts < cuts:
        await asyncio.sleep(random.expovariate(_CUTS_PER_S))
        cutter.cut()
        if cutter.cuts % 50 == 0:
            note(f"{cutter.cuts} of {cuts} connections cut ...")


@dataclass(frozen=True, slots=True)
class Churn:
    """What is left of connections that came and went.

    Attributes:
        connections: how many.
        fresh_mb: memory of the server before the first one.
        before_mb: the same after some connections that are not counted.
        after_mb: the same after all, and a short rest.
        seconds: it took.
    """

    connections: int
    fresh_mb: float
    before_mb: float
    after_mb: float
    seconds: float


async def measure_churn(connections: int, note: Callable[[str], None] = lambda _: None) -> Churn:
    """Connect and disconnect so often: in order, without a word, and in the middle of the request.

    Raises:
        ServerError: the server does not begin.
    """
    async with emitting(_AT_ONCE * 4, RING) as server:
        await server.ask(f"emit 0 {RING}")
        fresh = await _settled_mb(server)
        note("warming up ...")
        await _come_and_go(server, _WARM_UP, lambda _: None)
        before = await _settled_mb(server)
        begun = time.monotonic()
        await _come_and_go(server, connections, note)
        seconds = time.monotonic() - begun
        after = await _settled_mb(server)
    return Churn(connections, fresh, before, after, seconds)


async def _settled_mb(server: Emitting) -> float:
    await asyncio.sleep(_SETTLE_S)  # peers that do not take part in a close have two seconds
    await server.ask("settle")
    return server.served.resident_mb()


async def _come_and_go(server: Emitting, count: int, note: Callable[[str], None]) -> None:
    """So many connections, `_AT_ONCE` at a time; each ends in one of three ways in turn."""
    room = asyncio.Semaphore(_AT_ONCE)
    loop = asyncio.get_running_loop()
    done = 0

    async def one(number: int) -> None:
        nonlocal done
        came = loop.create_future()

        def take(_message: bytes, _now: float) -> None:
            if not came.done():
                came.set_result(None)

        async with room:
            _, reader = await loop.create_connection(
                lambda: Reader(server.served.url, take), *server.address
            )
            reader.opened.add_done_callback(lambda opened: opened.exception())
            if number % 3 != 2:
                await asyncio.wait({came, reader.closed}, return_when=asyncio.FIRST_COMPLETED)
            if number % 3 == 0:
                reader.leave()
            else:
                reader.abort()
            await reader.closed
        done += 1
        if done % 500 == 0:
            note(f"{done} of {count} connections ...")

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))


def report_resuming(measured: Resumed) -> dict[str, Any]:
    """All of it, ready for JSON."""
    return {
        "disconnections": measured.cuts,
        "clients": measured.clients,
        "clients_with_every_event_in_order": measured.complete,
        "snapshots": measured.snapshots,
        "events": measured.events,
        "seconds": round(measured.seconds, 1),
    }


def report_churn(measured: Churn) -> dict[str, Any]:
    """All of it, ready for JSON."""
    return {
        "connections": measured.connections,
        "server_memory_mb": {
            "fresh": round(measured.fresh_mb, 2),
            "before": round(measured.before_mb, 2),
            "after": round(measured.after_mb, 2),
        },
        "growth": round(measured.after_mb / measured.before_mb - 1, 4),
        "seconds": round(measured.seconds, 1),
    }
