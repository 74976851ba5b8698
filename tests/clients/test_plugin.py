"""The programs of docs/plugin.md, run as they stand there."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import urllib.request
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from both_clients import node
from listening_host import serving

from magtkd_rt.server import EventServer, Hub

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "plugin.md").read_text(encoding="utf-8")
PROGRAMS = {
    code.split(":")[0].lstrip("#/ "): code
    for code in re.findall(r"^```(?:python|js)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
}


def write(name: str, folder: Path) -> Path:
    path = folder / name
    path.write_text(PROGRAMS[name], encoding="utf-8")
    return path


async def printed(*command: str | Path) -> list[str]:
    """The lines that a program prints, which ends by itself and without complaint."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(30):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert (process.returncode, errors.decode()) == (0, "")
    return out.decode().splitlines()


def angry_meeting(hub: Hub, script: Any) -> None:
    hub.publish(script.started())
    for number, label in enumerate(["joy", "anger", "anger", "anger"]):
        hub.publish(script.speech(f"u{number}"))
        hub.publish(script.emotion(f"u{number}", label=label))
    unsure = script.emotion("u9", label="anger").model_copy(update={"abstained": True})
    hub.publish(unsure)
    hub.publish(script.ended())


SAID = [
    "This conversation is analysed.",
    "speaker-1 (joy, 60%): so it goes",
    *["speaker-1 (anger, 60%): so it goes"] * 3,
    "speaker-1 has sounded angry three times of late. A break?",
]


def test_the_page_has_the_programs() -> None:
    assert PROGRAMS.keys() == {"bot.py", "bot.mjs", "participant.py"}
    # "In 30 lines": without the blank ones.
    assert all(len(re.findall(r"^.*\S", code, re.MULTILINE)) <= 30 for code in PROGRAMS.values())


async def test_the_python_bot(script: Any, tmp_path: Path) -> None:
    hub = Hub()
    angry_meeting(hub, script)
    async with EventServer(hub, port=0) as server:
        lines = await printed(sys.executable, write("bot.py", tmp_path), server.url)
    assert lines == [*SAID, "speaker-1: 3 x anger, 1 x joy"]


async def test_the_javascript_bot_with_the_client_that_the_server_has(
    script: Any, tmp_path: Path
) -> None:
    command = node()
    hub = Hub()
    angry_meeting(hub, script)
    async with EventServer(hub, port=0) as server:
        address = f"http://127.0.0.1:{server.port}/client.js"
        with await asyncio.to_thread(urllib.request.urlopen, address) as response:
            (tmp_path / "client.js").write_bytes(response.read())
        bot = write("bot.mjs", tmp_path)
        lines = await printed(*command, bot, server.url)
        assert lines == SAID
    (said,) = await printed(*command, bot, server.url)
    assert said.startswith("no server answers at ws://127.0.0.1")


async def test_a_participant(tmp_path: Path) -> None:
    sound = np.arange(4410, dtype=np.int16)
    with wave.open(str(tmp_path / "ada.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(sound.tobytes())
    program = write("participant.py", tmp_path)
    async with serving() as (server, host, _):
        lines = await printed(sys.executable, program, server.url, "Ada", tmp_path / "ada.wav")
    assert lines == ["Ada joy so it goes"]
    assert host.session is not None
    assert len(host.session.heard()) == pytest.approx(
        1600, abs=40
    )  # a tenth of a second, resampled
