"""`magtkd devices`, and `magtkd-live` on devices that are fakes."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from recorded import Ran

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.cli import devices as command
from magtkd_rt.errors import ExtraMissing
from magtkd_rt.runtime import assembly
from magtkd_rt.sources.cameras import CameraInfo
from magtkd_rt.sources.fakes import FakeAudio
from magtkd_rt.sources.portaudio import MicrophoneInfo

Run = Callable[..., Ran]
DESK = MicrophoneInfo(2, "Desk microphone", 1, 48_000, default=True)


def give(
    monkeypatch: pytest.MonkeyPatch, audio: FakeAudio, cameras: list[CameraInfo] | None = None
) -> None:
    monkeypatch.setattr(command, "PortAudio", lambda: audio)
    monkeypatch.setattr(assembly, "PortAudio", lambda: audio)
    monkeypatch.setattr(command, "list_cameras", lambda: cameras or [])


def test_a_table_of_each(run_program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cameras = [CameraInfo(0, "Webcam", True, 640, 480, 30.0), CameraInfo(2, "Taken", False)]
    give(monkeypatch, FakeAudio(DESK), cameras)
    ran = run_program("magtkd", "devices")
    assert ran.code == 0 and ran.err == ""
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["2", "Desk", "microphone", "1", "48000", "Hz", "yes"] in lines
    assert ["0", "Webcam", "640", "x", "480", "30", "yes"] in lines
    assert ["2", "Taken", "cannot", "be", "opened"] in lines


def test_none_at_all(run_program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, FakeAudio())
    ran = run_program("magtkd", "devices")
    assert ran.code == 1
    assert "No microphone" in ran.out and "No camera" in ran.out and "--input FILE" in ran.out


def test_without_the_library_cameras_are_listed(
    run_program: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> FakeAudio:
        raise ExtraMissing("PortAudio's library", remedy="install it")

    give(monkeypatch, FakeAudio(), [CameraInfo(0, "Webcam", True, 640, 480, 30.0)])
    monkeypatch.setattr(command, "PortAudio", missing)
    ran = run_program("magtkd", "devices")
    assert ran.code == 0
    assert "PortAudio's library is not installed; install it" in ran.err
    assert "Webcam" in ran.out


def test_live_without_a_microphone(run_program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, FakeAudio())
    ran = run_program("--no-view", "--no-server")
    assert ran.code == 2
    assert "no microphone was found; " in ran.err and "--input FILE" in ran.err


def test_live_until_interrupted(
    run_program: Run,
    monkeypatch: pytest.MonkeyPatch,
    tiny_bundle: Bundle,
    tmp_path: Path,
) -> None:
    """From a fake microphone, through a loss and a return, to Ctrl-C and a whole journal."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    audio = FakeAudio(DESK)
    give(monkeypatch, audio)
    journal = tmp_path / "events.jsonl"

    def happened() -> list[str]:
        lines = journal.read_text().splitlines() if journal.exists() else []
        return [event.get("code", event["type"]) for event in map(json.loads, lines)]

    def talk_until(code: str) -> None:
        end = time.monotonic() + 15
        while code not in happened() and time.monotonic() < end:
            audio.feed(np.zeros((960, 1), np.float32), age=0.02)
            time.sleep(0.02)

    def play() -> None:
        talk_until("session.started")
        talk_until("engine")
        while not audio.opened:
            time.sleep(0.01)
        audio.feed(np.zeros((960, 1), np.float32))
        time.sleep(0.3)
        audio.unplug()
        talk_until("device_lost")
        audio.plugged = [DESK]
        talk_until("device_back")
        os.kill(os.getpid(), signal.SIGINT)

    playing = threading.Thread(target=play)
    playing.start()
    ran = run_program(
        "--yes", "--no-camera", "--no-view", "--no-server", "--asr", "none",
        "--bundle", tiny_bundle.directory, "--jsonl", journal,
    )  # fmt: skip
    playing.join()
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert ran.code == 0, ran.err
    assert "A machine analyses what is said here" in ran.out
    assert events[0]["sources"] == {"audio": "microphone Desk microphone", "video": None}
    codes = [event["code"] for event in events if event["type"] == "status"]
    assert codes.index("device_lost") < codes.index("device_back")
    assert events[-1]["type"] == "session.ended" and events[-1]["reason"] == "interrupted"
