"""Speech detection: the Silero model, streamed."""

from __future__ import annotations

from magtkd_rt.vad.silero import StreamingVad

__all__ = ["StreamingVad"]
