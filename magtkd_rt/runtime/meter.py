"""What each part of the runtime costs: calls and time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

Part = Literal[
    "source",
    "vad",
    "voices",
    "faces",
    "core",
    "asr",
    "text",
    "audio",
    "video",
    "identity",
    "fusion",
]

_ON_ONE_THREAD: Final[frozenset[Part]] = frozenset({"core"})
"""Parts that never hand work to other threads; while theirs waits for the interpreter, others work,
and that is counted there."""


class Meter:
    """Adds up the time that passes inside each part, or the processor's on a part's only thread.

    Each part must be measured by one thread at a time; different parts may be by several.
    """

    def __init__(self) -> None:
        self.spent_ns: Counter[Part] = Counter()
        """Time per part."""
        self.calls: Counter[Part] = Counter()
        """Measurements per part."""

    def add(self, part: Part, elapsed_ns: int) -> None:
        """Count one call of a part."""
        self.spent_ns[part] += elapsed_ns
        self.calls[part] += 1

    @contextmanager
    def measure(self, part: Part) -> Iterator[None]:
        """Count what happens inside as one call."""
        now_ns = time.thread_time_ns if part in _ON_ONE_THREAD else time.perf_counter_ns
        start = now_ns()
        try:
            yield
        finally:
            self.add(part, now_ns() - start)
