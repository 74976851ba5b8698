"""`magtkd send` against a server that keeps what it hears."""

from __future__ import annotations

import asyncio
import runpy
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from listening_host import serving
from recorded import write_wav

from magtkd_rt.core.media import AudioChunk, VideoFrame
from magtkd_rt.sources import FileSource

pytestmark = pytest.mark.anyio

SEND = (sys.executable, "-c", "from magtkd_rt.cli import main; main()", "send")


async def start(*args: str | Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *SEND, *map(str, args), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


async def send(*args: str | Path) -> tuple[int | None, str]:
    """The exit code, and what was said."""
    process = await start(*args)
    async with asyncio.timeout(30):
        out, errors = await process.communicate()
    return process.returncode, (out + errors).decode()


def sound_of(path: Path, channel: int = 0, *, split: bool = False) -> np.ndarray:
    with closing(FileSource(path, channels_are_speakers=split)) as source:
        chunks = [item for item in source.media() if isinstance(item, AudioChunk)]
    return np.concatenate([chunk.samples for chunk in chunks if chunk.channel == channel])


async def test_what_is_heard_is_the_recording(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 22_050)
    path = write_wav(tmp_path / "noise.wav", noise)
    async with serving() as (server, host, counters):
        code, said = await send(path, "--to", server.url, "--speaker", "Ada")
    assert (code, said) == (0, "noise.wav: session call-1\nwaiting for the last results\n")
    assert host.session is not None
    assert np.array_equal(host.session.heard(), sound_of(path))
    assert host.session.events[-2].speaker == "Ada"
    assert counters == {}


async def test_channels_stay_apart(tmp_path: Path) -> None:
    sides = np.random.default_rng(2).uniform(-0.5, 0.5, (16_000, 2))
    path = write_wav(tmp_path / "call.wav", sides)
    async with serving() as (server, host, counters):
        code, _ = await send(path, "--to", f"127.0.0.1:{server.port}", "--channels-are-speakers")
    assert code == 0
    assert host.session is not None
    for channel in (0, 1):
        wanted = sound_of(path, channel, split=True)
        assert np.array_equal(host.session.heard(channel), wanted)
    assert counters == {}


async def test_pictures_come_in_their_time(tmp_path: Path) -> None:
    make = runpy.run_path(str(Path(__file__).parent / "sources" / "recordings.py"))["write_movie"]
    # The sound begins after some pictures, and before others.
    path = make(
        tmp_path / "talk.mkv",
        pictures_at=[number / 5 for number in range(6)],
        sound_at=[0.3 + number / 10 for number in range(8)],
    )
    with closing(FileSource(path)) as source:
        wanted = [item.time_ns for item in source.media() if isinstance(item, VideoFrame)]
    async with serving() as (server, host, counters):
        code, _ = await send(path, "--to", server.url)
    assert code == 0
    assert host.session is not None
    assert len(wanted) == 6
    assert host.session.pictures == wanted
    assert counters == {}


async def test_ctrl_c_ends_the_session_in_order(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "long.wav", np.full(16_000 * 60, 0.1))
    async with serving() as (server, host, _), asyncio.timeout(30):
        process = await start(path, "--to", server.url)
        assert process.stderr is not None
        assert b"session call-1" in await process.stderr.readline()
        await asyncio.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"waiting for the last results\n")
        assert host.session is not None
        assert host.session.events[-1].type == "session.ended"
    assert 0 < len(host.session.heard()) < 16_000 * 20


async def test_faults_are_one_line(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros(1600))
    async with serving() as (server, _, _):
        pass
    code, said = await send(path, "--to", server.url)
    assert code == 2
    assert said.startswith("magtkd: error: no server answers at ws://127.0.0.1")
    assert said.endswith("give the address of one that runs\n")
    code, said = await send(tmp_path / "absent.wav", "--to", server.url)
    assert (code, said.count("\n")) == (2, 1)
    assert "absent.wav" in said
