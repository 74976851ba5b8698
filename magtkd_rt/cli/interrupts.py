"""Ctrl-C and SIGTERM, for programs that have something to end in order."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

INTERRUPTED = 130


class Interrupts:
    """Ctrl-C and SIGTERM: the first ends the session in order, the next leaves at once.

    Attributes:
        first: ends the session in order; None where there is nothing to be ended in order.
        leave: what must be done even when leaving at once.
    """

    def __init__(self) -> None:
        self.first: Callable[[str], None] | None = None
        self.leave: Callable[[], None] = lambda: None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt, number)

    def _interrupt(self, number: int) -> None:
        if self.first is not None:
            stop, self.first = self.first, None
            stop("interrupted" if number == signal.SIGINT else "terminated")
            return
        self.leave()
        # Models may be computing on other threads, which nobody wants to wait for.
        os._exit(INTERRUPTED)
