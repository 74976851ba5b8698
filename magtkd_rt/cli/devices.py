"""`magtkd devices`: which microphones and cameras there are."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from magtkd_rt.errors import MagtkdError
from magtkd_rt.sources.cameras import CameraInfo, list_cameras
from magtkd_rt.sources.portaudio import AudioSystem, PortAudio

NONE_FOUND = 1


def show_devices() -> int:
    """Print a table of each; returns the exit code: 1 where neither was found."""
    console = Console(highlight=False)
    found = 0
    try:
        audio = PortAudio()
        microphones = _microphones(audio)
    except MagtkdError as error:
        print(f"magtkd: microphones cannot be listed: {error}", file=sys.stderr)
    else:
        found += microphones.row_count
        _show(console, microphones, "No microphone was found; plug one in.")
    cameras = _cameras(list_cameras())
    found += cameras.row_count
    _show(console, cameras, "No camera was found; plug one in, or name a stream's address.")
    if not found:
        console.print("A recording can be heard without either: magtkd-live --input FILE")
    return 0 if found else NONE_FOUND


def _show(console: Console, table: Table, none: str) -> None:
    if table.row_count:
        console.print(table)
    else:
        console.print(none)
    console.print()


def _microphones(audio: AudioSystem) -> Table:
    table = Table("--mic", "microphone", "channels", "its rate", "also", "default", box=None)
    for one in audio.microphones():
        others = ", ".join(str(rate) for rate in audio.rates(one) if rate != one.rate)
        default = "yes" if one.default else ""
        table.add_row(
            str(one.index), one.name, str(one.channels), f"{one.rate} Hz", others, default
        )
    return table


def _cameras(cameras: Sequence[CameraInfo]) -> Table:
    table = Table("--camera", "camera", "size", "pictures/s", "default", box=None)
    for one in cameras:
        default = "yes" if one.index == 0 else ""
        size = f"{one.width} x {one.height}" if one.opens else "cannot be opened"
        rate = f"{one.fps:g}" if one.fps else ""
        table.add_row(str(one.index), one.name, size, rate, default)
    return table
