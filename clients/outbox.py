"""What a publisher has sent or is to send, until the server says that it has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from magtkd_rt import wire

_CLOCK_SLACK_US: Final = 100
"""Microseconds, less than any sample lasts; both sides round their clocks."""


@dataclass(frozen=True, slots=True)
class _Frame:
    kind: int
    until_us: float
    data: bytes


class Outbox:
    """Binary messages in order, bounded: where there is no room, the oldest pictures give way.

    Args:
        limit: bytes that are kept at most.

    Attributes:
        dropped: how many were thrown away unsent: `sound`, `pictures`.
        unsent: bytes that have not been sent yet.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.dropped = {"sound": 0, "pictures": 0}
        self.unsent = 0
        self._frames: list[_Frame] = []
        self._next = 0
        self._size = 0

    def add(self, kind: int, captured_us: int, until_us: float, payload: bytes) -> None:
        """Take a message of `kind` whose media lasts from `captured_us` until `until_us`."""
        data = wire.MEDIA_HEADER.pack(kind, captured_us) + payload
        self._frames.append(_Frame(kind, until_us, data))
        self._size += len(data)
        self.unsent += len(data)
        while self._size > self.limit:
            self._drop()

    def next(self) -> bytes | None:
        """The next message to send, whole, or None where all were sent."""
        if self._next == len(self._frames):
            return None
        data = self._frames[self._next].data
        self._next += 1
        self.unsent -= len(data)
        return data

    def rewind(self) -> None:
        """Begin anew on another connection: everything that is left is to be sent again."""
        self._next = 0
        self.unsent = self._size

    def ack(self, kind: int, seconds: float) -> None:
        """Forget what was sent and has been taken: all of `kind` up to `seconds`."""
        limit_us = seconds * 1e6 + _CLOCK_SLACK_US
        sent = self._frames[: self._next]
        kept = [frame for frame in sent if frame.kind != kind or frame.until_us > limit_us]
        self._frames[: self._next] = kept
        self._next = len(kept)
        self._size = sum(len(frame.data) for frame in self._frames)

    def _drop(self) -> None:
        pictures = (i for i, frame in enumerate(self._frames) if frame.kind == wire.PICTURE)
        index = next(pictures, 0)
        frame = self._frames.pop(index)
        self._size -= len(frame.data)
        if index < self._next:
            self._next -= 1
        else:
            self.unsent -= len(frame.data)
            self.dropped["pictures" if frame.kind == wire.PICTURE else "sound"] += 1
