"""Let a recording arrive as fast as it was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from magtkd_rt.sources.base import Media, arrival_ns


class Clock(Protocol):
    """A monotonic clock in nanoseconds that can wait."""

    def now_ns(self) -> int:
        """Return the present time."""
        ...

    def sleep_until_ns(self, time_ns: int) -> None:
        """Return at `time_ns`, or at once if that is past."""
        ...


def paced(media: Iterable[Media], clock: Clock) -> Iterator[tuple[Media, int]]:
    """Yield each item when its own time has come, media zero being the moment of the first pull.

    A consumer or a machine that falls behind gets the overdue items at once, so that delays never
    add up.

    Yields:
        an item, and when it was due on the clock (nanoseconds): a late one is not younger for it.
    """
    zero = clock.now_ns()
    for item in media:
        due_ns = zero + arrival_ns(item)
        clock.sleep_until_ns(due_ns)
        yield item, due_ns
