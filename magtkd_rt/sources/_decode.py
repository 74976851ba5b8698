"""Open a container and decode one stream of it, come what may."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import av
import av.container
import av.stream

from magtkd_rt.core.media import NANOSECONDS
from magtkd_rt.errors import InputError

Kind = Literal["audio", "video"]
Note = Callable[[str], None]
"""Takes one line about something that is wrong without being fatal."""

_DECODER_THREADS = 1

_STREAMED_RIFF = 0x7FFF0000
"""Programs that write to a pipe state a length about here or above: unknown."""


class StreamReader:
    """Decodes the best stream of one kind, through a container of its own.

    Sound and picture are read through two containers, so that either can be pulled as far as
    the other needs it, however badly the file interleaves them.

    Args:
        path: a regular file.
        kind: which stream is wanted.
        note: is told what was damaged, once per kind of damage.

    Attributes:
        stream: the stream, or None where the file holds none of this kind.

    Raises:
        InputError: the file cannot be opened as media.
    """

    def __init__(self, path: Path, kind: Kind, note: Note) -> None:
        self._container = open_container(path)
        self._kind = "sound" if kind == "audio" else "picture"
        self._note = note
        self.stream: Any = _best(self._container, kind)
        if self.stream is not None and kind == "video":
            self.stream.thread_type = "AUTO"
            self.stream.codec_context.thread_count = _DECODER_THREADS

    @property
    def duration_ns(self) -> int | None:
        """How long the container says it lasts."""
        duration = self._container.duration
        return None if duration is None or duration <= 0 else duration * NANOSECONDS // av.time_base

    def seek(self, time_ns: int) -> None:
        """Go to the last key frame before a time, so that `frames` begins there."""
        if self.stream is not None and time_ns > 0:
            self._container.seek(time_ns * av.time_base // NANOSECONDS, backward=True)

    def frames(self) -> Iterator[Any]:
        """Yield decoded frames in order of presentation; damage costs packets, not the file."""
        if self.stream is None:
            return
        damaged = 0
        packets = self._container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                self._note(f"the {self._kind} ends early: {_reason(error)}")
                packet = None
            try:
                yield from (packet.decode() if packet else self.stream.codec_context.decode(None))
            except av.error.EOFError:
                pass  # the container had already flushed the decoder
            except av.error.FFmpegError:
                damaged += 1
            if packet is None:
                break
        if damaged:
            self._note(f"{damaged} damaged packets of {self._kind} were left out")

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def open_container(path: Path) -> av.container.InputContainer:
    """Open a media file.

    Raises:
        InputError: it is missing, no regular file, empty, unreadable or no media.
    """
    remedy = "give a recording such as a .wav, .flac, .mp4 or .mkv file"
    if not path.exists():
        raise InputError(f"{path} does not exist", remedy="check the path")
    if not path.is_file():
        raise InputError(f"{path} is not a regular file", remedy=remedy)
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty", remedy=remedy)
    try:
        # Only plain files: a hostile playlist must not make us open addresses.
        return av.open(f"file:{path}", options={"protocol_whitelist": "file"})
    except PermissionError as error:
        raise InputError(f"{path} may not be read", remedy="check its permissions") from error
    except (av.error.FFmpegError, UnicodeError) as error:
        raise InputError(
            f"{path} is not a media file, or is cut short before its index ({_reason(error)})",
            remedy=remedy,
        ) from error


def is_cut_riff(path: Path) -> bool:
    """Whether a RIFF header (.wav, .avi) states more bytes than there are; FFmpeg hides that."""
    with path.open("rb") as file:
        header = file.read(8)
    stated = int.from_bytes(header[4:], "little")
    streamed = stated >= _STREAMED_RIFF
    return header[:4] == b"RIFF" and not streamed and stated + 8 > path.stat().st_size


def stamp_ns(frame: Any) -> int | None:
    """Presentation time of a frame in the file's own time base, or None where it has none."""
    if frame.pts is None or frame.time_base is None:
        return None
    return int(frame.pts * frame.time_base.numerator * NANOSECONDS // frame.time_base.denominator)


def _best(container: av.container.InputContainer, kind: Kind) -> Any:
    """The default stream of a kind, else the first; cover art is no picture."""
    disposition = av.stream.Disposition
    candidates = [
        stream
        for stream in (container.streams.audio if kind == "audio" else container.streams.video)
        if stream.codec_context is not None and not stream.disposition & disposition.attached_pic
    ]
    defaults = [stream for stream in candidates if stream.disposition & disposition.default]
    return next(iter(defaults or candidates), None)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).lower()
