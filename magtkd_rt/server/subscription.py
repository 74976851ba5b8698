"""One subscriber's place in the stream: what it still has to be sent, within bounds."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Entry:
    """One event, serialised once for all subscribers.

    Attributes:
        seq: its number in the session.
        data: the JSON text, UTF-8.
        provisional: whether it may give way to something newer (a provisional emotion or a
            transcript that is not final).
        superseded: whether something newer of the same utterance has been published since.
    """

    seq: int
    data: bytes
    provisional: bool
    superseded: bool = False


class Subscription:
    """A bounded queue between the hub and one subscriber; one task reads it.

    First comes the opening message (a snapshot) if there is one, then the replay, read from the
    session's ring as the reader gets on, then what was published since. Only the last needs a
    queue. When that is full, superseded events give way, then other provisional ones; where that
    is not enough the subscription overflows: it delivers nothing more.

    Args:
        lookup: gives the ring's entry of a seq, or None where it has left the ring.
        replay: the seqs to read from the ring first.
        opening: a message to send before everything else.
        max_messages: bound of the queue.
        max_bytes: bound of the queue's content; one message always fits.
        counters: counts `dropped_provisional` and `slow_readers`.
    """

    def __init__(
        self,
        lookup: Callable[[int], Entry | None],
        replay: range,
        opening: bytes | None,
        *,
        max_messages: int,
        max_bytes: int,
        counters: Counter[str],
    ) -> None:
        self._lookup = lookup
        self._replay = replay
        self._opening = opening
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._counters = counters
        self._queue: deque[Entry] = deque()
        self._bytes = 0
        self._wakeup = asyncio.Event()
        self._finished = False
        self.overflowed = False
        """True once the reader was too slow even for what must not be dropped."""
        self.on_overflow: Callable[[], object] | None = None
        """Called once, at the moment of the overflow, to interrupt a send that is stuck."""

    def offer(self, entry: Entry) -> None:
        """Queue one event, making room where the rules allow it."""
        if self.overflowed or self._finished:
            return
        if not self._fits(entry):
            self._make_room(entry, lambda old: old.superseded)
        if not self._fits(entry) and entry.provisional:
            self._counters["dropped_provisional"] += 1
            return
        if not self._fits(entry):
            self._make_room(entry, lambda old: old.provisional)
        if not self._fits(entry):
            self._overflow()
            if self.on_overflow is not None:
                self.on_overflow()
            return
        self._queue.append(entry)
        self._bytes += len(entry.data)
        self._wakeup.set()

    def finish(self) -> None:
        """Say that nothing more will be offered: `next` gives None after what is queued."""
        self._finished = True
        self._wakeup.set()

    async def next(self) -> bytes | None:
        """Wait for the next message to send; None when there will be none."""
        if self._opening is not None:
            opening, self._opening = self._opening, None
            return opening
        if not self.overflowed and self._replay:
            entry = self._lookup(self._replay[0])
            self._replay = self._replay[1:]
            if entry is not None:
                return entry.data
            self._overflow()  # slower than the ring is long
        while not self.overflowed:
            if self._queue:
                entry = self._queue.popleft()
                self._bytes -= len(entry.data)
                return entry.data
            if self._finished:
                break
            self._wakeup.clear()
            await self._wakeup.wait()
        return None

    @property
    def depth(self) -> int:
        """Messages that wait in the queue."""
        return len(self._queue)

    def _fits(self, entry: Entry) -> bool:
        if not self._queue:
            return True
        return (
            len(self._queue) < self._max_messages
            and self._bytes + len(entry.data) <= self._max_bytes
        )

    def _make_room(self, entry: Entry, may_go: Callable[[Entry], bool]) -> None:
        """Drop queued entries that may go, the oldest first, until `entry` fits."""
        for old in [queued for queued in self._queue if may_go(queued)]:
            if self._fits(entry):
                return
            self._queue.remove(old)
            self._bytes -= len(old.data)
            self._counters["dropped_provisional"] += 1

    def _overflow(self) -> None:
        self.overflowed = True
        self._queue.clear()
        self._bytes = 0
        self._counters["slow_readers"] += 1
        self._wakeup.set()
