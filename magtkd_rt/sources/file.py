"""A recording as a source: any container and codec that FFmpeg reads."""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from magtkd_rt.core.media import AudioChunk, VideoFrame
from magtkd_rt.errors import InputError
from magtkd_rt.sources._decode import StreamReader, is_cut_riff
from magtkd_rt.sources._pictures import video_frames
from magtkd_rt.sources._sound import SAMPLE_NS, audio_chunks
from magtkd_rt.sources.base import Media, MediaInfo, Notice, arrival_ns

MAX_GAP_NS = 30_000_000_000
"""A longer hole in both sound and picture is a fault of the time stamps, and is shortened."""

_SHORT_BY_NS = 1_000_000_000

_BURST = 8
"""Items that are decoded at a time, a fifth of a second: the decoders find their memory in the
processor's caches then, where one item after the other would find them cold each time."""

Item = TypeVar("Item", AudioChunk, VideoFrame)


class FileSource:
    """Sound and pictures of a file, stamped from its own time base, earlier stream at zero.

    Args:
        path: a media file.
        fps: pictures a second to keep at most.
        channels_are_speakers: yield each channel of the sound by itself, else their average.

    Raises:
        InputError: there is no such file, or nothing in it can be decoded.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        fps: float = 10.0,
        channels_are_speakers: bool = False,
    ) -> None:
        if not fps > 0:
            raise InputError(f"{fps} pictures a second make no sense", remedy="give more than 0")
        self._path = Path(path)
        self.problems: list[str] = []
        self.notices: deque[Notice] = deque()
        self.dropped: Mapping[str, int] = {}
        self.cut_short = False
        """Whether `media()` ended before the file's own header says."""
        self._lock = threading.Lock()
        self._closed = False
        self._readers: list[StreamReader] = []
        try:
            self._open(fps, channels_are_speakers)
        except BaseException:
            self.close()
            raise

    def _open(self, fps: float, channels_are_speakers: bool) -> None:
        note = self.problems.append
        for kind in ("audio", "video"):
            self._readers.append(StreamReader(self._path, kind, note))
        sound, picture = self._readers
        rate = float(getattr(picture.stream, "average_rate", None) or 25)
        chunk, chunks = _peek(audio_chunks(sound.frames(), channels_are_speakers, note))
        frame, frames = _peek(video_frames(picture.frames(), fps, rate, note))
        if chunk is None and frame is None:
            raise InputError(
                f"{self._path} holds neither sound nor picture that can be decoded",
                remedy="give a recording that plays elsewhere",
            )
        if chunk is None:
            note(f"{self._path.name} holds no sound, so there is no speech to recognise")
        starts = [first.start for first in (chunk,) if first is not None]
        starts += [first.time_ns // SAMPLE_NS for first in (frame,) if first is not None]
        self._zero = min(starts)
        self._decoded: deque[Media] = deque()
        self._failure: Exception | None = None
        self._merged: Iterator[Media] = heapq.merge(chunks, frames, key=arrival_ns)
        channels = 0 if chunk is None else _channels(sound) if channels_are_speakers else 1
        self.info = MediaInfo(
            audio=None if chunk is None else _describe(self._path, sound),
            video=None if frame is None else _describe(self._path, picture),
            channels=channels,
            duration_ns=sound.duration_ns,
        )

    def media(self) -> Iterator[Media]:
        """Yield everything once, in order of arrival; see `problems` afterwards."""
        shift = self._zero  # in samples, which convert exactly to nanoseconds
        end_ns = 0
        while (item := self._next()) is not None:
            begin = item.start if isinstance(item, AudioChunk) else item.time_ns // SAMPLE_NS
            excess = begin - shift - (end_ns + MAX_GAP_NS) // SAMPLE_NS
            if excess > 0:
                shift += excess
                self.problems.append(
                    f"a hole of {(excess * SAMPLE_NS + MAX_GAP_NS) / 1e9:.0f} s in the time stamps "
                    f"was shortened to {MAX_GAP_NS / 1e9:.0f} s"
                )
            item = _shifted(item, shift)
            end_ns = max(end_ns, arrival_ns(item))
            yield item
        if not self._closed:
            self._note_cut(end_ns)
        self.close()

    def close(self) -> None:
        """Close the file, from any thread; `media()` ends at its next item."""
        self._closed = True
        with self._lock:
            for reader in self._readers:
                reader.close()

    def _next(self) -> Media | None:
        with self._lock:
            if self._closed:
                return None
            if not self._decoded:
                self._decode()
            return self._decoded.popleft() if self._decoded else None

    def _decode(self) -> None:
        """Decode what comes next; a failure is raised once all before it was taken."""
        if self._failure is not None:
            raise self._failure
        try:
            self._decoded.extend(islice(self._merged, _BURST))
        except Exception as error:
            if not self._decoded:
                raise
            self._failure = error

    def _note_cut(self, end_ns: int) -> None:
        stated_ns = self.info.duration_ns or 0
        early = end_ns < stated_ns - max(_SHORT_BY_NS, stated_ns // 50)
        if early or is_cut_riff(self._path):
            self.cut_short = True
            stated = f"{stated_ns / 1e9:.1f} s" if early else "more"
            self.problems.append(
                f"{self._path.name} ends after {end_ns / 1e9:.1f} s, its header says {stated}: "
                "it may be cut short"
            )


def _peek(items: Iterator[Item]) -> tuple[Item | None, Iterator[Media]]:
    first = next(items, None)
    return first, items if first is None else chain([first], items)


def _shifted(item: Media, shift: int) -> Media:
    if isinstance(item, AudioChunk):
        return replace(item, start=item.start - shift)
    return replace(item, time_ns=item.time_ns - shift * SAMPLE_NS)


def _channels(reader: StreamReader) -> int:
    return int(reader.stream.codec_context.channels)


def _describe(path: Path, reader: StreamReader) -> str:
    return f"{path.name} ({reader.stream.codec_context.name})"
