"""`--record` keeps sound and pictures and says so; without it nothing is written at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded import Ran

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.core.media import SAMPLE_RATE, AudioChunk
from magtkd_rt.runtime.assembly import NOTICE, RECORDED
from magtkd_rt.sources import FileSource

Run = Callable[..., Ran]
LIVE = [sys.executable, "-c", "from magtkd_rt.cli import live_main; live_main()"]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def events_in(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.read_text().splitlines()]


def finals(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == "emotion" and event["stage"] == "final"]


def meaning(final: dict[str, Any]) -> dict[str, Any]:
    changing = ("seq", "session_id", "t", "emitted_at", "latency")
    return {key: value for key, value in final.items() if key not in changing}


@pytest.mark.parametrize("name", ["video/talking_head_1.mp4", "speech/librivox_0930.wav"])
def test_a_recording_gives_the_same_results_again(
    run_program: Run, shared: Path, tiny_bundle: Bundle, tmp_path: Path, name: str
) -> None:
    options = ["--fast", "--no-view", "--no-server", "--asr=pocketsphinx", "--fps=5"]
    options += [f"--bundle={tiny_bundle.directory}"]
    first, again = tmp_path / "first.jsonl", tmp_path / "again.jsonl"
    folder = tmp_path / "talks"
    ran = run_program(
        *options, "--input", shared / "media" / name, "--record", folder, "--jsonl", first
    )
    assert ran.code == 0, ran.err
    (kept,) = folder.iterdir()
    assert ran.err == f"magtkd: sound and pictures are in {kept}\n"
    events = events_in(first)
    assert kept.name == f"{events[0]['session_id']}.mkv"
    assert events[0]["notice"] == f"{NOTICE} {RECORDED}"
    assert (events[1]["code"], events[1]["level"]) == ("recording", "info")
    assert kept.name in events[1]["message"] and str(folder) not in events[1]["message"]

    ran = run_program(*options, "--input", kept, "--jsonl", again)
    assert (ran.code, ran.err) == (0, "")
    assert events_in(again)[0]["notice"] == NOTICE
    before, after = finals(events), finals(events_in(again))
    assert len(before) >= 1
    if "video" not in name:
        assert list(map(meaning, before)) == list(map(meaning, after))
        return
    for one, other in zip(before, after, strict=True):  # its pictures have been JPEGs
        for key in ("utterance_id", "label", "speaker", "start", "end", "text"):
            assert one[key] == other[key]
        assert one["modalities"]["video"]["present"] == other["modalities"]["video"]["present"]
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=0.02)


@pytest.mark.parametrize("folder", ["/dev/null/talks", "/proc/talks"])
def test_a_folder_that_cannot_be_written(run_program: Run, shared: Path, folder: str) -> None:
    recording = shared / "media/speech/librivox_0930.wav"
    ran = run_program("--input", recording, "--no-server", "--record", folder)
    assert ran.code == 2 and ran.err.count("\n") == 1
    assert folder in ran.err and "--record another folder" in ran.err


def test_a_disk_that_fills_up_ends_the_recording_not_the_session(
    shared: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """A file that may not grow beyond 300 kB stands for the disk."""
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)); "
        "from magtkd_rt.cli import live_main; live_main()"
    )
    journal = tmp_path / "events.jsonl"
    ran = subprocess.run(
        [sys.executable, "-c", limited, "--fast", "--no-view", "--no-server", "--asr=none",
         f"--bundle={tiny_bundle.directory}", f"--jsonl={journal}", f"--record={tmp_path}",
         f"--input={shared / 'media/speech/librivox_0870.wav'}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 2
    assert "cannot be written (File too large)" in ran.stderr and "--record" in ran.stderr
    assert ran.stderr.count("\n") == 1, ran.stderr
    events = events_in(journal)
    (failed,) = [event for event in events if event.get("code") == "recording_failed"]
    assert failed["level"] == "error"
    assert finals(events) and events[-1]["type"] == "session.ended"
    (kept,) = tmp_path.glob("*.mkv")
    sound = [item for item in FileSource(kept).media() if isinstance(item, AudioChunk)]
    assert sound[-1].end > 3 * SAMPLE_RATE  # of 7 s: what was written can be heard


def test_what_was_recorded_outlives_a_crash(
    shared: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    recording = shared / "media/video/talking_head_1.mp4"
    with subprocess.Popen(
        [*LIVE, "--no-view", "--no-server", "--asr=none", f"--bundle={tiny_bundle.directory}",
         f"--input={recording}", f"--record={tmp_path}"],
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(4)
        process.kill()
    (kept,) = tmp_path.glob("*.mkv")
    source = FileSource(kept)
    media = list(source.media())
    sound = np.concatenate([item.samples for item in media if isinstance(item, AudioChunk)])
    original = FileSource(recording)
    whole = [item.samples for item in original.media() if isinstance(item, AudioChunk)]
    assert 2 * SAMPLE_RATE < len(sound) < 6 * SAMPLE_RATE
    assert np.array_equal(sound, np.concatenate(whole)[: len(sound)])
    pictures = len(media) - sum(isinstance(item, AudioChunk) for item in media)
    assert pictures >= 20


def files_under(*folders: Path) -> set[Path]:
    return {path for folder in folders for path in folder.rglob("*") if path.is_file()}


def written_by(process: int) -> set[str]:
    """Files on a disk that a process holds open for writing just now."""
    found = set()
    for number in Path(f"/proc/{process}/fd").iterdir():
        try:
            target = str(number.readlink())
            info = Path(f"/proc/{process}/fdinfo/{number.name}").read_text()
        except OSError:
            continue
        flags = int(info.split("flags:")[1].split()[0], 8)
        if flags & os.O_ACCMODE != os.O_RDONLY and target.startswith("/"):
            found.add(target)
    return {target for target in found if not target.startswith(("/dev/", "/proc/"))}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("record", [False, True])
def test_nothing_is_written_unless_asked_for(
    shared: Path, tiny_bundle: Bundle, tmp_path: Path, record: bool
) -> None:
    places = {
        name: tmp_path / name
        for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
    }
    here = tmp_path / "here"
    for folder in (*places.values(), here):
        folder.mkdir()
    env = {**os.environ, **{name: str(folder) for name, folder in places.items()}}
    env.pop("MAGTKD_CACHE", None)
    open_for_writing: set[str] = set()
    with subprocess.Popen(
        [*LIVE, "--no-view", "--port=0", "--asr=pocketsphinx", f"--bundle={tiny_bundle.directory}",
         f"--input={shared / 'media/video/talking_head_2.mp4'}",
         *(["--record=talks"] if record else [])],
        env=env, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = process.stdout.readline()  # loaded: the session begins
        while process.poll() is None:
            open_for_writing |= written_by(process.pid)
            time.sleep(0.1)
        said += process.stdout.read()
    assert process.returncode == 0
    assert " ended " in said
    after = files_under(*places.values(), here)
    if record:  # so the test would see it
        (kept,) = after
        assert {str(kept)} == open_for_writing
    else:
        assert (after, open_for_writing) == (set(), set())
