"""The Python client and the JavaScript one, driven alike."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import shutil
import subprocess
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magtkd_rt import wire
from magtkd_rt.clients import publish, subscribe
from magtkd_rt.clients.follow import follow
from magtkd_rt.errors import ServerError

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "clients" / "client.js"
RUNNER = ROOT / "tests" / "clients" / "run_client.mjs"
SECONDS = 30.0


@dataclass
class Outcome:
    """What a client yielded, in order, and how it ended."""

    updates: list[Any] = field(default_factory=list)
    error: dict[str, str] | None = None
    dropped: dict[str, int] = field(default_factory=dict)


class PythonClient:
    """Runs in this process."""

    async def read(self, url: str, options: dict[str, Any]) -> Outcome:
        outcome = Outcome()
        try:
            async with asyncio.timeout(SECONDS), aclosing(subscribe(url, **options)) as updates:
                async for update in updates:
                    outcome.updates.append(update)
        except ServerError as error:
            outcome.error = {"problem": error.problem, "remedy": error.remedy}
        return outcome

    async def follow(self, url: str, count: int) -> Outcome:
        outcome = Outcome()
        async with asyncio.timeout(SECONDS), aclosing(follow(url, wait=0.01)) as updates:
            async for update in updates:
                outcome.updates.append(update)
                if len(outcome.updates) == count:
                    break
        return outcome

    async def send(
        self, url: str, options: dict[str, Any], actions: list[dict[str, Any]]
    ) -> Outcome:
        outcome = Outcome()
        given = dict(options)
        for name, form in (("audio", wire.AudioFormat), ("video", wire.VideoFormat)):
            if name in given:
                given[name] = form.model_validate(given[name])
        try:
            async with asyncio.timeout(SECONDS), publish(url, **given) as publisher:
                for action in actions:
                    if samples := action.get("sound"):
                        ((kind, values),) = samples.items()
                        await publisher.sound(np.array(values, kind), action["at"])
                    elif "picture" in action:
                        await publisher.picture(bytes.fromhex(action["picture"]), action["at"])
                await publisher.end()
                outcome.updates = [update async for update in publisher.events()]
            outcome.dropped = publisher.dropped
        except ServerError as error:
            outcome.error = {"problem": error.problem, "remedy": error.remedy}
        return outcome


class JavaScriptClient:
    """Runs in node, a process for each job."""

    async def read(self, url: str, options: dict[str, Any]) -> Outcome:
        return await self._run(job="read", url=url, options=options)

    async def follow(self, url: str, count: int) -> Outcome:
        return await self._run(job="follow", url=url, count=count)

    async def send(
        self, url: str, options: dict[str, Any], actions: list[dict[str, Any]]
    ) -> Outcome:
        return await self._run(job="send", url=url, options=options, actions=actions)

    async def _run(self, **work: Any) -> Outcome:
        outcome = Outcome()
        for line in await in_node(**work):
            ((kind, value),) = line.items()
            match kind:
                case "update":
                    outcome.updates.append(wire.parse_message(json.dumps(value)))
                case "error":
                    outcome.error = value
                case "dropped":
                    outcome.dropped = value
        return outcome


async def in_node(*, seconds: float = SECONDS, **work: Any) -> list[dict[str, Any]]:
    """The lines that run_client.mjs prints for a job; skips the test where node is missing."""
    process = await asyncio.create_subprocess_exec(
        *(*node(), str(RUNNER), json.dumps({"client": CLIENT.as_uri(), **work})),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds):
            printed, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        printed, errors = await process.communicate()
        pytest.fail(f"node takes too long after {printed.decode()[-2000:]}")
    assert process.returncode == 0, errors.decode()
    return [json.loads(line) for line in printed.decode().splitlines()]


@functools.cache
def _node() -> list[str] | None:
    found = shutil.which("node")
    if found is None:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.match(r"v(\d+)\.", said)
    if version is None or int(version[1]) < 20:
        return None
    # It has a WebSocket from 20.10 on, and shows it unasked from 22 on.
    return (
        [found] if int(version[1]) >= 22 else [found, "--experimental-websocket", "--no-warnings"]
    )


def node() -> list[str]:
    """How node is started; skips the test where there is none."""
    command = _node()
    if command is None:
        pytest.skip("node 20.10 or newer is not installed")
    return command


BOTH = pytest.mark.parametrize(
    "client",
    [pytest.param(PythonClient(), id="python"), pytest.param(JavaScriptClient(), id="javascript")],
)
