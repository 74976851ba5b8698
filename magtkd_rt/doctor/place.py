"""Whether the server's port is free, and the folder for recordings can be written."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from magtkd_rt.config import ServerConfig
from magtkd_rt.doctor.finding import Finding
from magtkd_rt.server import Hub
from magtkd_rt.server.build import server_from, warnings_for


def check_port(config: ServerConfig) -> list[Finding]:
    """Start the server for a moment, with its tokens and its certificate.

    Raises:
        MagtkdError: it cannot start there.
    """

    async def serve() -> str:
        async with server_from(config, Hub()) as server:
            return server.url

    found = [Finding("port", "ok", f"free: {asyncio.run(serve())}")]
    for warning in warnings_for(config):
        problem, _, remedy = warning.rpartition("; ")
        found.append(Finding("port", "warning", problem, remedy))
    return found


def check_folder(folder: Path) -> list[Finding]:
    """Whether recordings can be written to a folder, which need not exist yet. Makes nothing."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return [Finding("recordings", "ok", f"{folder} can be written")]
    remedy = "give --record another folder"
    return [Finding("recordings", "error", f"{folder} cannot be written", remedy)]
