"""Many subscribers of one session: how late do they get its events, and what does it cost?"""

from __future__ import annotations

import asyncio
import re
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from magtkd_rt.bench.emitting import Emitting, emitting
from magtkd_rt.bench.readers import open_reader, open_readers
from magtkd_rt.runtime.bench import percentiles

RING: Final = 1000
"""Events that the server keeps; full before anything is measured, lest it count as growth."""
_WARM_UP: Final = 20
"""Events that are not measured, the first to all subscribers."""
_SMALL: Final = 4096
"""Bytes that the system holds for a subscriber that never reads; the least that it does."""
_STALLED_S: Final = 60.0
_ARRIVE_WITHIN_S: Final = 10.0
_HEAD: Final = re.compile(rb'\{"seq":(\d+)(?:.*?)"emitted_at":"([^"]+)"')


class Arrivals:
    """When which event reached whom.

    Attributes:
        delays_ms: of every event at every subscriber, from its stamp to its arrival.
        seqs: what each subscriber got, in its order.
    """

    def __init__(self, count: int) -> None:
        self.delays_ms = array("d")
        self.seqs = [array("q") for _ in range(count)]
        self._emitted: dict[int, float] = {}

    def taker(self, number: int) -> Callable[[bytes, float], None]:
        """What takes the messages of one subscriber."""
        seqs = self.seqs[number]

        def take(message: bytes, now: float) -> None:
            seq = int(message[7 : message.index(b",")])
            emitted = self._emitted.get(seq)
            if emitted is None:
                emitted = self._emitted[seq] = _emitted_at(message)
            seqs.append(seq)
            self.delays_ms.append((now - emitted) * 1000)

        return take

    def forget(self) -> None:
        """Begin anew."""
        del self.delays_ms[:]
        for seqs in self.seqs:
            del seqs[:]


def _emitted_at(message: bytes) -> float:
    found = _HEAD.match(message)
    assert found is not None
    return datetime.fromisoformat(found[2].decode()).timestamp()


@dataclass(frozen=True, slots=True)
class FanOut:
    """One session and its subscribers.

    Attributes:
        count: how many subscribers.
        rate: events a second.
        seconds: for how long.
        delays_ms: from emission to receipt, of all events and subscribers.
        finals: final results that were emitted.
        finals_delivered: share of them that arrived, of all subscribers together.
        complete: subscribers that got every event in order.
        server: processor time of the server as a share of one core.
        here: the same of this process, which reads.
        memory_mb: of the server before and after.
        counters: what the server refused or dropped, by name.
    """

    count: int
    rate: float
    seconds: float
    delays_ms: array[float]
    finals: int
    finals_delivered: float
    complete: int
    server: float
    here: float
    memory_mb: tuple[float, float]
    counters: dict[str, int]


async def measure_subscribers(
    count: int,
    rate: float,
    seconds: float,
    *,
    stalled: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> FanOut:
    """Emit to so many subscribers, and look when what arrives.

    Args:
        count: how many.
        rate: events a second.
        seconds: for how long.
        stalled: one more subscriber connects and never reads.
        note: is told what goes on.

    Raises:
        ServerError: the server does not begin, or refuses a subscriber.
    """
    arrivals = Arrivals(count)
    async with emitting(count + 100, RING) as server:
        note(f"connecting {count} subscribers ...")
        url = server.url((await server.ask(f"emit 0 {RING}"))["seq"])
        readers = await open_readers(url, [arrivals.taker(at) for at in range(count)])
        await server.ask(f"emit {rate} {_WARM_UP}")
        await _arrived(server, arrivals)
        arrivals.forget()
        stalling = asyncio.create_task(_never_read(server)) if stalled else None
        await asyncio.sleep(1)
        note(f"{count} subscribers, {rate:g} events a second, {seconds:g} s ...")
        memory, busy = server.served.resident_mb(), server.served.processor_s()
        begun, here = time.monotonic(), time.process_time()
        told = await server.ask(f"emit {rate} {round(rate * seconds)}")
        spent = time.monotonic() - begun
        server_share = (server.served.processor_s() - busy) / spent
        here_share = (time.process_time() - here) / spent
        state = await _arrived(server, arrivals)
        after = server.served.resident_mb()
        for reader in readers:
            reader.abort()
        if stalling is not None:
            stalling.cancel()
            await asyncio.wait({stalling})
    first, finals = told["seq"] - round(rate * seconds) + 1, set(told["finals"])
    wanted = array("q", range(first, told["seq"] + 1))
    got = sum(len(finals.intersection(seqs)) for seqs in arrivals.seqs)
    return FanOut(
        count=count,
        rate=rate,
        seconds=spent,
        delays_ms=arrivals.delays_ms,
        finals=len(finals),
        finals_delivered=got / (len(finals) * count) if finals else 1.0,
        complete=sum(seqs == wanted for seqs in arrivals.seqs),
        server=server_share,
        here=here_share,
        memory_mb=(memory, after),
        counters=state["counters"],
    )


async def _never_read(server: Emitting) -> None:
    """Subscribe to everything that is kept, and take nothing of it; anew after a while.

    The server will have cut it off by then, which nobody who does not read can know.
    """
    while True:
        reader = await open_reader(server.served.url, lambda _message, _now: None, _SMALL)
        reader.stop_reading()
        try:
            await asyncio.sleep(_STALLED_S)
        finally:
            reader.abort()


async def _arrived(server: Emitting, arrivals: Arrivals) -> dict[str, Any]:
    """Wait a while for the last event to reach everybody; the server's state then."""
    state = await server.ask("settle")
    until = time.monotonic() + _ARRIVE_WITHIN_S
    while time.monotonic() < until:
        if all(seqs and seqs[-1] == state["seq"] for seqs in arrivals.seqs):
            break
        await asyncio.sleep(0.1)
    return await server.ask("settle")


def report(measured: FanOut) -> dict[str, Any]:
    """All of it, ready for JSON."""
    before, after = measured.memory_mb
    delays = measured.delays_ms
    return {
        "subscribers": measured.count,
        "events_per_second": measured.rate,
        "seconds": round(measured.seconds, 1),
        "delay_ms": percentiles(delays) | {"most": round(max(delays, default=0.0), 2)},
        "finals": measured.finals,
        "finals_delivered": measured.finals_delivered,
        "subscribers_with_every_event_in_order": measured.complete,
        "server_share_of_one_core": round(measured.server, 4),
        "readers_share_of_one_core": round(measured.here, 4),
        "server_memory_mb": {"before": round(before, 2), "after": round(after, 2)},
        "counters": measured.counters,
    }
