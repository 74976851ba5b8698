"""The pure core: no clock, no I/O, no threads, no models. `Session` is the way in."""

from magtkd_rt.core.config import SessionConfig
from magtkd_rt.core.outbox import Output
from magtkd_rt.core.segmenter import SegmenterConfig
from magtkd_rt.core.session import Session, SessionInfo

__all__ = ["Output", "SegmenterConfig", "Session", "SessionConfig", "SessionInfo"]
