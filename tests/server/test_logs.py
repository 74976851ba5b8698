"""What is logged, and what is not."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from magtkd_rt.errors import InputError
from magtkd_rt.server import EventServer, Hub, Limits
from magtkd_rt.server.logs import BURST, LOGGER, ServerLog, close_log, open_log

SPOKEN = "sesquipedalian"
"""A word that nothing but a transcript has."""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """A log that is being written."""
    path = tmp_path / "log.jsonl"
    level = LOGGER.level
    handler = open_log(str(path))
    yield path
    close_log(handler)
    LOGGER.setLevel(level)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def session(script: Any) -> list[Any]:
    lost = script.status("the camera 0: unplugged").model_copy(
        update={"code": "device_lost", "level": "warning"}
    )
    words = script.words("u1", text=SPOKEN), script.words("u1", text=SPOKEN, final=True)
    results = [script.emotion("u1", stage, text=SPOKEN) for stage in ("provisional", "final")]
    late = script.dropped("u2").model_copy(update={"reason": "overload"})
    numbered = [script.started(), script.speech("u1"), *words, *results, lost, late, script.ended()]
    return [e.model_copy(update={"seq": n}) for n, e in enumerate(numbered, 1)]


@pytest.mark.anyio
async def test_sessions_refusals_and_losses_are_logged_without_a_word(
    log: Path, script: Any
) -> None:
    hub = Hub(Limits(queue_messages=2))
    async with EventServer(hub, port=0) as server:
        with pytest.raises(InvalidStatus):
            await connect(server.url, additional_headers={"Origin": "http://evil.example"})
        for event in session(script):
            hub.publish(event)
    assert SPOKEN not in log.read_text("utf-8")
    lines = read(log)
    assert [line["event"] for line in lines] == [
        "refused_origin", "session_begun", "status", "utterance_dropped", "session_ended",
    ]  # fmt: skip
    refused, begun, lost, late, ended = lines
    assert (refused["level"], refused["address"]) == ("warning", "127.0.0.1")
    assert (refused["path"], "evil.example" in refused["reason"]) == ("/v1/events", True)
    assert {line["session_id"] for line in lines[1:]} == {"call-1"}
    assert (begun["bundle"], begun["asr"]) == ("starter", "scripted")
    assert (lost["code"], lost["level"]) == ("device_lost", "warning")
    assert (late["utterance_id"], late["reason"]) == ("u2", "overload")
    assert ended["reason"] == "end of input"
    assert all(line["time"].endswith("+00:00") for line in lines)


@pytest.mark.anyio
async def test_words_are_logged_where_they_are_asked_for(log: Path, script: Any) -> None:
    hub = Hub()
    async with EventServer(hub, port=0, log=ServerLog(words=True)):
        for event in session(script):
            hub.publish(event)
    (said,) = [line for line in read(log) if line["event"] == "utterance"]
    assert (said["text"], said["label"], said["session_id"]) == (SPOKEN, "joy", "call-1")


@pytest.mark.anyio
async def test_the_library_beneath_logs_no_frames(log: Path, script: Any) -> None:
    """Not even where somebody turns debugging on for everything."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    try:
        hub = Hub()
        async with EventServer(hub, port=0) as server, connect(f"{server.url}?since=0"):
            for event in session(script):
                hub.publish(event)
    finally:
        root.setLevel(level)
    assert SPOKEN not in log.read_text("utf-8")


def test_a_flood_of_refusals_does_not_fill_the_disk(log: Path) -> None:
    server_log = ServerLog()
    for _ in range(1000):
        server_log.lost("refused_host", "192.0.2.7", "host 'x' is not this server")
    server_log.lost("refused_token", "192.0.2.7", "this token is not known here")
    assert [line["event"] for line in read(log)] == ["refused_host"] * BURST + ["refused_token"]
    server_log._refusals._left.clear()
    server_log.lost("refused_host", "192.0.2.7", "host 'x' is not this server")
    assert read(log)[-1]["unlogged"] == 1000 - BURST


def test_control_characters_of_strangers_stay_in_one_line(log: Path) -> None:
    ServerLog().lost("refused_host", "192.0.2.7", 'host "\n{"event":"session_ended"}\x1b[2J"')
    (line,) = read(log)
    assert line["event"] == "refused_host"
    assert "\x1b" not in log.read_text("utf-8")


def test_a_log_is_added_to_and_nobody_else_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for _ in range(2):
        handler = open_log(str(path))
        ServerLog().lost("flooded", "192.0.2.7", "sent too much")
        close_log(handler)
    assert len(read(path)) == 2
    assert path.stat().st_mode & 0o077 == 0


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written .* --log"):
        open_log(str(tmp_path / "none" / "log.jsonl"))


def test_a_full_disk_ends_nothing() -> None:
    handler = open_log("/dev/full")
    ServerLog().lost("flooded", "192.0.2.7", "sent too much")
    close_log(handler)
