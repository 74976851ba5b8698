"""`--speaker NAME=FILE`: known voices, and every refusal in one line with exit code 2."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from recorded import Ran, write_wav

from magtkd_rt.bundle.store import Bundle

Run = Callable[..., Ran]


@pytest.fixture
def speech(shared: Path) -> Path:
    """Three seconds of one voice."""
    return shared / "media/speech/librivox_0880.wav"


def options(recording: Path, bundle: Bundle) -> list[object]:
    quiet = ["--fast", "--no-view", "--no-server", "--asr=none"]
    return [*quiet, "--input", recording, f"--bundle={bundle.directory}"]


def told(journal: Path) -> str:
    """What the session said of how it knows who speaks."""
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    (message,) = [e["message"] for e in events if e.get("code") == "speakers"]
    return str(message)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["Ann"], ["'Ann' is not NAME=FILE"]),
        (["=x.wav"], ["is not NAME=FILE"]),
        (["S1=x.wav"], ["'S1'", "another name"]),
        (["Ann=x.wav", "ann=y.wav"], ["'ann' is given twice"]),
        ([f"N{n}=x.wav" for n in range(9)], ["9 speakers are too many", "8"]),
        (["Ann=missing.wav"], ["missing.wav does not exist"]),
    ],
)
def test_refusals(
    run_program: Run, speech: Path, tiny_bundle: Bundle, given: list[str], words: list[str]
) -> None:
    flags = [f"--speaker={one}" for one in given]
    assert_one_line(run_program(*options(speech, tiny_bundle), *flags), *words)


def assert_one_line(ran: Ran, *words: str) -> None:
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
    assert ran.err.startswith("magtkd: error: ")
    assert "; " in ran.err, "no remedy"
    for word in words:
        assert word in ran.err


def test_no_speech_in_the_recording(
    run_program: Run, speech: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    tone = write_wav(tmp_path / "tone.wav", 0.3 * np.sin(np.arange(64_000) * 0.2))
    ran = run_program(*options(speech, tiny_bundle), "--speaker", f"Ann={tone}")
    assert_one_line(ran, "too little to know Ann by")


def test_channels_tell_better(run_program: Run, speech: Path, tiny_bundle: Bundle) -> None:
    flags = ["--channels-are-speakers", f"--speaker=Ann={speech}"]
    assert_one_line(run_program(*options(speech, tiny_bundle), *flags), "--speaker", "leave one")


def test_a_bundle_that_tells_no_voices_apart(
    run_program: Run, speech: Path, deaf_bundle: Bundle
) -> None:
    ran = run_program(*options(speech, deaf_bundle), f"--speaker=Ann={speech}")
    assert_one_line(ran, "cannot tell voices apart", "leave --speaker out")


def test_who_is_known_is_told_and_nothing_is_written(
    run_program: Run, speech: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    journal, before = tmp_path / "events.jsonl", sorted(tmp_path.rglob("*"))
    flags = [f"--speaker=Ann Lee={speech}", "--jsonl", journal]
    ran = run_program(*options(speech, tiny_bundle), *flags)
    assert (ran.code, ran.err) == (0, "")
    assert told(journal) == "speakers told apart by their voices; known are Ann Lee"
    assert sorted(tmp_path.rglob("*")) == [*before, journal]


def test_how_speakers_are_told_apart_is_told(
    run_program: Run, speech: Path, tiny_bundle: Bundle, deaf_bundle: Bundle, tmp_path: Path
) -> None:
    journal = tmp_path / "events.jsonl"
    for bundle, flags, message in (
        (tiny_bundle, [], "speakers told apart by their voices"),
        (tiny_bundle, ["--channels-are-speakers"], "each channel of the sound is a speaker"),
        (deaf_bundle, [], "all is one speaker: the bundle tiny cannot tell voices apart"),
    ):
        ran = run_program(*options(speech, bundle), *flags, "--jsonl", journal)
        assert (ran.code, ran.err) == (0, "")
        assert told(journal) == message


def test_speakers_in_the_configuration(
    run_program: Run, speech: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    file, journal = tmp_path / "live.toml", tmp_path / "events.jsonl"
    file.write_text(f"speaker = ['Ann={speech}', 'Ben={speech}']\n")
    ran = run_program(*options(speech, tiny_bundle), "--config", file, "--jsonl", journal)
    assert (ran.code, ran.err) == (0, "")
    assert told(journal).endswith("known are Ann, Ben")
    file.write_text("speaker = 'Ann'\n")
    ran = run_program(*options(speech, tiny_bundle), "--config", file)
    assert_one_line(ran, "speaker = 'Ann' makes no sense")
