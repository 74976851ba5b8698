"""Subscribers to a running server; they need only the wire types and a websocket."""

from __future__ import annotations

from magtkd_rt.clients.subscriber import DEFAULT_URL, Update, subscribe

__all__ = ["DEFAULT_URL", "Update", "subscribe"]
