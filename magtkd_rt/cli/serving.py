"""The server around a command: its log, what is to be warned of, and room for its sockets."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from magtkd_rt.config import ServerConfig
from magtkd_rt.server import EventServer, Hub
from magtkd_rt.server.app import Endpoint
from magtkd_rt.server.build import make_room, server_from, warnings_for
from magtkd_rt.server.logs import close_log, open_log
from magtkd_rt.server.memory import collect_often


@asynccontextmanager
async def serving(
    config: ServerConfig,
    hub: Hub,
    health: Callable[[], Mapping[str, object]],
    *,
    ingest: Endpoint | None = None,
) -> AsyncIterator[EventServer]:
    """Serve as the settings want it, with the log that they want.

    Args:
        config: the settings.
        hub: whose events.
        health: as for `EventServer`.
        ingest: as for `EventServer`.

    Raises:
        MagtkdError: a setting cannot be used, or the address cannot be listened on.
    """
    server = server_from(config, hub, health, ingest=ingest)
    for warning in (*make_room(config), *warnings_for(config)):
        print(f"magtkd: warning: {warning}", file=sys.stderr)
    collect_often()
    log = open_log(config.log) if config.log else None
    try:
        async with server:
            yield server
    finally:
        if log is not None:
            close_log(log)
