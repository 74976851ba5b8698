"""Nobody is heard or seen by accident; one Ctrl-C lets the last utterance finish."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from recorded import Ran

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.cli.consent import consent_line
from magtkd_rt.config import LiveConfig
from magtkd_rt.core.media import SAMPLE_RATE
from magtkd_rt.runtime import assembly
from magtkd_rt.sources import MediaInfo, camera
from magtkd_rt.sources.fakes import FakeAudio, FakeCapture
from magtkd_rt.sources.portaudio import MicrophoneInfo

Run = Callable[..., Ran]
DESK = MicrophoneInfo(2, "Desk microphone", 1, SAMPLE_RATE, default=True)
QUIET = ["--no-camera", "--no-view", "--no-server", "--asr=none"]

ON_FAKES = """
import fcntl, os, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-C there is an interrupt here
from magtkd_rt.runtime import assembly
from magtkd_rt.sources.fakes import FakeAudio
from magtkd_rt.sources.portaudio import MicrophoneInfo
class Tells(FakeAudio):
    def open(self, *arguments):
        os.write(1, b"THE MICROPHONE IS OPEN")  # beside the view, which has taken print
        return super().open(*arguments)
audio = Tells(MicrophoneInfo(2, "Desk microphone", 1, 16_000, default=True))
assembly.PortAudio = lambda: audio
from magtkd_rt.cli import live_main
live_main()
"""


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def audio(monkeypatch: pytest.MonkeyPatch) -> FakeAudio:
    fake = FakeAudio(DESK)
    monkeypatch.setattr(assembly, "PortAudio", lambda: fake)
    return fake


@pytest.fixture
def usual(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The usual configuration file, which does not exist yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    file = tmp_path / "config" / "magtkd" / "config.toml"
    file.parent.mkdir(parents=True)
    return file


def happened(journal: Path) -> list[str]:
    lines = journal.read_text().splitlines() if journal.exists() else []
    return [event.get("code", event["type"]) for event in map(json.loads, lines)]


def interrupt_when(true: Callable[[], object]) -> threading.Thread:
    """Press Ctrl-C here as soon as something holds, or after 20 s."""

    def wait() -> None:
        end = time.monotonic() + 20
        while not true() and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_without_a_terminal_somebody_must_have_said_yes(
    run_program: Run, audio: FakeAudio, usual: Path, tiny_bundle: Bundle
) -> None:
    ran = run_program(*QUIET, "--bundle", tiny_bundle.directory)
    assert ran.code == 2 and ran.err.count("\n") == 1
    for word in ("--yes", "consent = true", str(usual)):
        assert word in ran.err
    assert audio.opened == []


def test_the_usual_configuration_may_have_said_it(
    run_program: Run, audio: FakeAudio, usual: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    journal = tmp_path / "events.jsonl"
    usual.write_text(f"consent = true\njsonl = '{journal}'\n")
    pressing = interrupt_when(lambda: "engine" in happened(journal))
    ran = run_program(*QUIET, "--bundle", tiny_bundle.directory)
    pressing.join()
    assert (ran.code, ran.err) == (0, "")
    assert happened(journal)[-1] == "session.ended"


def test_a_named_configuration_is_taken_instead_of_the_usual_one(
    run_program: Run, audio: FakeAudio, usual: Path, tmp_path: Path
) -> None:
    usual.write_text("consent = true\n")
    named = tmp_path / "other.toml"
    named.write_text("server = false\n")
    ran = run_program("--config", named, "--no-camera", "--no-view")
    assert ran.code == 2 and "--yes" in ran.err
    assert audio.opened == []


def test_the_usual_configuration_is_read_strictly(run_program: Run, usual: Path) -> None:
    usual.write_text("consents = true\n")
    ran = run_program("--input", "x.wav")
    assert ran.code == 2
    assert "'consents'" in ran.err and str(usual) in ran.err and "consent" in ran.err


def test_the_line_says_what_is_heard_and_seen_and_kept() -> None:
    media = MediaInfo("microphone Desk", "camera 0", 1)
    line = consent_line(LiveConfig(), media)
    for part in ("microphone Desk and camera 0", "no sound or picture is kept", "have to know"):
        assert part in line
    assert "RECORDED in talks" in consent_line(LiveConfig(record=Path("talks")), media)


class Terminal:
    """`magtkd-live` on a fake microphone, at a terminal of its own."""

    def __init__(self, *options: object) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_FAKES, *map(str, options)],
            stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True, env={**os.environ, "COLUMNS": "400"},
        )  # fmt: skip
        os.close(theirs)
        self.shown = ""

    def read_until(self, text: str) -> None:
        while text not in self.shown:
            self._read()

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def end(self) -> int:
        try:
            while True:
                self._read()
        except OSError:  # its other end was closed
            pass
        os.close(self._ours)
        return self.process.wait(20)

    def _read(self) -> None:
        ready, _, _ = select.select([self._ours], [], [], 30)
        assert ready, f"it hangs after {self.shown!r}"
        self.shown += os.read(self._ours, 65536).decode(errors="replace")


@pytest.mark.parametrize("answer", ["n\r", "no\r", "\x03", "\x04"])
def test_no_means_no(answer: str, tiny_bundle: Bundle) -> None:
    terminal = Terminal(*QUIET, "--bundle", tiny_bundle.directory)
    terminal.read_until("Begin?")
    assert "microphone Desk microphone" in terminal.shown
    terminal.press(answer)
    assert terminal.end() == 130
    assert "MICROPHONE IS OPEN" not in terminal.shown
    assert "Traceback" not in terminal.shown


def test_enter_means_yes_and_ctrl_c_ends_in_order(tiny_bundle: Bundle, tmp_path: Path) -> None:
    journal = tmp_path / "events.jsonl"
    terminal = Terminal(
        "--no-camera", "--no-server", "--asr=none", "--bundle", tiny_bundle.directory,
        "--jsonl", journal,
    )  # fmt: skip
    terminal.read_until("Begin?")
    assert not happened(journal)
    terminal.press("\r")
    terminal.read_until("MICROPHONE IS OPEN")
    terminal.press("\x03")
    assert terminal.end() == 0
    assert happened(journal)[-1] == "session.ended"


# Ctrl-C


def speech(shared: Path) -> NDArray[np.float32]:
    with av.open(str(shared / "media/speech/librivox_0930.wav")) as container:
        resampler = av.AudioResampler("fltp", "mono", SAMPLE_RATE)
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def test_what_is_being_said_at_ctrl_c_gets_its_result(
    run_program: Run,
    monkeypatch: pytest.MonkeyPatch,
    audio: FakeAudio,
    shared: Path,
    tiny_bundle: Bundle,
    tmp_path: Path,
) -> None:
    """Microphone and camera, and somebody in the middle of a sentence."""
    random = np.random.default_rng(0)

    def picture() -> NDArray[np.uint8]:
        time.sleep(0.05)
        return random.integers(0, 255, (120, 160, 3), np.uint8)

    monkeypatch.setattr(camera, "open_video", lambda _: FakeCapture(picture))
    journal = tmp_path / "events.jsonl"
    said = speech(shared)

    def talk() -> None:
        while not audio.opened:
            time.sleep(0.01)
        begin = time.monotonic()
        for first in range(0, len(said), 320):
            time.sleep(max(0.0, begin + first / SAMPLE_RATE - time.monotonic()))
            audio.feed(said[first : first + 320, np.newaxis], age=0.02)
            if "speech.started" in happened(journal) and first % SAMPLE_RATE == 0:
                break
        os.kill(os.getpid(), signal.SIGINT)

    talking = threading.Thread(target=talk)
    talking.start()
    ran = run_program(
        "--yes", "--no-view", "--no-server", "--asr=none",
        "--bundle", tiny_bundle.directory, "--jsonl", journal,
    )  # fmt: skip
    talking.join()
    assert (ran.code, ran.err) == (0, "")
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert events[0]["sources"] == {"audio": "microphone Desk microphone", "video": "camera 0"}
    started = {e["utterance_id"] for e in events if e["type"] == "speech.started"}
    finals = {e["utterance_id"] for e in events if e["type"] == "emotion"}
    assert started and started == finals
    assert events[-1]["type"] == "session.ended" and events[-1]["reason"] == "interrupted"


HANGS = """
import sys, time
from magtkd_rt.runtime.work import ModelWork
ModelWork.__call__ = lambda self, job: (print("WORKING", flush=True), time.sleep(60))
from magtkd_rt.cli import live_main
live_main()
"""


def test_a_second_ctrl_c_leaves_at_once(shared: Path, tiny_bundle: Bundle) -> None:
    """A model that takes a minute holds up the first one only."""
    recording = shared / "media/speech/librivox_0930.wav"
    with subprocess.Popen(
        [sys.executable, "-c", HANGS, "--input", str(recording), "--no-view", "--no-server",
         "--asr=none", "--bundle", str(tiny_bundle.directory)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if "WORKING" in line:
                break
        process.send_signal(signal.SIGINT)
        time.sleep(1)
        assert process.poll() is None, "it waits for the result"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=5)
    assert process.returncode == 130
    assert "Traceback" not in err
