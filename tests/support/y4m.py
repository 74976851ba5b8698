"""A recording's pictures as the uncompressed video that Chromium takes for a camera."""

from __future__ import annotations

from pathlib import Path

import av


def write_y4m(recording: Path, to: Path, *, size: int = 320, fps: int = 10) -> Path:
    """Write the pictures, `size` by `size`, `fps` a second."""
    with av.open(str(recording)) as container, to.open("wb") as out:
        out.write(f"YUV4MPEG2 W{size} H{size} F{fps}:1 Ip A1:1 C420\n".encode())
        wanted = 0.0
        for frame in container.decode(video=0):
            if frame.time is None or frame.time < wanted:
                continue
            wanted += 1 / fps
            small = frame.reformat(width=size, height=size, format="yuv420p")
            out.write(b"FRAME\n")
            for plane in small.planes:
                rows = memoryview(plane).cast("B")
                for row in range(plane.height):
                    start = row * plane.line_size
                    out.write(rows[start : start + plane.width])
    return to
