"""`magtkd watch` as it prints."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from magtkd_rt import wire
from magtkd_rt.clients.watch import describe, watch
from magtkd_rt.errors import ServerError
from magtkd_rt.server import EventServer, Hub

RUN = """
import signal, sys
# A shell's background jobs ignore it, and whatever they start does.
signal.signal(signal.SIGINT, signal.default_int_handler)
from magtkd_rt.clients.watch import run_watch
sys.exit(run_watch({url!r}, json={json}))
"""


def told(update: Any) -> str:
    return "\n".join(line.plain for line in describe(update))


def session(script: Any) -> list[Any]:
    return [script.started(), *script.utterance("u1"), script.speech("u2"), script.dropped("u2")]


@pytest.mark.anyio
async def test_json_lines_are_the_events(script: Any) -> None:
    hub = Hub()
    events = [*session(script), script.ended()]
    for event in events:
        hub.publish(event)
    out = io.StringIO()
    async with EventServer(hub, port=0) as server:
        await watch(server.url, json=True, console=Console(file=out))
    assert [wire.parse_message(line) for line in out.getvalue().splitlines()] == events


@pytest.mark.anyio
async def test_text_for_people(script: Any) -> None:
    hub = Hub()
    for event in [*session(script), script.ended()]:
        hub.publish(event)
    out = io.StringIO()
    async with EventServer(hub, port=0) as server:
        await watch(server.url, console=Console(file=out, width=60))
    text = out.getvalue()
    assert "This conversation is analysed." in text
    assert "speaker-1: so it goes" in text
    assert "joy      ████████████░░░░░░░░  60%" in text
    assert "text +0.20  audio -0.01  no video (no_face)" in text
    assert "610 ms" in text
    assert "u2: too_short" in text
    assert "end of input; utterances 1" in text
    assert "\x1b" not in text


def test_every_message_has_a_line(script: Any) -> None:
    for event in session(script):
        assert f"{event.t:8.2f} " in told(event)
    status = script.status().model_copy(update={"lag_ms": 40.0, "dropped": {"frames": 3}})
    assert told(status).endswith("all is well (lag 40 ms) [dropped frames 3]")
    unsure = script.emotion("u1").model_copy(update={"abstained": True})
    assert "unsure" in told(unsure)
    result = script.emotion("u1")
    state = wire.Snapshot(seq=3, session=None, open_utterances=[], recent=[result])
    assert told(state) == f"snapshot at 3: 1 recent utterances\n{told(result)}"


def test_text_of_others_cannot_command_the_terminal(script: Any) -> None:
    nasty = "\x1b]0;owned\x07\x1b[2J[red]hi[/red]\r\n\u202eabc\x9b31m"
    for event in (script.words("u", text=nasty), script.emotion("u", text=nasty)):
        out = io.StringIO()
        console = Console(file=out, force_terminal=True, color_system=None, width=200)
        for line in describe(event):
            console.print(line)
        assert "[red]hi[/red]" in out.getvalue()
        assert not set(out.getvalue()) & set("\x1b\x07\r\u202e\x9b")


@pytest.mark.anyio
async def test_no_server_is_told() -> None:
    async with EventServer(Hub(), port=0) as server:
        pass
    with pytest.raises(ServerError, match="start one with magtkd-live"):
        await watch(server.url)


async def start(url: str, *, json: bool) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUN.format(url=url, json=json)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.anyio
async def test_ctrl_c_ends_it_quietly(script: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0) as server, asyncio.timeout(15):
        process = await start(server.url, json=True)
        assert process.stdout is not None
        assert json.loads(await process.stdout.readline())["type"] == "session.started"
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


@pytest.mark.anyio
async def test_a_closed_pipe_ends_it_quietly(script: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    async with EventServer(hub, port=0) as server, asyncio.timeout(15):
        process = await asyncio.create_subprocess_shell(
            f'{sys.executable} -c "$CODE" | head -n 1; exit ${{PIPESTATUS[0]}}',
            env={"CODE": RUN.format(url=server.url, json=True), "PATH": "/usr/bin:/bin"},
            executable="/bin/bash",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert b"session.started" in await process.stdout.readline()
        while process.returncode is None:
            hub.publish(script.status())
            await asyncio.sleep(0.05)
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
