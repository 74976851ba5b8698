"""Reading who speaks when: what people write, and what they should not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from magtkd_rt.errors import InputError
from magtkd_rt.train.diarization import reference
from magtkd_rt.train.diarization.reference import SpokenTurn, read_rttm, read_stm, write_rttm

Read = Callable[[Path], list[SpokenTurn]]


def test_the_call(shared: Path) -> None:
    speech = shared / "media/speech"
    turns, lines = (
        read_rttm(speech / "two_speaker_call.rttm"),
        read_stm(speech / "two_speaker_call.stm"),
    )
    assert len(turns) == 10
    assert turns[0] == SpokenTurn(6.69, 6.69 + 0.43, "speaker90")
    assert len(lines) == 13
    assert lines[-1] == SpokenTurn(28.445, 29.987, "Diane")
    assert turns == sorted(turns)


def test_what_is_not_about_speakers_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "a.rttm"
    file.write_bytes(
        b"\xef\xbb\xbf;; a comment\r\n"
        b"SPKR-INFO a 1 <NA> <NA> <NA> unknown Anna <NA>\r\n"
        b"\r\n"
        b"SPEAKER a 1 2.0 1.5 <NA> <NA> Anna <NA>\r\n"
        b"SPEAKER a 1 0.5 1 <NA> <NA> Bo <NA> <NA>\r\n"
        b"SPEAKER a 1 4 0 <NA> <NA> Bo <NA> <NA>\r\n"
    )
    assert read_rttm(file) == [SpokenTurn(0.5, 1.5, "Bo"), SpokenTurn(2.0, 3.5, "Anna")]
    file.write_text(
        "a 1 inter_segment_gap 0 1 <o,,>\na 1 Anna 1 2 IGNORE_TIME_SEGMENT_IN_SCORING\na 1 Bo 2 3\n"
    )
    assert read_stm(file) == [SpokenTurn(2, 3, "Bo")]


def test_written_turns_are_read_again(tmp_path: Path) -> None:
    turns = [SpokenTurn(0.25, 1.5, "S1"), SpokenTurn(1.5, 2.0, "S?")]
    write_rttm(turns, "a call of mine", tmp_path / "a.rttm")
    assert read_rttm(tmp_path / "a.rttm") == turns


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "nobody speaks"),
        (b";; nothing\n", "nobody speaks"),
        (b"SPEAKER a 1 1 0 <NA> <NA> Anna <NA>", "nobody speaks"),
        (b"\xff\xfe\x00\x01", "no text in UTF-8"),
        (b"RIFF....WAVE", "'RIFF....WAVE' is no RTTM"),
        (b"SPEAKER a 1 1.0 2.0", "line 1: 5 fields are too few"),
        (b"SPEAKER a 1 one 2.0 <NA> <NA> Anna", "'one' is no time"),
        (b"SPEAKER a 1 -1 2.0 <NA> <NA> Anna", "'-1' is no time"),
        (b"SPEAKER a 1 1 -2 <NA> <NA> Anna", "'-2' is no time"),
        (b"SPEAKER a 1 nan 2.0 <NA> <NA> Anna", "'nan' is no time"),
        (b"SPEAKER a 1 1 1e300 <NA> <NA> Anna", "'1e300' is no time"),
        (b"\nSPEAKER a 1 1 inf <NA> <NA> Anna", "line 2: 'inf' is no time"),
        (
            b"SPEAKER a 1 1 1 <NA> <NA> Anna\nSPEAKER b 1 1 1 <NA> <NA> Anna",
            "several recordings (a, b, ...)",
        ),
    ],
)
def test_what_is_no_rttm(tmp_path: Path, content: bytes, words: str) -> None:
    assert_refused(read_rttm, tmp_path, content, words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a 1 Anna", "3 fields are too few"),
        (b"a 1 Anna 1 x hello", "'x' is no time"),
        (b"a 1 Anna 3 1 hello", "before its start"),
        (b"a 1 Anna 1 1 hello", "nobody speaks"),
    ],
)
def test_what_is_no_stm(tmp_path: Path, content: bytes, words: str) -> None:
    assert_refused(read_stm, tmp_path, content, words)


def test_files_that_are_missing_or_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (tmp_path, tmp_path / "missing.rttm"):
        with pytest.raises(InputError, match="cannot be read"):
            read_rttm(path)
    many = b"".join(b"SPEAKER a 1 %d 1 <NA> <NA> Anna\n" % n for n in range(2001))
    assert_refused(read_rttm, tmp_path, many, "2001 turns, 2000 are the most")
    monkeypatch.setattr(reference, "MAX_BYTES", 1 << 20)
    assert_refused(read_rttm, tmp_path, b" " * (1 << 20) + b"\n", "larger than 1 MiB")


def assert_refused(read: Read, folder: Path, content: bytes, words: str) -> None:
    file = folder / "reference"
    file.write_bytes(content)
    with pytest.raises(InputError) as refused:
        read(file)
    assert words in refused.value.problem
    assert "\n" not in str(refused.value)
