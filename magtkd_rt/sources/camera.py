"""A camera as a device that is kept: by number, a stream at an address, or a video file."""

from __future__ import annotations

import os
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import NANOSECONDS, VideoFrame
from magtkd_rt.errors import InputError
from magtkd_rt.sources._pictures import MAX_SIDE
from magtkd_rt.sources.inbox import Inbox
from magtkd_rt.sources.keeper import DeviceLost

FROZEN_SECONDS: Final = 5.0
"""A sensor never gives the same picture twice; a camera that does for so long hangs."""
STREAM_TIMEOUT_MS: Final = 5_000
"""How long an address may take to be opened, or to give its next picture."""
_MOST_AGE_NS: Final = NANOSECONDS
"""Drivers that state a greater age of a picture count on another clock."""


class Capture(Protocol):
    """What is needed of cv2.VideoCapture; `FakeCapture` is the public fake."""

    def isOpened(self) -> bool: ...  # noqa: D102  (OpenCV's name)
    def grab(self) -> bool: ...  # noqa: D102
    def retrieve(self) -> tuple[bool, Any]: ...  # noqa: D102
    def get(self, propId: int) -> float: ...  # noqa: D102  (OpenCV's name)
    def release(self) -> None: ...  # noqa: D102


class Camera:
    """One camera.

    Args:
        where: a number, `/dev/videoN`, an address with `://`, or a video file, which is played
            as fast as it was recorded, once.
        inbox: gets the pictures, stamped on the monotonic clock when they were taken, as far as
            the driver says so, else when they arrived.
        fps: pictures a second to hand over at most.
        open_capture: opens it.
        frozen_after: seconds of the same picture after which it counts as lost.

    Raises:
        InputError: there is no such file, it is no video, or `where` is none of these.
    """

    kind: Final = "camera"

    def __init__(
        self,
        where: str,
        inbox: Inbox,
        fps: float,
        *,
        open_capture: Callable[[str], Capture] | None = None,
        frozen_after: float = FROZEN_SECONDS,
    ) -> None:
        self.name = _shown(where)
        self._where = where
        self._is_file = Path(where).is_file()
        known = where.isdecimal() or "://" in where or where.startswith("/dev/")
        if not known and not self._is_file:
            raise InputError(
                f"there is no camera {where!r}",
                remedy="give a number, an address such as http://..., or a video file; "
                "`magtkd devices` lists the numbers",
            )
        self._inbox = inbox
        self._fps = fps
        self._open = open_capture or open_video
        if self._is_file:
            self._check_file()
        self._frozen_after = frozen_after
        self._frozen: int | None = None  # fingerprint of the picture it hangs on

    def _check_file(self) -> None:
        capture = self._open(self._where)
        try:
            if not capture.isOpened():
                raise InputError(
                    f"{self.name} cannot be read as video",
                    remedy="give a video that plays elsewhere",
                )
        finally:
            capture.release()

    def run(self, stopped: threading.Event, here: Callable[[], None]) -> None:
        """See until `stopped` is set, or to the end of a file; see `Device`."""
        capture = self._open(self._where)
        try:
            if not capture.isOpened():
                raise _why_closed(self._where)
            self._see(capture, stopped, here)
        finally:
            capture.release()

    def _see(self, capture: Capture, stopped: threading.Event, here: Callable[[], None]) -> None:
        period_ns = round(NANOSECONDS / self._fps)
        begin_ns = due_ns = time.monotonic_ns()
        rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
        same, same_since_ns, count = self._frozen, begin_ns, 0
        while not stopped.is_set():
            if self._is_file:
                wait_ns = begin_ns + round(count * NANOSECONDS / rate) - time.monotonic_ns()
                if stopped.wait(max(0, wait_ns) / NANOSECONDS):
                    return
            if not capture.grab():
                if self._is_file:
                    return
                raise DeviceLost("it gives no pictures any more", remedy=_remedy(self._where))
            count += 1
            taken_ns = self._taken_ns(capture)
            if taken_ns < due_ns - period_ns // 8:  # a camera's own rate need not be exact
                continue
            due_ns = max(due_ns + period_ns, taken_ns - period_ns)
            image = _rgb(capture)
            if not self._is_file:
                fingerprint = zlib.crc32(image[::4, ::4].tobytes())
                if fingerprint != same:
                    same, same_since_ns, self._frozen = fingerprint, taken_ns, None
                elif taken_ns - same_since_ns > self._frozen_after * NANOSECONDS:
                    self._frozen = fingerprint
                    raise DeviceLost(
                        f"it has shown the same picture for {self._frozen_after:g} s",
                        remedy="uncover it, or unplug it and plug it in again",
                        code="camera_frozen",
                    )
                if self._frozen is not None:
                    continue
            self._inbox.put_picture(VideoFrame(taken_ns, image))
            here()

    def _taken_ns(self, capture: Capture) -> int:
        """When the picture was taken: Video4Linux says it on the monotonic clock."""
        now_ns = time.monotonic_ns()
        if self._is_file or "://" in self._where:
            return now_ns
        stated_ns = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1_000_000)
        return stated_ns if 0 <= now_ns - stated_ns <= _MOST_AGE_NS else now_ns


def open_video(where: str) -> Capture:
    """Open a camera, an address or a file with OpenCV; look at `isOpened`."""
    # What OpenCV and FFmpeg print themselves would tear the terminal view.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if where.isdecimal():
        capture = cv2.VideoCapture(int(where))
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, not the oldest
        return capture
    if "://" in where:
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC]
        timeouts = [number for limit in limits for number in (limit, STREAM_TIMEOUT_MS)]
        return cv2.VideoCapture(where, cv2.CAP_FFMPEG, timeouts)
    return cv2.VideoCapture(where)


def _rgb(capture: Capture) -> NDArray[np.uint8]:
    """The grabbed picture, uint8 (height, width, 3), its longest side at most MAX_SIDE."""
    ok, image = capture.retrieve()
    if not ok or image is None or image.ndim != 3:
        raise DeviceLost("it gives pictures that cannot be read", remedy="unplug and plug it in")
    height, width = image.shape[:2]
    scale = MAX_SIDE / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    rgb: NDArray[np.uint8] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return rgb


def _shown(where: str) -> str:
    """Without passwords and folders: subscribers read it."""
    if "://" in where:
        try:
            address = urlsplit(where)
        except ValueError as error:
            raise InputError(
                f"{where!r} is no address", remedy="check how it is written"
            ) from error
        return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"
    return where if where.isdecimal() or where.startswith("/dev/") else Path(where).name


def _why_closed(where: str) -> DeviceLost:
    if "://" in where:
        return DeviceLost("the address does not answer", remedy=_remedy(where))
    device = Path(f"/dev/video{where}" if where.isdecimal() else where)
    if not device.exists():
        return DeviceLost(f"there is no {device}", remedy="plug it in")
    if not os.access(device, os.R_OK | os.W_OK):
        return DeviceLost(
            f"{device} may not be used by this user",
            remedy="sudo usermod -aG video $USER, then log in anew",
        )
    return DeviceLost("it cannot be opened", remedy="close what else uses it")


def _remedy(where: str) -> str:
    return "check the address and its server" if "://" in where else "check its plug"
