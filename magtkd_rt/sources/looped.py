"""A source heard several times over, on one time line: an hour out of half a minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from magtkd_rt.core.media import NANOSECONDS, SAMPLE_RATE, AudioChunk
from magtkd_rt.sources.base import Media, Notice, Source, arrival_ns

_SAMPLE_NS = NANOSECONDS // SAMPLE_RATE


class LoopedSource:
    """Opens a source again whenever it ends.

    Args:
        reopen: opens it; the same each time.
        times: how often it is heard.
    """

    def __init__(self, reopen: Callable[[], Source], times: int) -> None:
        self._reopen = reopen
        self._times = times
        self._current = reopen()
        self._closed = False
        once = self._current.info
        whole = None if once.duration_ns is None else once.duration_ns * times
        self.info = replace(once, duration_ns=whole)
        self.problems: list[str] = self._current.problems
        self.notices: deque[Notice] = self._current.notices
        self.dropped: Mapping[str, int] = self._current.dropped

    def media(self) -> Iterator[Media]:
        """Yield everything, each time where the time before ended."""
        shift = 0  # samples, which convert exactly to nanoseconds
        for n in range(self._times):
            if n:
                self._current = self._reopen()
            end_ns = 0
            for item in self._current.media():
                if self._closed:
                    break
                end_ns = max(end_ns, arrival_ns(item))
                if isinstance(item, AudioChunk):
                    yield replace(item, start=item.start + shift)
                else:
                    yield replace(item, time_ns=item.time_ns + shift * _SAMPLE_NS)
            self._current.close()
            if self._closed:
                return
            shift += -(-end_ns // _SAMPLE_NS)

    def close(self) -> None:
        """End `media()` at its next item."""
        self._closed = True
        self._current.close()
