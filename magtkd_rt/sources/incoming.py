"""From the server's event loop to the reader of an ingest source: a bounded queue."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import NANOSECONDS

MAX_BYTES: Final = 16 << 20
"""Sound (as floats) and pictures (as JPEG) that may wait."""
MAX_AGE_NS: Final = 10 * NANOSECONDS
"""Nothing more is taken while something has waited for so long."""


@dataclass(frozen=True, slots=True, eq=False)
class SentSound:
    """Sound as a sender gave it.

    Attributes:
        begin_ns: when its first sample was captured, since media zero; may be negative.
        samples: float32 (n, channels).
        rate: samples a second.
        run: sound of one run follows without a gap.
        arrived_ns: when it reached this machine, on the monotonic clock.
    """

    begin_ns: int
    samples: NDArray[np.float32]
    rate: int
    run: int
    arrived_ns: int

    @property
    def end_ns(self) -> int:
        """When its last sample had been captured, since media zero."""
        return self.begin_ns + len(self.samples) * NANOSECONDS // self.rate

    @property
    def size(self) -> int:
        """Bytes."""
        return self.samples.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class SentPicture:
    """A picture as a sender gave it, whose header was looked at.

    Attributes:
        time_ns: when it was captured, since media zero.
        jpeg: the picture.
        arrived_ns: when it reached this machine, on the monotonic clock.
    """

    time_ns: int
    jpeg: bytes
    arrived_ns: int

    @property
    def end_ns(self) -> int:
        """When it was captured: it lasts no time."""
        return self.time_ns

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.jpeg)


class Incoming:
    """One thread puts, another gets, in order.

    Args:
        max_bytes: that may wait.
        max_age_ns: of the oldest that waits; beyond it nothing more is taken.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, max_age_ns: int = MAX_AGE_NS) -> None:
        self._max_bytes = max_bytes
        self._max_age_ns = max_age_ns
        self._queue: deque[SentSound | SentPicture] = deque()
        self._bytes = 0
        self._ended = False
        self._changed = threading.Condition()

    @property
    def over(self) -> bool:
        """Whether nothing waits and nothing more will come."""
        with self._changed:
            return self._ended and not self._queue

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        with self._changed:
            return not self._queue

    def put(self, item: SentSound | SentPicture) -> bool:
        """Take one item; returns False where there is no room, or after the end."""
        with self._changed:
            full = bool(self._queue) and (
                self._bytes + item.size > self._max_bytes
                or item.arrived_ns - self._queue[0].arrived_ns > self._max_age_ns
            )
            if full or self._ended:
                return False
            self._queue.append(item)
            self._bytes += item.size
            self._changed.notify()
            return True

    def get(self, timeout: float | None) -> SentSound | SentPicture | None:
        """Wait for the next item, at most `timeout` seconds; None without one, or at the end."""
        with self._changed:
            if not self._queue and not self._ended:
                self._changed.wait(timeout)
            if not self._queue:
                return None
            item = self._queue.popleft()
            self._bytes -= item.size
            return item

    def end(self) -> None:
        """Take nothing more; what waits can still be got."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Take nothing more; what waits is given up."""
        with self._changed:
            self._ended = True
            self._queue.clear()
            self._bytes = 0
            self._changed.notify_all()
