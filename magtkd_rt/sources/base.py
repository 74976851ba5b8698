"""What every source of media offers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from magtkd_rt.core.media import AudioChunk, VideoFrame, samples_to_ns

Media: TypeAlias = AudioChunk | VideoFrame
"""Anything a source yields."""


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a source brings.

    Attributes:
        audio: name of the sound, or None where there is none.
        video: name of the picture, or None where there is none.
        channels: channels of sound that `media()` yields; 0 without sound.
        duration_ns: how long it lasts, as far as the source knows beforehand.
    """

    audio: str | None
    video: str | None
    channels: int
    duration_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What a source has to tell besides its problems: a device lost, and found again.

    Attributes:
        level: how bad it is.
        code: of the status event, such as `device_lost`.
        message: one line, with the remedy where there is one.
    """

    level: Literal["info", "warning", "error"]
    code: str
    message: str


class Source(Protocol):
    """Sound and pictures on one time line whose zero is the first instant of the session.

    Attributes:
        info: known before the first item.
        problems: one line for each thing that is wrong without being fatal; grows while reading.
        notices: what is to be told, oldest first; to be taken out by who tells it.
        dropped: what the source itself had to lose, by kind.
    """

    info: MediaInfo
    problems: list[str]
    notices: deque[Notice]
    dropped: Mapping[str, int]

    def media(self) -> Iterator[Media]:
        """Yield everything in the order in which a live source would: see `arrival_ns`.

        To be called once. Chunks of one channel never overlap and never go back.
        """
        ...

    def close(self) -> None:
        """Stop and free everything; `media()` ends soon after. May be called twice."""
        ...


@runtime_checkable
class ArrivingSource(Protocol):
    """A source whose media come by themselves, each at its own instant, and need no pacing."""

    def arriving(self) -> Iterator[tuple[Media, int]]:
        """As `media()`, each item with when it reached this machine, on the monotonic clock."""
        ...


def arrival_ns(item: Media) -> int:
    """When a live source could hand this over: a chunk of sound only once it has ended."""
    return samples_to_ns(item.end) if isinstance(item, AudioChunk) else item.time_ns
