"""Whether the server's port is free, and the folder for recordings can be written."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from magtkd_rt.doctor.finding import Finding
from magtkd_rt.server import EventServer, Hub


def check_port(host: str, port: int) -> list[Finding]:
    """Start the server for a moment.

    Raises:
        ServerError: it cannot start there.
    """

    async def serve() -> str:
        async with EventServer(Hub(), host, port) as server:
            return server.url

    return [Finding("port", "ok", f"free: {asyncio.run(serve())}")]


def check_folder(folder: Path) -> list[Finding]:
    """Whether recordings can be written to a folder, which need not exist yet. Makes nothing."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return [Finding("recordings", "ok", f"{folder} can be written")]
    remedy = "give --record another folder"
    return [Finding("recordings", "error", f"{folder} cannot be written", remedy)]
