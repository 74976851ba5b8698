"""A source that holds its media in memory: the public fake."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from magtkd_rt.core.media import AudioChunk, VideoFrame
from magtkd_rt.sources.base import Media, MediaInfo, Notice, arrival_ns


class MemorySource:
    """Yields the given media in order of arrival.

    Args:
        media: chunks and frames; sorted here, items of equal time keep their order.
        name: what `info` calls the sound and the picture.
    """

    def __init__(self, media: Iterable[Media], *, name: str = "memory") -> None:
        self._media = sorted(media, key=arrival_ns)
        self._closed = False
        channels = {item.channel for item in self._media if isinstance(item, AudioChunk)}
        pictures = any(isinstance(item, VideoFrame) for item in self._media)
        self.info = MediaInfo(
            audio=name if channels else None,
            video=name if pictures else None,
            channels=max(channels, default=-1) + 1,
            duration_ns=arrival_ns(self._media[-1]) if self._media else 0,
        )
        self.problems: list[str] = []
        self.notices: deque[Notice] = deque()
        self.dropped: Mapping[str, int] = {}

    def media(self) -> Iterator[Media]:
        """Yield everything until the end or `close()`."""
        for item in self._media:
            if self._closed:
                return
            yield item

    def close(self) -> None:
        """End `media()` at its next item."""
        self._closed = True
