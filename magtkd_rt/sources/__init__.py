"""Where sound and pictures come from: devices, files, and memory (a public fake).

A source stamps its media; it neither waits nor knows a model. `paced` makes a recording arrive
as fast as it was recorded.
"""

from __future__ import annotations

from magtkd_rt.sources.base import ArrivingSource, Media, MediaInfo, Notice, Source, arrival_ns
from magtkd_rt.sources.file import FileSource
from magtkd_rt.sources.memory import MemorySource
from magtkd_rt.sources.pacing import Clock, paced

__all__ = [
    "ArrivingSource",
    "Clock",
    "FileSource",
    "Media",
    "MediaInfo",
    "MemorySource",
    "Notice",
    "Source",
    "arrival_ns",
    "paced",
]
