"""A session's sound and pictures as one Matroska file, which can be heard and seen again."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import SAMPLE_RATE, AudioChunk, VideoFrame
from magtkd_rt.errors import InputError
from magtkd_rt.sources import Media

MILLISECOND_NS: Final = 1_000_000
"""Matroska's unit of time."""
SIZE_WAIT: Final = 3 * SAMPLE_RATE
"""Samples of sound after which the file begins though no picture has told its size."""
NOMINAL_SIZE: Final = (320, 240)
"""Then; the first picture may be larger, a smaller one would be taken for damaged."""

_FORMAT = {
    # A second at most is lost where the program is killed: so long is a cluster.
    "cluster_time_limit": "1000",
    "flush_packets": "1",
    # Sound need not wait for a camera that gives nothing: microseconds.
    "max_interleave_delta": "500000",
}
_JPEG = [
    cv2.IMWRITE_JPEG_QUALITY,
    92,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]
_NOMINAL_RATE = 30


class RecordingFile:
    """Sound as 32-bit floats at 16 kHz, exactly as it was recognised; pictures as JPEGs.

    Sound that is missing is silence, so that all keeps its time. Pictures may change their size.

    Args:
        path: a new file, which only this user may read.
        channels: of the sound; 0 for none.
        pictures: whether pictures are expected.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, *, channels: int, pictures: bool) -> None:
        self._channels = channels
        self._pictures = pictures
        number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        self._file = os.fdopen(number, "wb", buffering=0)
        try:
            self._container = av.open(self._file, "w", format="matroska", options=_FORMAT)
        except BaseException:
            self._file.close()
            raise
        self._container.metadata["title"] = path.stem
        self._sound: Any = None
        self._video: Any = None
        self._begun = False
        self._waiting: list[Media] = []  # until the size of the pictures is known
        self._rows: dict[int, NDArray[np.float32]] = {}  # of one start, by channel
        self._rows_start = 0
        self._end = 0  # sample after the last one written
        self._last_ms = -1

    def write(self, item: Media) -> None:
        """Append sound or a picture.

        Raises:
            OSError, av.error.FFmpegError: it cannot be written.
        """
        if self._begun:
            self._write(item)
            return
        self._waiting.append(item)
        late = isinstance(item, AudioChunk) and item.end > SIZE_WAIT
        if isinstance(item, VideoFrame) or late or not self._pictures:
            self._begin()

    def close(self) -> None:
        """Write what is left, and end the file. May be called twice."""
        if self._file.closed:
            return
        try:
            if self._waiting:
                self._begin()
            self._write_rows()
            self._container.close()
        finally:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except Exception:
            if error is None:  # else what failed first is what matters
                raise

    def _begin(self) -> None:
        """Make the streams, as soon as it is known what they are."""
        self._begun = True
        if self._channels:
            layout = _layout(self._channels)
            self._sound = self._container.add_stream("pcm_f32le", rate=SAMPLE_RATE, layout=layout)
            self._sound.time_base = Fraction(1, SAMPLE_RATE)
        if self._pictures:
            seen = (item.image for item in self._waiting if isinstance(item, VideoFrame))
            first = next(seen, None)
            self._video = self._container.add_stream("mjpeg", rate=_NOMINAL_RATE)
            size = NOMINAL_SIZE if first is None else first.shape[1::-1]
            self._video.width, self._video.height = size
            self._video.pix_fmt = "yuvj444p"
            self._video.time_base = Fraction(1, 1000)
        waiting, self._waiting = self._waiting, []
        for item in waiting:
            self._write(item)

    def _write(self, item: Media) -> None:
        if isinstance(item, VideoFrame):
            self._write_picture(item)
            return
        if self._rows and item.start != self._rows_start:
            self._write_rows()  # a channel's sound was lost
        self._rows[item.channel] = item.samples
        self._rows_start = item.start
        if len(self._rows) == self._channels:
            self._write_rows()

    def _write_rows(self) -> None:
        """Write the sound of one start, with silence before it where some is missing."""
        rows, self._rows = self._rows, {}
        if not rows:
            return
        sound = np.zeros((self._channels, max(map(len, rows.values()))), np.float32)
        for channel, samples in rows.items():
            sound[channel, : len(samples)] = samples
        while self._end < self._rows_start:
            count = min(SAMPLE_RATE, self._rows_start - self._end)
            self._encode(np.zeros((self._channels, count), np.float32))
        self._encode(sound[:, self._end - self._rows_start :])

    def _encode(self, sound: NDArray[np.float32]) -> None:
        """Write float32 (channels, n) at the end."""
        if not sound.size:
            return
        interleaved = np.ascontiguousarray(sound.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(
            interleaved, format="flt", layout=_layout(self._channels)
        )
        frame.sample_rate = SAMPLE_RATE
        frame.pts, frame.time_base = self._end, Fraction(1, SAMPLE_RATE)
        self._container.mux(self._sound.encode(frame))
        self._end += sound.shape[1]

    def _write_picture(self, frame: VideoFrame) -> None:
        # Rounded down, so that a picture stays in its slot of 1/fps second.
        milliseconds = max(frame.time_ns // MILLISECOND_NS, self._last_ms + 1)
        self._last_ms = milliseconds
        _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR), _JPEG)
        packet = av.Packet(jpeg.tobytes())
        packet.stream = self._video
        packet.pts = packet.dts = milliseconds
        packet.time_base = Fraction(1, 1000)
        packet.is_keyframe = True
        self._container.mux(packet)


def make_folder(folder: Path) -> None:
    """Make a folder for recordings that only this user may look into; one that exists is taken.

    Raises:
        InputError: it cannot be made, or nothing can be written there.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise unwritable(folder, PermissionError(13, "Permission denied"))


def unwritable(path: Path, error: Exception) -> InputError:
    """The error of a recording that cannot be written."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return InputError(
        f"{path} cannot be written ({reason})",
        remedy="give --record another folder, on a disk with room",
    )


def _layout(channels: int) -> str:
    return {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
