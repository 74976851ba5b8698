"""Which cameras there are."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2

from magtkd_rt.sources.camera import open_video

_DEVICES: Final = Path("/sys/class/video4linux")
_TRIED: Final = range(4)
"""Indices to try where the system has no list."""


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """A camera of this machine; without `opens` its size is not known."""

    index: int
    name: str
    opens: bool
    width: int = 0
    height: int = 0
    fps: float = 0.0


def list_cameras(devices: Path = _DEVICES) -> list[CameraInfo]:
    """Open every camera for a moment and ask what it gives.

    Args:
        devices: the folder in which Linux lists them.
    """
    listed: Iterable[tuple[int, str]]
    if sys.platform == "linux":
        listed = _listed(devices)
        return [_ask(index, name) for index, name in listed]
    asked = (_ask(index, f"camera {index}") for index in _TRIED)
    return [camera for camera in asked if camera.opens]


def _listed(devices: Path) -> Iterator[tuple[int, str]]:
    """Index and name of each; what is a camera's second device (its metadata) is left out."""
    nodes = sorted(devices.glob("video*"), key=lambda node: (len(node.name), node.name))
    for node in nodes:
        number = node.name.removeprefix("video")
        part = node / "index"
        if number.isdecimal() and (not part.exists() or part.read_text().strip() == "0"):
            name = node / "name"
            yield int(number), name.read_text().strip() if name.exists() else node.name


def _ask(index: int, name: str) -> CameraInfo:
    capture = open_video(str(index))
    try:
        if not capture.isOpened():
            return CameraInfo(index, name, opens=False)
        asked = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)
        width, height, fps = (capture.get(number) for number in asked)
        return CameraInfo(index, name, True, int(width), int(height), fps)
    finally:
        capture.release()
