"""From the source's thread to the senses': a bounded queue that says what it drops."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

from magtkd_rt.core.media import SAMPLE_RATE, AudioChunk
from magtkd_rt.sources.base import Media

MAX_PICTURES: Final = 8
"""Pictures that may wait; a live source's oldest one gives way to a new one."""
MAX_SOUND: Final = 30 * SAMPLE_RATE
"""Samples that may wait, all channels together; beyond it a live source's sound is lost."""
MAX_ITEMS_AHEAD: Final = 64
"""Items that a source which can wait may be ahead."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrived:
    """Media, and when it reached this machine on the session's clock."""

    item: Media
    arrived_ns: int


class Intake:
    """Keeps the order of the media. One thread puts, another gets.

    Args:
        may_wait: whether the source is held back when the queue is full (a recording that is
            heard as fast as possible), instead of losing media.
    """

    def __init__(self, *, may_wait: bool) -> None:
        self.counters: Counter[str] = Counter()
        """What was dropped: `pictures`, and `sound_samples`."""
        self._may_wait = may_wait
        self._queue: deque[Arrived] = deque()
        self._pictures = 0
        self._sound = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, arrived: Arrived) -> None:
        """Take one item; after `close` it is ignored."""
        with self._changed:
            while self._may_wait and len(self._queue) >= MAX_ITEMS_AHEAD and not self._closed:
                self._changed.wait()
            if self._closed or not self._has_room(arrived.item):
                return
            self._count(arrived.item, 1)
            self._queue.append(arrived)
            self._changed.notify_all()

    def get(self) -> Arrived | None:
        """Wait for the next item; None after the last one."""
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            if not self._queue:
                return None
            arrived = self._queue.popleft()
            self._count(arrived.item, -1)
            self._changed.notify_all()
            return arrived

    def close(self) -> None:
        """Nothing more comes; what waits can still be got."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self, item: Media) -> bool:
        if self._may_wait:
            return True
        if isinstance(item, AudioChunk):
            if self._sound + len(item.samples) <= MAX_SOUND:
                return True
            self.counters["sound_samples"] += len(item.samples)
            return False
        if self._pictures >= MAX_PICTURES:
            oldest = next(a for a in self._queue if not isinstance(a.item, AudioChunk))
            self._queue.remove(oldest)
            self._count(oldest.item, -1)
            self.counters["pictures"] += 1
        return True

    def _count(self, item: Media, sign: int) -> None:
        if isinstance(item, AudioChunk):
            self._sound += sign * len(item.samples)
        else:
            self._pictures += sign
