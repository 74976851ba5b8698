"""What the server puts up with from those who send media, and how it says no."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from websockets.frames import CloseCode

from magtkd_rt import wire
from magtkd_rt.core.media import NANOSECONDS
from magtkd_rt.sources.incoming import MAX_AGE_NS

CLOSE_CODES: Final[dict[wire.ErrorCode, CloseCode]] = {
    "bad_json": CloseCode.UNSUPPORTED_DATA,
    "bad_frame": CloseCode.POLICY_VIOLATION,
    "bad_request": CloseCode.POLICY_VIOLATION,
    "too_large": CloseCode.MESSAGE_TOO_BIG,
    "unsupported": CloseCode.UNSUPPORTED_DATA,
    "too_fast": CloseCode.POLICY_VIOLATION,
    "unauthorized": CloseCode.POLICY_VIOLATION,
    "unknown_session": CloseCode.POLICY_VIOLATION,
    "overload": CloseCode.TRY_AGAIN_LATER,
    "timeout": CloseCode.POLICY_VIOLATION,
}
"""With what a connection is closed where a refusal ends it."""

MESSAGE_COST: Final = 512
"""Bytes that a message counts for beside its content, so that small ones are not free."""


@dataclass(frozen=True, slots=True)
class SenderLimits:
    """Bounds for each connection and session on `/v1/ingest`.

    Attributes:
        connections: senders connected at once.
        message_bytes: of one message with media; others may have `text_bytes`.
        text_bytes: of `hello`, `end`, or what is sent in their place.
        bytes_per_second: beyond what the announced sound needs.
        burst_seconds: seconds of `bytes_per_second` that may come at once, after a stall.
        sound_seconds: of sound in one message.
        pictures_per_second: that are looked at; more are left out.
        ahead_seconds: that media may run ahead of real time.
        queue_seconds: that media may wait to be taken by its session; then nothing more is taken.
        patience_seconds: that sound may be late before silence takes its place.
        refusals: messages that may be refused before the connection is closed; one is forgiven
            each second.
        hello_seconds: until `hello`.
        idle_seconds: without any message from the sender.
        resume_seconds: that a session waits for its sender after a lost connection.
    """

    connections: int = 64
    message_bytes: int = 1 << 20
    text_bytes: int = 16 * 1024
    bytes_per_second: int = 2 << 20
    burst_seconds: float = 10.0
    sound_seconds: float = 5.0
    pictures_per_second: float = 10.0
    ahead_seconds: float = 5.0
    queue_seconds: float = MAX_AGE_NS / NANOSECONDS
    patience_seconds: float = 3.0
    refusals: int = 100
    hello_seconds: float = 10.0
    idle_seconds: float = 120.0
    resume_seconds: float = 30.0

    def told(self) -> wire.IngestLimits:
        """What senders are told of it."""
        return wire.IngestLimits(
            max_message_bytes=self.message_bytes,
            ahead_seconds=self.ahead_seconds,
            pictures_per_second=self.pictures_per_second,
            resume_seconds=self.resume_seconds,
        )


class Refused(Exception):
    """A message or a connection that is not accepted.

    Args:
        code: of the protocol.
        problem: one line: what was found, and what is wanted.
    """

    def __init__(self, code: wire.ErrorCode, problem: str) -> None:
        self.code: Final = code
        self.problem: Final = problem
        super().__init__(f"{code}: {problem}")


class Bucket:
    """Something that is used up and comes back evenly.

    Args:
        rate: that comes back a second.
        most: that there may be, and is at first.
        clock: seconds that never go back.
    """

    def __init__(self, rate: float, most: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._most = most
        self._clock = clock
        self._left = most
        self._at = clock()

    def take(self, amount: float) -> bool:
        """Use some up, even where there is not enough; returns whether there was."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        enough = amount <= self._left
        self._left -= amount
        return enough

    @property
    def seconds_to_wait(self) -> float:
        """Until there is some again."""
        return max(0.0, -self._left / self._rate)
