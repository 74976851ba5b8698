"""What is left out, and in which order, when the machine falls behind; and when it comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

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


Part = Literal["words", "rest"]
"""What can fall behind: the transcriber, and everything else."""


@dataclass(frozen=True, slots=True)
class Sacrifice:
    """Something that can be left out.

    Attributes:
        name: of it.
        gone: what `status` says when it is left out.
        back: what `status` says when it is there again.
        eases: what has less to do without it.
    """

    name: str
    gone: str
    back: str
    eases: frozenset[Part] = frozenset({"words", "rest"})


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
    frozenset({"words"}),
)
SENSES: Final = Sacrifice(
    "senses",
    "only words count, neither voice nor face",
    "voice and face count again",
    frozenset({"rest"}),
)


class GivingWay:
    """Lets one thing after another give way while lag stays, and takes back the last one first.

    Args:
        order: what may give way, first to last.
    """

    def __init__(self, order: Sequence[Sacrifice]) -> None:
        self._order = order
        self._gone: list[Sacrifice] = []  # the last one comes back first
        self._stepped_ns: int | None = None
        self._fine_since_ns: int | None = None
        self._back_after_ns = BACK_AFTER_NS
        self._taken_back_ns: int | None = None

    @property
    def gone(self) -> frozenset[str]:
        """Names of what is left out at present."""
        return frozenset(one.name for one in self._gone)

    def observe(self, now_ns: int, lags_ms: Mapping[Part, float]) -> Report | None:
        """Look at the lag; returns what is to be told where something changed.

        Args:
            now_ns: the present on any clock that never goes back.
            lags_ms: how far each part is behind its input.
        """
        lag_ms = max(lags_ms.values())
        if lag_ms > FINE_MS:
            self._fine_since_ns = None
        elif self._fine_since_ns is None:
            self._fine_since_ns = now_ns
        if lag_ms >= BEHIND_MS:
            behind = {part for part, lag in lags_ms.items() if lag >= BEHIND_MS}
            return self._leave_out(now_ns, lag_ms, behind)
        if self._fine_since_ns is not None and self._gone:
            return self._take_back(now_ns, lag_ms, self._fine_since_ns)
        return None

    def _leave_out(self, now_ns: int, lag_ms: float, behind: set[Part]) -> Report | None:
        waits = self._stepped_ns is not None and now_ns - self._stepped_ns < NEXT_AFTER_NS
        helps = (s for s in self._order if s not in self._gone and s.eases & behind)
        sacrifice = next(helps, None)
        if waits or sacrifice is None:
            return None
        if self._taken_back_ns is not None:
            soon = now_ns - self._taken_back_ns < 2 * self._back_after_ns
            doubled = min(2 * self._back_after_ns, BACK_AT_MOST_NS)
            self._back_after_ns = doubled if soon else BACK_AFTER_NS
            self._taken_back_ns = None
        self._gone.append(sacrifice)
        self._stepped_ns = now_ns
        message = f"this machine is {lag_ms / 1000:.1f} s behind: {sacrifice.gone}"
        return Report("warning", "giving_way", message, round(lag_ms, 3))

    def _take_back(self, now_ns: int, lag_ms: float, fine_since_ns: int) -> Report | None:
        if now_ns - fine_since_ns < self._back_after_ns:
            return None
        sacrifice = self._gone.pop()
        self._taken_back_ns = self._fine_since_ns = now_ns
        message = f"there is room again: {sacrifice.back}"
        return Report("info", "taking_back", message, round(lag_ms, 3))
