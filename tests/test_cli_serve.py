"""`magtkd serve` as a user has it: conversations side by side, and an end in order."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from magtkd_rt import wire
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.clients.publish import publish
from magtkd_rt.core.media import AudioChunk
from magtkd_rt.errors import ServerError
from magtkd_rt.sources import FileSource

SERVE = [sys.executable, "-c", "from magtkd_rt.cli import main; main()", "serve", "--port=0"]
AUDIO = wire.AudioFormat(sample_rate=16_000, encoding="pcm_f32le")


@contextmanager
def serving(bundle: Bundle, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    arguments = [*SERVE, "--asr=none", f"--bundle={bundle.directory}", *options]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "serving on" in line:
                    yield line.split()[-1].strip(), process
                    return
            pytest.fail("it did not begin")
        finally:
            process.kill()


def sound(path: Path, seconds: float) -> list[AudioChunk]:
    chunks = [item for item in FileSource(path).media() if isinstance(item, AudioChunk)]
    return [chunk for chunk in chunks if chunk.end <= seconds * 16_000]


async def send(url: str, chunks: list[AudioChunk], stop: asyncio.Event | None = None) -> list[str]:
    """Send in real time; returns the kinds of the events and the labels of what is final."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    async with publish(url, audio=AUDIO, subscribe=True, attempts=0) as publisher:
        for chunk in chunks:
            await asyncio.sleep(begin + chunk.end / 16_000 - loop.time())
            await publisher.sound(chunk.samples, round(chunk.start / 16_000 * 1e6))
        if stop is not None:
            stop.set()
            return [described(event) async for event in publisher.events()]
        await publisher.end()
        return [described(event) async for event in publisher.events()]


def described(event: object) -> str:
    if isinstance(event, wire.Emotion):
        return f"{event.stage} {event.utterance_id} {event.label} {event.start} {event.end}"
    return str(getattr(event, "type", ""))


def finals(events: list[str]) -> list[str]:
    return [event for event in events if event.startswith("final")]


@pytest.mark.anyio
async def test_conversations_side_by_side(
    shared: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    chunks = sound(shared / "media/video/talking_head_1.mp4", 6)
    options = ["--max-sessions=2", "--no-provisional", f"--jsonl={tmp_path}"]
    with serving(tiny_bundle, *options) as (url, process):
        tasks = [asyncio.create_task(send(url, chunks)) for _ in range(2)]
        await asyncio.sleep(1)
        with pytest.raises(ServerError, match="2 conversations are going on already"):
            await send(url, chunks)
        with urllib.request.urlopen(f"{url}health") as answer:
            health = json.load(answer)
        assert health["sessions_running"] == 2
        one, other = await asyncio.gather(*tasks)
        assert finals(one) == finals(other) != []
        assert one[0] == "session.started"
        assert one[-1] == "session.ended"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    journals = [path.read_text().splitlines() for path in tmp_path.glob("*.jsonl")]
    assert len(journals) == 2
    for journal in journals:
        assert [json.loads(line)["type"] for line in journal][-1] == "session.ended"


@pytest.mark.anyio
async def test_stopped_it_gives_everybody_their_results(shared: Path, tiny_bundle: Bundle) -> None:
    chunks = sound(shared / "media/video/talking_head_1.mp4", 4)
    with serving(tiny_bundle) as (url, process):
        sent = asyncio.Event()
        sending = asyncio.create_task(send(url, chunks, sent))
        await sent.wait()
        process.send_signal(signal.SIGTERM)
        with pytest.raises(ServerError):
            await sending
        assert process.wait(15) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_it_does_not_begin_where_it_cannot(
    tiny_bundle: Bundle, tmp_path: Path, run_program: object
) -> None:
    assert callable(run_program)
    ran = run_program("magtkd", "serve", "--host=192.0.2.1", f"--bundle={tiny_bundle.directory}")
    assert ran.code == 2
    assert "192.0.2.1" in ran.err
    ran = run_program("magtkd", "serve", "--port=0", f"--bundle={tmp_path}")
    assert ran.code == 2
    assert str(tmp_path) in ran.err
