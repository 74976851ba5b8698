"""The most memory that a program held, the processes that it started included.

Read from outside, from Linux's /proc: what the kernel tells a parent (`ru_maxrss`) begins with the
parent's own size at the fork.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

_LOOK_EVERY_S: Final = 0.25


class PeakWatch(threading.Thread):
    """Looks at a process and its children until it has ended.

    Each one's own peak is what the kernel remembers, so only what is new in the last moments of a
    process can be missed. The sum of the peaks is what is told, though they need not be of the same
    moment.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(name="magtkd-peak", daemon=True)
        self._pid = pid
        self._peaks: dict[int, int] = {}
        self._over = threading.Event()

    @property
    def peak_kb(self) -> int:
        """In units of 1024 bytes; 0 where there is no /proc."""
        return sum(self._peaks.values())

    def stop(self) -> None:
        """Look no more, though the process has not ended."""
        self._over.set()
        self.join()

    def run(self) -> None:
        """Look, until the process has ended."""
        while not self._over.wait(_LOOK_EVERY_S):
            for pid in (self._pid, *children(self._pid)):
                peak = _peak_kb(pid)
                if peak is not None:
                    self._peaks[pid] = peak
                elif pid == self._pid:
                    self._over.set()


def children(pid: int) -> list[int]:
    """The processes that a process has started and that go on."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    try:
        return [int(child) for each in lists for child in each.read_text().split()]
    except OSError:  # it has just ended
        return []


def _peak_kb(pid: int) -> int | None:
    """The most resident memory of a process since it began; None once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
