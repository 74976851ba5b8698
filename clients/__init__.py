"""Clients of a running server; they need only the wire types and a websocket.

client.js beside it is the same for browsers and node.
"""

from __future__ import annotations

from magtkd_rt.clients.connection import DEFAULT_URL
from magtkd_rt.clients.publish import Publisher, publish
from magtkd_rt.clients.subscriber import Update, subscribe

__all__ = ["DEFAULT_URL", "Publisher", "Update", "publish", "subscribe"]
