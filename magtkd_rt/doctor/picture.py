"""Whether a camera sees: a few pictures of it, of which none is kept."""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from magtkd_rt.doctor.finding import Finding
from magtkd_rt.sources.camera import Capture, open_video

BLACK: Final = 8.0
"""Mean brightness of 255 under which a picture shows nothing."""
LOOK_SECONDS: Final = 1.0
"""A camera gets brighter in its first moments, and a frozen one gives the same picture again."""
_NONE = "plug one in; without one voice and words are enough, and --no-camera asks for none"


def check_camera(
    where: str = "0",
    *,
    open_capture: Callable[[str], Capture] = open_video,
    seconds: float = LOOK_SECONDS,
    devices: Path = Path("/dev"),
) -> list[Finding]:
    """Open a camera and look; all that can be wrong is a warning, since sound alone works.

    Args:
        where: number, address or file.
        open_capture: opens it.
        seconds: to look for.
        devices: the folder in which Linux has its cameras.
    """
    node = devices / f"video{where}"
    if where.isdecimal() and sys.platform == "linux" and not node.exists():
        return [Finding("camera", "warning", f"there is no {node}", _NONE)]
    capture = open_capture(where)
    try:
        if not capture.isOpened():
            remedy = "close what else uses it, or name another one with --camera"
            return [Finding("camera", "warning", f"{where} cannot be opened", remedy)]
        return [_look(where, capture, seconds)]
    finally:
        capture.release()


def _look(where: str, capture: Capture, seconds: float) -> Finding:
    prints, brightest, size = list[int](), 0.0, ""
    end = time.monotonic() + seconds
    while not prints or time.monotonic() < end:
        ok, image = capture.retrieve() if capture.grab() else (False, None)
        if not ok or image is None:
            break
        prints.append(zlib.crc32(np.ascontiguousarray(image).tobytes()))
        brightest = max(brightest, float(image.mean()))
        size = f"{image.shape[1]} x {image.shape[0]}"
    if not prints:
        return Finding("camera", "warning", f"{where} gives no picture", "unplug and plug it in")
    found = f"{where}: {size}, {len(prints) / seconds:.0f} pictures/s"
    if brightest < BLACK:
        return Finding("camera", "warning", f"{found}, black", "uncover it; switch a light on")
    if len(prints) > 2 and len(set(prints)) == 1:
        return Finding("camera", "warning", f"{found}, all the same", "unplug and plug it in")
    return Finding("camera", "ok", found)
