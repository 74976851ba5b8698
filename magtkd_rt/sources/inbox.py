"""From the devices' threads to the reader: a bounded queue, in order of arrival."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import VideoFrame

MAX_SOUND_SECONDS: Final = 5.0
"""Sound that may wait; beyond it new sound is lost, and counted."""


@dataclass(frozen=True, slots=True, eq=False)
class SoundBlock:
    """Sound as a microphone gave it.

    Attributes:
        samples: float32 (n, channels).
        rate: samples a second.
        begin_ns: when the first sample was heard, on the monotonic clock.
        run: number of the stream that heard it; another one may be another device.
    """

    samples: NDArray[np.float32]
    rate: int
    begin_ns: int
    run: int

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate


class Inbox:
    """Devices put, one reader gets. Only one picture waits: a newer one takes its place."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        """What was lost: `microphone_overflows` (the driver's), `microphone_samples` (no room
        here), and `camera_pictures` that a newer one replaced."""
        self._queue: deque[SoundBlock | VideoFrame] = deque()
        self._waiting_seconds = 0.0
        self._closed = False
        self._changed = threading.Condition()

    def put_sound(self, block: SoundBlock, *, overflowed: bool) -> None:
        """Take sound, unless there is no room.

        Args:
            block: the sound, never written to again.
            overflowed: whether the driver lost sound before it.
        """
        with self._changed:
            if overflowed:
                self.dropped["microphone_overflows"] += 1
            if self._closed or self._waiting_seconds + block.seconds > MAX_SOUND_SECONDS:
                self.dropped["microphone_samples"] += len(block.samples)
                return
            self._waiting_seconds += block.seconds
            self._queue.append(block)
            self._changed.notify()

    def put_picture(self, frame: VideoFrame) -> None:
        """Take a picture in the place of the one that waits, if there is one."""
        with self._changed:
            if self._closed:
                return
            waiting = next((item for item in self._queue if isinstance(item, VideoFrame)), None)
            if waiting is not None:
                self._queue.remove(waiting)
                self.dropped["camera_pictures"] += 1
            self._queue.append(frame)
            self._changed.notify()

    def get(self, timeout: float) -> SoundBlock | VideoFrame | None:
        """Wait at most `timeout` seconds for the next item; None without one, or once closed."""
        with self._changed:
            if not self._queue and not self._closed:
                self._changed.wait(timeout)
            if not self._queue:
                return None
            item = self._queue.popleft()
            if isinstance(item, SoundBlock):
                self._waiting_seconds -= item.seconds
            return item

    def close(self) -> None:
        """Take nothing more; what waits is given up."""
        with self._changed:
            self._closed = True
            self._queue.clear()
            self._changed.notify_all()
