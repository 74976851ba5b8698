"""The websocket server: events in, many subscribers out. docs/protocol.md says what it promises."""

from __future__ import annotations

from magtkd_rt.server.app import EventServer
from magtkd_rt.server.hub import Hub, Limits

__all__ = ["EventServer", "Hub", "Limits"]
