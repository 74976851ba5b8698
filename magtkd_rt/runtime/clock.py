"""Clocks in nanoseconds that can wait: the machine's, and one that tests move by hand."""

from __future__ import annotations

import threading
import time


class MonotonicClock:
    """The machine's monotonic clock; whoever waits on it can be woken for good."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def now_ns(self) -> int:
        """Return the present time."""
        return time.monotonic_ns()

    def sleep_until_ns(self, time_ns: int) -> None:
        """Return at `time_ns`, or at once if that is past or the clock was stopped."""
        remaining = time_ns - self.now_ns()
        if remaining > 0:
            self._stopped.wait(remaining / 1e9)

    def stop(self) -> None:
        """Let nobody wait any more."""
        self._stopped.set()


class VirtualClock:
    """A clock that stands still but when somebody waits: an hour passes at once."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Return the present time."""
        return self._now_ns

    def sleep_until_ns(self, time_ns: int) -> None:
        """Make it `time_ns`, unless that is past."""
        self._now_ns = max(self._now_ns, time_ns)

    def stop(self) -> None:
        """Nobody ever waits."""
