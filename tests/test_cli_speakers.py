"""`magtkd bench speakers` and `magtkd eval`, as a user calls them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from recorded import Ran, write_wav

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.train.diarization.reference import SpokenTurn, read_rttm, write_rttm

Run = Callable[..., Ran]
PNG = b"\x89PNG\r\n"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def conversation(shared: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two readers, a second of silence before each, and who speaks when."""
    sounds, turns, at = [], [], 0
    for name in ("6930-75918-0000", "7902-96591-0000"):
        sound, rate = soundfile.read(shared / f"media/speech/{name}.flac")
        assert rate == 16_000
        start = at + rate
        sounds += [np.zeros(rate), sound]
        at = start + len(sound)
        turns.append(SpokenTurn(start / rate, at / rate, name))
    audio, rttm = tmp_path / "talk.wav", tmp_path / "talk.rttm"
    write_wav(audio, np.concatenate([*sounds, np.zeros(16_000)]))
    write_rttm(turns, "talk", rttm)
    return audio, rttm


def speakers(run_program: Run, *arguments: object) -> Ran:
    return run_program("magtkd", "bench", "speakers", *arguments)


def assert_one_line(ran: Ran, *words: str) -> None:
    assert ran.code == 2
    assert ran.err.count("\n") == 1, ran.err
    assert ran.err.startswith("magtkd: error: ") and "; " in ran.err
    for word in words:
        assert word in ran.err


def test_a_run_measures_everything(
    run_program: Run, conversation: tuple[Path, Path], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    audio, rttm = conversation
    out = tmp_path / "report"
    ran = speakers(
        run_program,
        *("--audio", audio, "--rttm", rttm, "--out", out, "--json"),
        *("--bundle", tiny_bundle.directory),
    )
    assert (ran.code, ran.err) == (0, "")
    measured = json.loads(ran.out)
    assert measured == json.loads((out / "results.json").read_text())
    assert measured["speakers"]["true"] == ["6930-75918-0000", "7902-96591-0000"]
    assert measured["utterances"]["found"] >= 2
    rates = measured["diarization_error_rate"]
    # Pauses between and readers that are heard: little is missed.
    assert rates["collar, overlap skipped"]["missed"] < 0.2 * measured["speech_s"]
    assert rates["collar, overlap skipped"]["rate"] >= 0
    assert measured["changes"]["true"] == 1
    assert measured["own_utterances"]["turns"] == 2
    assert measured["compute"]["parts"]["core"] > 0
    assert measured["compute"]["per_speech_second"] == pytest.approx(
        sum(measured["compute"]["parts"].values()), abs=1e-4
    )
    heard = [(turn["start"], turn["end"]) for turn in measured["turns"]["found"]]
    assert [(t.start, pytest.approx(t.end)) for t in read_rttm(out / "found.rttm")] == heard
    assert (out / "timeline.png").read_bytes().startswith(PNG)


def test_the_table_and_finer_turns_beside(
    run_program: Run, conversation: tuple[Path, Path], tiny_bundle: Bundle
) -> None:
    audio, rttm = conversation
    rttm.with_suffix(".stm").write_text("talk 1 A 1.0 1.9 a\ntalk 1 A 1.9 2.8 b\n")
    ran = speakers(run_program, "--audio", audio, "--rttm", rttm, "--bundle", tiny_bundle.directory)
    assert (ran.code, ran.err) == (0, "")
    assert "diarization error rate, collar 0.25 s, overlap skipped" in ran.out
    assert "talk.stm" in ran.out


def test_help(run_program: Run) -> None:
    ran = speakers(run_program, "--help")
    assert ran.code == 0
    for option in ("--audio", "--rttm", "--out", "--json", "--bundle"):
        assert option in ran.out
    assert "speakers" in run_program("magtkd", "bench", "--help").out


def test_wrong_references(run_program: Run, conversation: tuple[Path, Path]) -> None:
    audio, rttm = conversation
    assert_one_line(speakers(run_program, "--audio", audio), "--rttm")
    missing = speakers(run_program, "--audio", audio, "--rttm", rttm.with_name("none.rttm"))
    assert_one_line(missing, "none.rttm cannot be read", "RTTM")
    assert_one_line(speakers(run_program, "--audio", audio, "--rttm", audio), "no text")
    rttm.with_suffix(".stm").write_text("talk\n")
    assert_one_line(speakers(run_program, "--audio", audio, "--rttm", rttm), "talk.stm, line 1")


def test_wrong_recordings_and_folders(
    run_program: Run, conversation: tuple[Path, Path], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    audio, rttm = conversation
    bundle = ("--bundle", tiny_bundle.directory)
    missing = speakers(run_program, "--audio", tmp_path / "none.wav", "--rttm", rttm, *bundle)
    assert_one_line(missing, "none.wav does not exist")
    other = write_wav(tmp_path / "short.wav", np.zeros(16_000))
    assert_one_line(
        speakers(run_program, "--audio", other, "--rttm", rttm, *bundle),
        "begins to speak",
        "reference of this recording",
    )
    assert_one_line(
        speakers(run_program, "--audio", audio, "--rttm", rttm, "--out", audio / "x", *bundle),
        "cannot make the folder",
    )
    cut = tmp_path / "cut.wav"
    cut.write_bytes(audio.read_bytes()[:-40_000])
    assert_one_line(speakers(run_program, "--audio", cut, "--rttm", rttm, *bundle), "cut short")


def test_without_pyannote_the_extra_is_named(
    run_program: Run, conversation: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "magtkd_rt.cli.speakers.find_spec",
        lambda name: None if name.startswith("pyannote") else found(name),
    )
    audio, rttm = conversation
    assert_one_line(
        speakers(run_program, "--audio", audio, "--rttm", rttm),
        "pyannote.metrics is not installed",
        "magtkd-rt[bench]",
    )


# magtkd eval


def test_eval_is_a_group_that_judges_a_bundle_unless_told_otherwise(
    run_program: Run, tmp_path: Path
) -> None:
    assert_one_line(run_program("magtkd", "eval"), "Missing option '--data'")
    data = ("--data", tmp_path, "--out", tmp_path / "out")
    for command in (["eval"], ["eval", "bundle"]):
        assert_one_line(run_program("magtkd", *command, *data), "not found", "--data DIR")
    assert_one_line(run_program("magtkd", "eval", "--bundle", "none", *data), "none")
    assert_one_line(run_program("magtkd", "eval", "nonsense", *data), "nonsense")


def test_eval_s_help_names_both(run_program: Run) -> None:
    told = run_program("magtkd", "eval", "--help")
    assert told.code == 0
    assert "bundle" in told.out and "speakers" in told.out
    speakers_help = run_program("magtkd", "eval", "speakers", "--help")
    assert speakers_help.code == 0
    for option in ("--data", "--out", "--seeds", "--actors", "--no-context"):
        assert option in speakers_help.out


def test_eval_speakers_refuses_what_it_cannot_use(run_program: Run, tmp_path: Path) -> None:
    data = ("--data", tmp_path, "--out", tmp_path / "out")
    command = ("magtkd", "eval", "speakers", *data)
    assert_one_line(run_program(*command), "RAVDESS not found")
    assert_one_line(run_program(*command, "--actors", "18-21"), "not of one split", "21-24 (test)")
    assert_one_line(run_program(*command, "--seeds", "0"), "--seeds")
    assert not (tmp_path / "out").exists()
