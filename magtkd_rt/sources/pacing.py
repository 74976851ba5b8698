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


def paced(media: Iterable[Media], clock: Clock) -> Iterator[Media]:
    """Yield each item when its own time has come, media zero being the moment of the first pull.

    A consumer that falls behind gets the overdue items at once, so that delays never add up.
    """
    zero = clock.now_ns()
    for item in media:
        clock.sleep_until_ns(zero + arrival_ns(item))
        yield item
