"""A true PortAudio microphone: the monitor of a null sink of PulseAudio, into which paplay plays.

Left out unless asked for: `pytest -m devices`. Needs the Debian packages libportaudio2,
pulseaudio, pulseaudio-utils and libasound2-plugins; a PulseAudio of its own runs for the test.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.core.media import SAMPLE_RATE

pytestmark = [pytest.mark.devices, pytest.mark.slow]

PACKAGES = "libportaudio2 pulseaudio pulseaudio-utils libasound2-plugins"
LIVE = [sys.executable, "-c", "from magtkd_rt.cli import live_main; live_main()"]

CAPTURE = """
import sys, threading, numpy as np
from magtkd_rt.sources.inbox import Inbox
from magtkd_rt.sources.live import LiveSource
from magtkd_rt.sources.microphone import Microphone
from magtkd_rt.sources.portaudio import PortAudio
inbox = Inbox()
source = LiveSource(Microphone("", inbox, PortAudio()), None, inbox)
threading.Timer(float(sys.argv[2]), source.close).start()
print("listening", flush=True)
chunks = list(source.media())
assert all(a.end == b.start for a, b in zip(chunks, chunks[1:]))
np.save(sys.argv[1], np.concatenate([chunk.samples for chunk in chunks]))
print(dict(source.dropped), list(source.notices))
"""


class Pulse:
    """A PulseAudio with one null sink, for the processes that get its `env`."""

    def __init__(self, home: Path) -> None:
        run = home / "run"
        (run / "pulse").mkdir(parents=True)
        run.chmod(0o700)
        (home / ".asoundrc").write_text(
            "pcm.!default { type pulse }\nctl.!default { type pulse }\n"
        )
        self.env = {
            **os.environ,
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(run),
            "PULSE_RUNTIME_PATH": str(run / "pulse"),
            "HF_HUB_OFFLINE": "1",
        }
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._server = subprocess.Popen(
            ["pulseaudio", "-n", "--exit-idle-time=-1", "--use-pid-file=no",
             "-L", "module-native-protocol-unix",
             "-L", "module-null-sink sink_name=fake rate=48000 channels=2"],
            env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        eventually(lambda: self.control("set-default-source", "fake.monitor"))

    def control(self, *arguments: str) -> bool:
        done = subprocess.run(["pactl", *arguments], env=self.env, capture_output=True, check=False)
        return done.returncode == 0

    def stop(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def play(self, recording: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["paplay", str(recording)], env=self.env)


def eventually(true: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.1)


@pytest.fixture
def pulse(tmp_path: Path) -> Iterator[Pulse]:
    if not all(map(shutil.which, ("pulseaudio", "pactl", "paplay"))):
        pytest.skip(f"needs the packages {PACKAGES}")
    server = Pulse(tmp_path / "home")
    server.start()
    yield server
    server.stop()


def decoded(path: Path) -> NDArray[np.float32]:
    """A recording as 16 kHz mono."""
    resampler = av.AudioResampler("fltp", "mono", SAMPLE_RATE)
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def likeness(heard: NDArray[np.float32], played: NDArray[np.float32]) -> float:
    """Correlation at the best place."""
    size = 1 << (len(heard) + len(played)).bit_length()
    product = np.fft.rfft(heard, size) * np.fft.rfft(played, size).conj()
    place = int(np.fft.irfft(product)[: len(heard)].argmax())
    there = heard[place : place + len(played)]
    return float(np.corrcoef(there, played[: len(there)])[0, 1])


def test_what_is_played_is_heard(pulse: Pulse, shared: Path, tmp_path: Path) -> None:
    recording = shared / "media" / "speech" / "librivox_0930.wav"
    out = tmp_path / "heard.npy"
    capture = subprocess.Popen(
        [sys.executable, "-c", CAPTURE, str(out), "9"],
        env=pulse.env, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert capture.stdout is not None and capture.stdout.readline() == "listening\n"
    time.sleep(1)
    player = pulse.play(recording)
    told, _ = capture.communicate(timeout=30)
    player.kill()
    player.wait()
    assert told == "{} []\n"
    played = decoded(recording)[SAMPLE_RATE // 2 : 4 * SAMPLE_RATE]
    assert likeness(np.load(out), played) > 0.98


def test_a_sound_system_that_dies_and_returns(
    pulse: Pulse, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    journal = tmp_path / "events.jsonl"

    def codes() -> list[str]:
        lines = journal.read_text().splitlines() if journal.exists() else []
        return [event.get("code", event["type"]) for event in map(json.loads, lines)]

    live = subprocess.Popen(
        [*LIVE, "--yes", "--no-camera", "--no-view", "--no-server", "--asr", "none",
         "--bundle", str(tiny_bundle.directory), "--jsonl", str(journal)],
        env=pulse.env, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(lambda: "engine" in codes())
    time.sleep(2)
    assert "device_lost" not in codes()
    pulse.stop()
    eventually(lambda: "device_lost" in codes())
    pulse.start()
    eventually(lambda: "device_back" in codes(), 60)
    live.send_signal(signal.SIGINT)
    assert live.wait(20) == 0
    assert codes()[-1] == "session.ended"


DOCTOR = [sys.executable, "-c", "from magtkd_rt.cli import main; main()", "doctor", "--json"]


def test_the_doctor_listens(pulse: Pulse, shared: Path) -> None:
    """Silence, then a recording that is played into the sink, then no sound system at all."""

    def examined() -> tuple[int, dict[str, dict[str, str]]]:
        done = subprocess.run(
            [*DOCTOR, "--asr=none", "--port=0"],
            env=pulse.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stderr == ""
        return done.returncode, {one["name"]: one for one in json.loads(done.stdout)}

    code, silent = examined()
    assert code == 0
    assert silent["microphone"]["level"] == "warning"
    assert (
        "-120 dBFS" in silent["microphone"]["found"] and "muted" in silent["microphone"]["remedy"]
    )
    assert silent["sound server"]["found"].endswith("fake.monitor")

    player = subprocess.Popen(
        ["sh", "-c", f"while paplay '{shared / 'media/speech/librivox_0870.wav'}'; do :; done"],
        env=pulse.env, start_new_session=True,
    )  # fmt: skip
    try:
        time.sleep(1)
        code, loud = examined()
    finally:
        os.killpg(player.pid, signal.SIGKILL)
        player.wait()
    assert (code, loud["microphone"]["level"]) == (0, "ok"), loud["microphone"]

    assert pulse.control("set-source-mute", "fake.monitor", "1")
    _, muted = examined()
    assert "is muted" in muted["sound server"]["found"]

    pulse.stop()
    code, none = examined()
    assert code == 1
    assert none["microphone"]["level"] == "error" and "--input FILE" in none["microphone"]["remedy"]


def test_what_a_microphone_recorded_is_recognised_alike_again(
    pulse: Pulse, shared: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    first, again = tmp_path / "first.jsonl", tmp_path / "again.jsonl"
    options = ["--no-view", "--no-server", "--asr", "none", "--bundle", str(tiny_bundle.directory)]

    def finals(journal: Path) -> list[dict[str, object]]:
        events = [json.loads(line) for line in journal.read_text().splitlines()]
        # A revision counts the provisional results before it: only as many as there was time for.
        changing = ("seq", "session_id", "t", "emitted_at", "latency", "revision")
        return [
            {key: value for key, value in event.items() if key not in changing}
            for event in events
            if event["type"] == "emotion" and event["stage"] == "final"
        ]

    live = subprocess.Popen(
        [*LIVE, *options, "--yes", "--no-camera", "--jsonl", str(first),
         "--record", str(tmp_path / "talks")],
        env=pulse.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(lambda: first.exists() and '"code":"engine"' in first.read_text())
    time.sleep(1)
    player = pulse.play(shared / "media" / "speech" / "librivox_0930.wav")
    eventually(lambda: '"speech.started"' in first.read_text())
    time.sleep(1.5)
    live.send_signal(signal.SIGINT)  # in the middle of a sentence
    assert live.wait(20) == 0
    player.kill()
    player.wait()
    (kept,) = (tmp_path / "talks").iterdir()
    subprocess.run(
        [*LIVE, *options, "--fast", "--input", str(kept), "--jsonl", str(again)],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert finals(first) == finals(again) != []
