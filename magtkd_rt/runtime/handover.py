"""From a thread to the event loop: a bounded queue that holds back the thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """One thread puts, one task of the loop gets, in order.

    Args:
        loop: the loop of the task that gets.
        bound: items that may wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, bound: int = 64) -> None:
        self._loop = loop
        self._bound = bound
        self._queue: deque[T] = deque()
        self._closed = False
        self._changed = threading.Condition()
        self._news = asyncio.Event()

    def put(self, item: T) -> bool:
        """Wait until there is room; returns False where nobody gets any more."""
        with self._changed:
            while len(self._queue) >= self._bound and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._queue.append(item)
            wake = len(self._queue) == 1
        if wake:
            self._tell()
        return True

    def close(self) -> None:
        """Nothing more comes; what waits can still be got. From any thread, any number of times."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._tell()

    async def get(self) -> T | None:
        """Wait for the next item; None after the last one."""
        while True:
            self._news.clear()
            with self._changed:
                if self._queue:
                    self._changed.notify_all()
                    return self._queue.popleft()
                if self._closed:
                    return None
            await self._news.wait()

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has gone, and with it whoever would get
            self._loop.call_soon_threadsafe(self._news.set)
