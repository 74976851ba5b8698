"""Talking to a server by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

Answer = tuple[int, dict[str, str], str]


async def _get(port: int, path: str, *, method: str = "GET", **headers: str) -> Answer:
    """One HTTP request: status, headers (lower case) and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    fields = {"Host": f"127.0.0.1:{port}", **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    first, *rest = head.split("\r\n")
    found = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in rest)}
    return int(first.split()[1]), found, body


@pytest.fixture
def get() -> Callable[..., Awaitable[Answer]]:
    """A plain HTTP client that sends what it is told to."""
    return _get


@pytest.fixture
def health() -> Callable[[int], Awaitable[dict[str, Any]]]:
    """What `/health` of the server on a port says."""

    async def ask(port: int) -> dict[str, Any]:
        return dict(json.loads((await _get(port, "/health"))[2]))

    return ask
