"""Decoded pictures to RGB frames, thinned by their time stamps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from magtkd_rt.core.media import NANOSECONDS, VideoFrame
from magtkd_rt.sources._decode import Note, stamp_ns

MAX_SIDE = 1280
"""Longer sides are scaled down to this: faces stay large enough, memory stays bounded."""

_RESTART_NS = NANOSECONDS
"""Stamps that go back further than this have started anew; shorter ones are out of order."""


def video_frames(
    frames: Iterable[Any], fps: float, rate: float, note: Note
) -> Iterator[VideoFrame]:
    """Keep at most one picture in each 1/fps of a second, so any frame rate works.

    Args:
        frames: decoded `av.VideoFrame`s.
        fps: pictures a second to keep at most.
        rate: nominal pictures a second, for frames without a stamp.
        note: is told about stamps that go back.

    Yields:
        pictures on the file's own time line (times may be negative), in increasing order.
    """
    period_ns = round(NANOSECONDS / rate)
    last_ns: int | None = None
    last_slot: int | None = None
    correction_ns = 0
    went_back = 0
    converter = RgbConverter()
    for frame in frames:
        stamp = stamp_ns(frame)
        time_ns = stamp + correction_ns if stamp is not None else (last_ns or 0) + period_ns
        if last_ns is not None and time_ns <= last_ns:
            went_back += 1
            if last_ns - time_ns < _RESTART_NS:
                continue
            correction_ns += last_ns + period_ns - time_ns
            time_ns = last_ns + period_ns
        last_ns = time_ns
        slot = int(time_ns * fps // NANOSECONDS)
        if slot != last_slot:
            last_slot = slot
            yield VideoFrame(time_ns, converter.rgb(frame))
    if went_back:
        note(f"time stamps of the picture go back {went_back} times; it was joined there")


class RgbConverter:
    """Turns decoded pictures into arrays. For one thread.

    One for a whole stream: what FFmpeg sets up for a size and format is made once and not for each
    picture, and on one thread, since waking others takes longer than such pictures do.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def rgb(self, frame: Any) -> NDArray[np.uint8]:
        """uint8 (height, width, 3), upright, its longest side at most MAX_SIDE."""
        scale = min(1.0, MAX_SIDE / max(frame.width, frame.height))
        reformatted = self._reformatter.reformat(
            frame,
            width=max(1, round(frame.width * scale)),
            height=max(1, round(frame.height * scale)),
            format="rgb24",
            threads=1,
        )
        image = np.asarray(reformatted.to_ndarray(), np.uint8)
        # Telephones store portraits lying down and say by how much to turn them counterclockwise.
        quarters = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(image, quarters)) if quarters else image
