"""Speech to words: one small interface, and Whisper, pocketsphinx or a script behind it."""

from __future__ import annotations

from typing import Final

from magtkd_rt.asr.base import Transcriber, TranscriberStream
from magtkd_rt.asr.scripted import ScriptedTranscriber
from magtkd_rt.asr.select import AsrKind, select

TEXT_CONFIDENCE_THRESHOLD: Final = 0.5
"""A transcript under this is masked out of the fusion (docs/transcription.md)."""

__all__ = [
    "TEXT_CONFIDENCE_THRESHOLD",
    "AsrKind",
    "ScriptedTranscriber",
    "Transcriber",
    "TranscriberStream",
    "select",
]
