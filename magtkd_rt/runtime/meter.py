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
_BY_GRAPHS: Final[frozenset[Part]] = frozenset(
    {"voices", "text", "audio", "video", "identity", "fusion"}
)
"""Parts that run the bundle's graphs; theirs may be more threads, or a GPU."""


class Meter:
    """Adds up the time that passes inside each part, or the processor's on a part's only thread.

    Each part must be measured by one thread at a time; different parts may be by several.

    Args:
        one_core: whether each graph computes on the thread that runs it, and nowhere else.
    """

    def __init__(self, *, one_core: bool = False) -> None:
        self._on_one_thread = _ON_ONE_THREAD | _BY_GRAPHS if one_core else _ON_ONE_THREAD
        self.spent_ns: Counter[Part] = Counter()
        """Time per part."""
        self.calls: Counter[Part] = Counter()
        """Measurements per part."""

    @contextmanager
    def measure(self, part: Part) -> Iterator[None]:
        """Count what happens inside as one call."""
        now_ns = time.thread_time_ns if part in self._on_one_thread else time.perf_counter_ns
        start = now_ns()
        try:
            yield
        finally:
            self.spent_ns[part] += now_ns() - start
            self.calls[part] += 1
