"""When which sound reached this machine."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Final

KEPT: Final = 8192
"""Chunks remembered: more than four minutes of windows of 32 ms."""


class Arrivals:
    """Remembers for the latest sound when it arrived; older sound is forgotten."""

    def __init__(self) -> None:
        self._ends: deque[int] = deque(maxlen=KEPT)
        self._times: deque[int] = deque(maxlen=KEPT)

    def add(self, end: int, arrived_ns: int) -> None:
        """Sound up to sample `end` was there at `arrived_ns`."""
        if not self._ends or end > self._ends[-1]:
            self._ends.append(end)
            self._times.append(arrived_ns)

    def of(self, end: int) -> int | None:
        """When the sound before sample `end` was there, as far back as is known."""
        if not self._ends:
            return None
        place = bisect_left(self._ends, end)
        return self._times[min(place, len(self._times) - 1)]
