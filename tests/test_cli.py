"""The command line: every fault of a user is one line with its remedy, and exit code 2."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from recorded import Ran, write_wav

from magtkd_rt.bundle.store import Bundle

Run = Callable[..., Ran]

LIVE = [sys.executable, "-c", "from magtkd_rt.cli import live_main; live_main()"]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """A second of a sound that is no speech."""
    time = np.arange(16_000) / 16_000
    return write_wav(tmp_path / "tone.wav", 0.3 * np.sin(2 * np.pi * 440 * time))


@pytest.fixture
def copied(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle that may be damaged."""
    return Path(shutil.copytree(tiny_bundle.directory, tmp_path / "bundle"))


def assert_one_line(ran: Ran, *words: str) -> None:
    assert ran.code == 2
    lines = [line for line in ran.err.splitlines() if "magtkd: listening" not in line]
    assert len(lines) == 1, ran.err
    assert lines[0].startswith("magtkd: error: ")
    assert "; " in lines[0], "no remedy"
    assert "Traceback" not in ran.err + ran.out
    for word in words:
        assert word in lines[0]


# Options


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--no-mic", "--no-camera"], ["nothing to hear or see", "--input FILE"]),
        (["--fast"], ["faster than it hears", "--fast"]),
        (["--no-mic", "--camera", "no-such.mp4"], ["no camera 'no-such.mp4'", "magtkd devices"]),
        (["--bogus"], ["--bogus", "--help"]),
        (["--fps", "many"], ["--fps"]),
        (["--input", "x.wav", "--fps", "0"], ["fps = 0.0"]),
        (["--input", "x.wav", "--port", "70000"], ["port = 70000"]),
        (["--input", "x.wav", "--asr", "dragon"], ["asr = 'dragon'", "whisper"]),
        (["--input", "x.wav", "--threads", "0"], ["threads = 0"]),
        (["--input", "x.wav", "--config", "none.toml"], ["none.toml", "--config"]),
        (["--input", "x.wav"], ["x.wav does not exist"]),
        (["--input", "x.wav", "--speaker"], ["--speaker"]),
        (["magtkd", "nonsense"], ["nonsense"]),
        (["magtkd", "bundle", "show", "no-such-bundle"], ["no-such-bundle"]),
        (["magtkd", "watch", "ftp://nowhere"], ["ftp://nowhere"]),
        (["magtkd", "bench", "run", "--input", "x.wav"], ["x.wav does not exist"]),
    ],
)
def test_wrong_options(run_program: Run, arguments: list[str], words: list[str]) -> None:
    assert_one_line(run_program(*arguments), *words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("ports = 3", ["'ports'", "port"]),
        ("port = [", ["no TOML"]),
        ("port = 'high'", ["port = 'high'", "8765"]),
    ],
)
def test_wrong_configuration(
    run_program: Run, tmp_path: Path, content: str, words: list[str]
) -> None:
    file = tmp_path / "live.toml"
    file.write_text(content)
    assert_one_line(run_program("--input", "x.wav", "--config", file), *words)


def test_options_win_over_the_configuration(
    run_program: Run, tmp_path: Path, tone: Path, tiny_bundle: Bundle
) -> None:
    journal = tmp_path / "events.jsonl"
    file = tmp_path / "live.toml"
    file.write_text(
        f"input = 'missing.wav'\nfast = true\nasr = 'none'\nserver = false\n"
        f"bundle = '{tiny_bundle.directory}'\njsonl = '{journal}'\n"
    )
    ran = run_program("--config", file, "--input", tone)
    assert (ran.code, ran.err) == (0, "")
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert events[0]["type"] == "session.started"
    assert events[0]["bundle"]["name"] == "tiny"
    assert events[-1]["type"] == "session.ended"
    assert ran.out.count("\n") >= len(events)


def test_help_and_version(run_program: Run) -> None:
    for arguments in (["--help"], ["magtkd", "--help"], ["magtkd", "train", "starter", "--help"]):
        ran = run_program(*arguments)
        assert ran.code == 0
        assert "magtkd" in ran.out
    for arguments in (["--version"], ["magtkd", "--version"]):
        assert run_program(*arguments).out.startswith("magtkd-rt ")


# Recordings


def silent_film(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            image = np.zeros((48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("folder", ["not a regular file"]),
        ("empty", ["is empty"]),
        ("text", ["not a media file"]),
        ("zero length", ["neither sound nor picture"]),
        ("silent film", ["no sound"]),
    ],
)
def test_recordings_that_cannot_be_heard(
    run_program: Run, tmp_path: Path, kind: str, words: list[str]
) -> None:
    path = tmp_path / "recording.wav"
    match kind:
        case "folder":
            path.mkdir()
        case "empty":
            path.touch()
        case "text":
            path.write_text("to be or not to be " * 100)
        case "zero length":
            write_wav(path, np.zeros(0))
        case _:
            path = silent_film(tmp_path / "film.mp4")
    assert_one_line(run_program("--input", path, "--fast", "--no-server"), *words)


def test_a_truncated_recording_keeps_what_was_heard(
    run_program: Run, tmp_path: Path, shared: Path, tiny_bundle: Bundle
) -> None:
    whole = (shared / "media/speech/librivox_0870.wav").read_bytes()
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole[: len(whole) // 2])
    journal = tmp_path / "events.jsonl"
    ran = run_program(
        *("--input", cut, "--fast", "--no-server", "--asr", "none", "--jsonl", journal),
        *("--bundle", tiny_bundle.directory),
    )
    assert_one_line(ran, "cut short", "whole file")
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    kinds = [event["type"] for event in events]
    assert "emotion" in kinds
    assert kinds[-1] == "session.ended"
    assert any("cut short" in event.get("message", "") for event in events)


def test_eight_kilohertz_stereo_is_fine(
    run_program: Run, tmp_path: Path, tiny_bundle: Bundle
) -> None:
    noise = np.random.default_rng(0).standard_normal((8000, 2)) * 0.01
    path = write_wav(tmp_path / "telephone.wav", noise, rate=8000)
    for more in ([], ["--channels-are-speakers"]):
        ran = run_program(
            *("--input", path, "--fast", "--no-server", "--asr", "none", *more),
            *("--bundle", tiny_bundle.directory),
        )
        assert (ran.code, ran.err) == (0, "")


def test_a_journal_that_cannot_be_written(run_program: Run, tone: Path, tmp_path: Path) -> None:
    ran = run_program("--input", tone, "--no-server", "--jsonl", tmp_path / "no" / "events.jsonl")
    assert_one_line(ran, "cannot be written", "--jsonl")


# Bundles


@pytest.mark.parametrize("fault", ["hash", "graph", "version", "golden"])
def test_damaged_bundles(run_program: Run, tone: Path, copied: Path, fault: str) -> None:
    manifest = copied / "manifest.json"
    match fault:
        case "hash":
            (copied / "audio.onnx").write_bytes(b"no graph")
            words = ["wrong hash", "audio.onnx"]
        case "graph":
            (copied / "audio.onnx").unlink()
            words = ["audio.onnx"]
        case "version":
            manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 99'))
            words = ["99"]
        case _:
            told = json.loads(manifest.read_text())
            for graph in told["graphs"].values():
                graph["tolerance"] = 1e-30
            manifest.write_text(json.dumps(told))
            words = ["golden"]
    arguments = ["--input", tone, "--fast", "--no-server", "--asr", "none", "--bundle", copied]
    assert_one_line(run_program(*arguments), *words)


# The server


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_in_use(run_program: Run, tone: Path, taken_port: int) -> None:
    ran = run_program("--input", tone, "--port", taken_port)
    assert_one_line(ran, f"port {taken_port} is already in use", "--port")


def test_an_address_that_others_could_reach(run_program: Run, tone: Path) -> None:
    assert_one_line(run_program("--input", tone, "--host", "0.0.0.0"), "0.0.0.0")


def test_nothing_to_watch(run_program: Run, taken_port: int) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert_one_line(run_program("magtkd", "watch", f"127.0.0.1:{port}"), str(port))


# Bundles and training


def test_bundle_show(run_program: Run, tiny_bundle: Bundle) -> None:
    ran = run_program("magtkd", "bundle", "show", tiny_bundle.directory)
    assert ran.code == 0
    assert "tiny 1" in ran.out
    assert "golden outputs" in ran.out


def test_training_without_torch_names_the_extra(
    run_program: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else found(name)
    )
    for command in (["train", "starter"], ["eval"]):
        ran = run_program("magtkd", *command, "--data", tmp_path, "--out", tmp_path)
        assert_one_line(ran, "torch is not installed", "magtkd-rt[train]")


# In processes of their own


def test_live_needs_neither_torch_nor_whisper(
    tone: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    # What was loaded is written where the journal was, once that is closed.
    script = (
        "import sys\n"
        "from magtkd_rt.cli import live_main\n"
        "try: live_main()\n"
        "finally: print(*sorted(sys.modules), sep='\\n', file=open(sys.argv[-1], 'w'))"
    )
    names = tmp_path / "modules.txt"
    options = ["--fast", "--no-view", "--port=0", "--asr=pocketsphinx"]
    subprocess.run(
        [
            *(sys.executable, "-c", script, *options, f"--bundle={tiny_bundle.directory}"),
            *("--input", str(tone), "--jsonl", str(names)),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=120,
    )
    loaded = set(names.read_text().split())
    assert "onnxruntime" in loaded
    heavy = {"torch", "transformers", "faster_whisper", "ctranslate2", "sklearn", "matplotlib"}
    assert not loaded & heavy


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_in_order(
    shared: Path, tiny_bundle: Bundle, tmp_path: Path, number: signal.Signals
) -> None:
    journal = tmp_path / "events.jsonl"
    options = ["--no-view", "--port=0", "--asr=none", f"--bundle={tiny_bundle.directory}"]
    recording = shared / "media/speech/librivox_0930.wav"
    with subprocess.Popen(
        [*LIVE, *options, f"--input={recording}", f"--jsonl={journal}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if " speech " in line:
                break
        time.sleep(0.5)
        process.send_signal(number)
        rest, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert events[-1]["type"] == "session.ended"
    assert events[-1]["reason"] == ("interrupted" if number == signal.SIGINT else "terminated")
    started = {e["utterance_id"] for e in events if e["type"] == "speech.started"}
    ended = {e["utterance_id"] for e in events if e["type"] in ("emotion", "utterance.dropped")}
    assert started == ended != set()
    assert " ended " in rest


def test_a_reader_that_leaves_does_not_end_it(
    shared: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    journal = tmp_path / "events.jsonl"
    options = ["--fast", "--no-server", "--asr=none", f"--bundle={tiny_bundle.directory}"]
    recording = shared / "media/speech/7902-96591-0000.flac"
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [*LIVE, *options, f"--input={recording}", f"--jsonl={journal}"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(writing)
    assert (process.returncode, process.stderr) == (0, "")
    assert json.loads(journal.read_text().splitlines()[-1])["type"] == "session.ended"
