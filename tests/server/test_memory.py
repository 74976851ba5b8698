from __future__ import annotations

import subprocess
import sys

COME_AND_GO = """
import sys
from collections import deque
from magtkd_rt.server.memory import collect_often

class Connection:
    there = most = 0
    def __init__(self):
        self.circle = [self, *([] for _ in range(90))]
        Connection.there += 1
        Connection.most = max(Connection.most, Connection.there)
    def __del__(self):
        Connection.there -= 1

if sys.argv[1] == "often":
    collect_often()
live = deque()
for _ in range(5000):
    live.append(Connection())
    if len(live) > 50:
        live.popleft()
print(Connection.most)
"""
"""Fifty at a time, which live long enough to reach the collector's last generation."""

SERVE = """
import asyncio, gc
from magtkd_rt.cli.serving import serving
from magtkd_rt.config import ServerConfig
from magtkd_rt.server import Hub

async def main():
    async with serving(ServerConfig(port=0), Hub(), dict):
        print(gc.get_threshold()[2], gc.get_freeze_count() > 1000)

asyncio.run(main())
"""


def _run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, check=True, text=True
    )
    return done.stdout


def test_few_that_have_gone_are_kept() -> None:
    often, seldom = (int(_run(COME_AND_GO, how)) for how in ("often", "as Python does"))
    assert often < 200 < seldom


def test_every_server_collects_often() -> None:
    assert _run(SERVE) == "1 True\n"
