"""What `/health` makes of the events: whether a session that goes on is not what it should be."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from magtkd_rt import wire

OVERLOAD_SECONDS: Final = 60.0
"""For how long an utterance that was lost for lack of time counts."""

_LOST: Final = ("device_lost", "camera_frozen")
"""Codes of status events; one device may tell of both before it is back."""


class Condition:
    """Follows the events of all sessions. All methods belong to the event loop's thread.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lost: dict[str, set[str]] = {}
        self._late: set[str] = set()
        self._gave_way: Counter[str] = Counter()
        self._overload_at: float | None = None

    def observe(self, event: wire.Event) -> None:
        """Take an event of any session."""
        match event:
            case wire.Status():
                self._take(event.session_id, event.code, event.message)
            case wire.UtteranceDropped(reason="overload"):
                self._overload_at = self._clock()
            case wire.SessionEnded(session_id=session):
                self._lost.pop(session, None)
                self._late.discard(session)
                self._gave_way.pop(session, None)
            case _:
                pass

    def _take(self, session: str, code: str, message: str) -> None:
        match code:
            case "lag":
                self._late.add(session)
            case "lag_over":
                self._late.discard(session)
            case "giving_way":
                self._gave_way[session] += 1
            case "taking_back":
                self._gave_way[session] -= 1
            case "device_back":
                self._lost.get(session, set()).discard(_device(message))
            case _ if code in _LOST:
                self._lost.setdefault(session, set()).add(_device(message))
            case _:
                pass

    def reasons(self) -> list[str]:
        """What is wrong now: any of `device_lost`, `giving_way`, `lag` and `overload`."""
        found = []
        if any(self._lost.values()):
            found.append("device_lost")
        if any(self._gave_way.values()):
            found.append("giving_way")
        if self._late:
            found.append("lag")
        if self._overload_at is not None and self._clock() - self._overload_at < OVERLOAD_SECONDS:
            found.append("overload")
        return found


def _device(message: str) -> str:
    """`the camera` or `the microphone`, of which a session has one each, as messages begin."""
    return " ".join(message.split()[:2])
