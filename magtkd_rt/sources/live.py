"""The microphone and the camera of this machine as one source."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final

from magtkd_rt.core.media import NANOSECONDS, VideoFrame
from magtkd_rt.sources._sound import SAMPLE_NS
from magtkd_rt.sources.base import Media, MediaInfo, Notice
from magtkd_rt.sources.camera import Camera
from magtkd_rt.sources.inbox import Inbox
from magtkd_rt.sources.keeper import Keeper, Pauses
from magtkd_rt.sources.microphone import Microphone
from magtkd_rt.sources.soundline import SoundLine
from magtkd_rt.sources.sync import Sync

LATE_NS: Final = NANOSECONDS
"""Sound that is later than this counts as silence, so that an utterance can end without it."""
FILL_NS: Final = LATE_NS // 2
"""Then silence is filled in up to this long before the present."""
_LOOK_SECONDS: Final = 0.1
_JOIN_SECONDS: Final = 1.0
_NOTICES: Final = 256


class LiveSource:
    """Sound and pictures in order of arrival, neither waiting for the other.

    Media zero is the first pull from `media()`. A device that is lost is told of and tried
    again; as long as the microphone is away its sound is silence. Without `close()` there is no
    end, unless all that is left was a video file.

    Args:
        microphone: or None.
        camera: or None; not both.
        inbox: that both put into.
        pauses: before a lost device is tried again.
    """

    def __init__(
        self,
        microphone: Microphone | None,
        camera: Camera | None,
        inbox: Inbox,
        pauses: Pauses | None = None,
    ) -> None:
        if microphone is None and camera is None:
            raise ValueError("a source needs a microphone or a camera")
        self.info = MediaInfo(
            audio=None if microphone is None else f"microphone {microphone.name}",
            video=None if camera is None else f"camera {camera.name}",
            channels=0 if microphone is None else microphone.channels,
        )
        self.problems: list[str] = []
        self.notices: deque[Notice] = deque(maxlen=_NOTICES)
        self.dropped: Mapping[str, int] = inbox.dropped
        self._inbox = inbox
        self._closed = False
        pauses = pauses or Pauses()
        self._keepers = [
            Keeper(device, self.notices.append, pauses)
            for device in (microphone, camera)
            if device is not None
        ]

    def media(self) -> Iterator[Media]:
        """Yield what the devices bring, until `close()`."""
        zero_ns = time.monotonic_ns()
        line = SoundLine(self.info.channels, zero_ns) if self.info.channels else None
        sync = Sync(line, self.notices.append)
        for keeper in self._keepers:
            keeper.start()
        try:
            while not self._closed and not all(keeper.finished for keeper in self._keepers):
                item = self._inbox.get(_LOOK_SECONDS)
                now_ns = time.monotonic_ns() - zero_ns
                if isinstance(item, VideoFrame):
                    if item.time_ns >= zero_ns:
                        frame = VideoFrame(item.time_ns - zero_ns, item.image)
                        sync.saw(frame.time_ns, now_ns)
                        yield frame
                elif item is not None and line is not None:
                    yield from line.push(item)
                    sync.heard(now_ns)
                if line is not None and now_ns - line.end * SAMPLE_NS > LATE_NS:
                    yield from line.silence_until((now_ns - FILL_NS) // SAMPLE_NS)
        finally:
            self.close()
            for keeper in self._keepers:
                keeper.join(_JOIN_SECONDS)

    def close(self) -> None:
        """Let go of the devices, from any thread; `media()` ends at once."""
        self._closed = True
        self._inbox.close()
        for keeper in self._keepers:
            keeper.stop()
