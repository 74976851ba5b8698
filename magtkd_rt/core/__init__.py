"""The pure core: no clock, no I/O, no threads, no models. `Session` is the way in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from magtkd_rt.core.config import SessionConfig
    from magtkd_rt.core.outbox import Output
    from magtkd_rt.core.segmenter import SegmenterConfig
    from magtkd_rt.core.session import Session, SessionInfo

__all__ = ["Output", "SegmenterConfig", "Session", "SessionConfig", "SessionInfo"]


def __getattr__(name: str) -> object:
    """Import what is asked for only then.

    Who needs `core.media` alone, such as the transcriber's process, begins 0.2 s sooner without
    the protocol's types, which the rest imports.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from magtkd_rt.core.config import SessionConfig
    from magtkd_rt.core.outbox import Output
    from magtkd_rt.core.segmenter import SegmenterConfig
    from magtkd_rt.core.session import Session, SessionInfo

    found: tuple[type, ...] = (Output, SegmenterConfig, Session, SessionConfig, SessionInfo)
    return found[__all__.index(name)]
