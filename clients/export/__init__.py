"""Sessions as files for other programs, made from their events.

session = read_session(Path("talk.jsonl"))
for piece in FORMATS["srt"](session):
    print(piece, end="")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from magtkd_rt.clients.export.emotionml import emotionml
from magtkd_rt.clients.export.read import read_session
from magtkd_rt.clients.export.report import report
from magtkd_rt.clients.export.session import Session, Utterance
from magtkd_rt.clients.export.spreadsheet import spreadsheet
from magtkd_rt.clients.export.srt import srt
from magtkd_rt.clients.export.vtt import vtt

FORMATS: Final[Mapping[str, Callable[[Session], Iterator[str]]]] = {
    "srt": srt,
    "vtt": vtt,
    "csv": spreadsheet,
    "emotionml": emotionml,
    "html": report,
}
"""What a session can be written as: each yields a text file piece by piece, for UTF-8."""

__all__ = ["FORMATS", "Session", "Utterance", "read_session"]
