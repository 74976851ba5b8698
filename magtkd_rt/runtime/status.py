"""When to tell the subscribers that the machine falls behind or loses something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

LATE_MS: Final = 2_000.0
"""Lag from which a warning is due."""
FINE_MS: Final = 500.0
"""Lag under which all is well again."""
REPORT_EVERY_NS: Final = 5_000_000_000
"""Warnings of one kind come no closer than this."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one `status` event says."""

    level: Literal["info", "warning", "error"]
    code: str
    message: str
    lag_ms: float = 0.0
    dropped: Mapping[str, int] | None = None


class Watchdog:
    """Turns lag and counters into reports, once each time something changes for the worse."""

    def __init__(self) -> None:
        self._late = False
        self._dropped_told: dict[str, int] = {}
        self._next_drop_report_ns = 0

    def observe(self, now_ns: int, lag_ms: float, dropped: Mapping[str, int]) -> list[Report]:
        """What is to be told.

        Args:
            now_ns: the present on any clock that never goes back.
            lag_ms: how far the machine is behind its input.
            dropped: what was lost since the beginning, by kind.
        """
        reports: list[Report] = []
        if not self._late and lag_ms >= LATE_MS:
            self._late = True
            message = "this machine falls behind; fewer pictures (--fps) or a smaller model help"
            reports.append(Report("warning", "lag", message, round(lag_ms, 3), dict(dropped)))
        elif self._late and lag_ms <= FINE_MS:
            self._late = False
            reports.append(Report("info", "lag_over", "this machine has caught up", 0.0))
        if dict(dropped) != self._dropped_told and now_ns >= self._next_drop_report_ns:
            reports += self._tell_drops(lag_ms, dropped)
            self._next_drop_report_ns = now_ns + REPORT_EVERY_NS
        return reports

    def last(self, dropped: Mapping[str, int]) -> list[Report]:
        """What was lost and not told yet, at the end."""
        return self._tell_drops(0.0, dropped) if dict(dropped) != self._dropped_told else []

    def _tell_drops(self, lag_ms: float, dropped: Mapping[str, int]) -> list[Report]:
        grown = {kind: n for kind, n in dropped.items() if n != self._dropped_told.get(kind, 0)}
        self._dropped_told = dict(dropped)
        what = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in grown.items())
        level: Literal["warning", "error"] = "error" if "sound_samples" in grown else "warning"
        message = f"dropped since the beginning: {what}"
        return [Report(level, "dropped", message, round(lag_ms, 3), dict(dropped))]
