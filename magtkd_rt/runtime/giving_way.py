"""What is left out, and in which order, when the machine falls behind; and when it comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from magtkd_rt.runtime.status import Report

BEHIND_MS: Final = 1_500.0
"""Lag at which something more gives way."""
FINE_MS: Final = 500.0
"""Lag under which there is room."""
NEXT_AFTER_NS: Final = 2_000_000_000
"""What gave way needs so long to show, before more does."""
BACK_AFTER_NS: Final = 5_000_000_000
"""There must have been room for so long before the last thing comes back."""
BACK_AT_MOST_NS: Final = 80_000_000_000
"""What comes back and has to go again at once waits twice as long each time, up to this."""


@dataclass(frozen=True, slots=True)
class Sacrifice:
    """Something that can be left out: its name, and what `status` says of it."""

    name: str
    gone: str
    back: str


PICTURES: Final = Sacrifice(
    "pictures", "only two pictures a second are looked at", "all pictures are looked at again"
)
DRAFTS: Final = Sacrifice(
    "drafts", "no provisional results are made", "provisional results are made again"
)
LARGE_ASR: Final = Sacrifice(
    "large_asr",
    "words of new utterances are by the smaller transcriber",
    "words of new utterances are by the larger transcriber again",
)
SENSES: Final = Sacrifice(
    "senses", "only words count, neither voice nor face", "voice and face count again"
)


class GivingWay:
    """Lets one thing after another give way while lag stays, and takes back the last one first.

    Args:
        order: what may give way, first to last.
    """

    def __init__(self, order: Sequence[Sacrifice]) -> None:
        self._order = order
        self._level = 0
        self._stepped_ns: int | None = None
        self._fine_since_ns: int | None = None
        self._back_after_ns = BACK_AFTER_NS
        self._taken_back_ns: int | None = None

    @property
    def gone(self) -> frozenset[str]:
        """Names of what is left out at present."""
        return frozenset(one.name for one in self._order[: self._level])

    def observe(self, now_ns: int, lag_ms: float) -> Report | None:
        """Look at the lag; returns what is to be told where something changed.

        Args:
            now_ns: the present on any clock that never goes back.
            lag_ms: how far the machine is behind its input.
        """
        if lag_ms > FINE_MS:
            self._fine_since_ns = None
        elif self._fine_since_ns is None:
            self._fine_since_ns = now_ns
        if lag_ms >= BEHIND_MS:
            return self._leave_out(now_ns, lag_ms)
        if self._fine_since_ns is not None and self._level:
            return self._take_back(now_ns, lag_ms, self._fine_since_ns)
        return None

    def _leave_out(self, now_ns: int, lag_ms: float) -> Report | None:
        waits = self._stepped_ns is not None and now_ns - self._stepped_ns < NEXT_AFTER_NS
        if waits or self._level == len(self._order):
            return None
        if self._taken_back_ns is not None:
            soon = now_ns - self._taken_back_ns < 2 * self._back_after_ns
            doubled = min(2 * self._back_after_ns, BACK_AT_MOST_NS)
            self._back_after_ns = doubled if soon else BACK_AFTER_NS
            self._taken_back_ns = None
        sacrifice = self._order[self._level]
        self._level += 1
        self._stepped_ns = now_ns
        message = f"this machine is {lag_ms / 1000:.1f} s behind: {sacrifice.gone}"
        return Report("warning", "giving_way", message, round(lag_ms, 3))

    def _take_back(self, now_ns: int, lag_ms: float, fine_since_ns: int) -> Report | None:
        if now_ns - fine_since_ns < self._back_after_ns:
            return None
        self._level -= 1
        self._taken_back_ns = self._fine_since_ns = now_ns
        message = f"there is room again: {self._order[self._level].back}"
        return Report("info", "taking_back", message, round(lag_ms, 3))
