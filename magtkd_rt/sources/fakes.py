"""A microphone and a camera without hardware, to be plugged in and out by hand: public fakes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from magtkd_rt.sources.keeper import DeviceLost
from magtkd_rt.sources.portaudio import MicrophoneInfo, OnSound


class FakeAudio:
    """Stands for PortAudio: what is fed here the open microphone hears.

    Args:
        microphones: those that are plugged in at first.
    """

    def __init__(self, *microphones: MicrophoneInfo) -> None:
        self.plugged = list(microphones)
        self.busy = False
        """Whether another program has the microphone."""
        self.opened: list[_FakeStream] = []
        """Every stream there ever was."""
        self._known = list(microphones)

    def microphones(self) -> list[MicrophoneInfo]:
        """Those that were there at the last `rescan`."""
        return list(self._known)

    def rates(self, microphone: MicrophoneInfo) -> list[int]:
        """Its own rate only."""
        return [microphone.rate]

    def rescan(self) -> None:
        """Look which are plugged in."""
        assert not any(stream.open for stream in self.opened), "a stream is open"
        self._known = list(self.plugged)

    def open(self, microphone: MicrophoneInfo, channels: int, on_sound: OnSound) -> _FakeStream:
        """Start a stream, unless the microphone is busy or was pulled out."""
        if self.busy or microphone not in self.plugged:
            raise DeviceLost("it cannot be opened (busy)", remedy="close what else uses it")
        self.opened.append(_FakeStream(on_sound, channels))
        return self.opened[-1]

    def feed(
        self, sound: NDArray[np.float32], *, age: float = 0.0, overflowed: bool = False
    ) -> bool:
        """Let the open microphone hear float32 (n, channels); returns whether there is one."""
        stream = self.opened[-1] if self.opened else None
        if stream is None or not stream.open or not stream.active:
            return False
        assert sound.shape[1] == stream.channels
        stream.on_sound(sound.astype(np.float32), age, overflowed)
        return True

    def unplug(self) -> None:
        """Pull out every microphone."""
        self.plugged.clear()
        for stream in self.opened:
            stream.active = False


class _FakeStream:
    def __init__(self, on_sound: OnSound, channels: int) -> None:
        self.on_sound = on_sound
        self.channels = channels
        self.active = True
        self.open = True

    def close(self) -> None:
        self.open = False


class FakeCapture:
    """Stands for cv2.VideoCapture: waits for each picture that `picture` makes.

    Args:
        picture: gives the next picture, uint8 (height, width, 3) in BGR, or None at the end; may
            wait.
        opened: whether it can be opened at all.
        fps: that it claims.
    """

    def __init__(
        self,
        picture: Callable[[], NDArray[np.uint8] | None],
        *,
        opened: bool = True,
        fps: float = 30.0,
    ) -> None:
        self.released = threading.Event()
        self._picture = picture
        self._opened = opened
        self._fps = fps
        self._grabbed: NDArray[np.uint8] | None = None

    def isOpened(self) -> bool:
        """Whether it can be read."""
        return self._opened and not self.released.is_set()

    def grab(self) -> bool:
        """Take the next picture."""
        self._grabbed = self._picture() if self.isOpened() else None
        return self._grabbed is not None

    def retrieve(self) -> tuple[bool, Any]:
        """Return the picture taken last."""
        return self._grabbed is not None, self._grabbed

    def get(self, propId: int) -> float:
        """Return a property; 0 where it is not known, as OpenCV does."""
        return self._fps if propId == cv2.CAP_PROP_FPS else 0.0

    def release(self) -> None:
        """Close it."""
        self.released.set()
