from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from journals import hostile_sessions, session, utterance

from magtkd_rt.clients.export import FORMATS, Session, read_session
from magtkd_rt.clients.export.session import plain
from magtkd_rt.labels import LABELS


def _rows(of: Session) -> list[dict[str, str]]:
    text = "".join(FORMATS["csv"](of))
    text.encode()
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert len({len(row) for row in rows}) == 1
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def test_all_that_is_known_of_an_utterance() -> None:
    (row,) = _rows(session(utterance(1.25, 3.5, text='so, "it" goes', speaker="Anna")))
    assert row["session_id"] == "call-1"
    assert (row["start_s"], row["end_s"], row["speaker"]) == ("1.25", "3.5", "Anna")
    assert (row["label"], row["confidence"], row["abstained"]) == ("joy", "0.6", "false")
    assert row["text"] == 'so, "it" goes'
    assert sum(float(row[f"p_{label}"]) for label in LABELS) == pytest.approx(1)
    assert (row["audio_present"], row["audio_contribution"]) == ("true", "-0.01")
    assert (row["video_present"], row["video_contribution"]) == ("false", "")
    assert row["video_absent_because"] == "no_face"
    assert (row["latency_total_ms"], row["latency_asr_ms"]) == ("610.0", "80.0")
    assert row["emitted_at"] == "2025-03-01T12:00:00+00:00"


def test_a_session_without_utterances_has_its_header() -> None:
    text = "".join(FORMATS["csv"](session()))
    assert text.startswith("session_id,utterance_id,start_s,")
    assert text.count("\r\n") == 1


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", '=HYPERLINK("http://x")']
)
def test_no_text_becomes_a_formula(text: str) -> None:
    told = utterance(text=text, speaker=text, label=text, utterance_id=text)
    (row,) = _rows(session(told))
    for column in ("text", "speaker", "label", "utterance_id"):
        assert row[column] == f"'{plain(text)}"


@settings(deadline=None)
@given(hostile_sessions())
def test_any_session_can_be_read_back(told: Session) -> None:
    rows = _rows(told)
    assert len(rows) == len(told.utterances)
    for row, item in zip(rows, told.utterances, strict=True):
        assert row["text"].removeprefix("'") == item.text.removeprefix("'")
        assert float(row["end_s"]) == item.emotion.end
        for column, value in row.items():
            if value.startswith(("=", "+", "@", "\t", "\r")):
                pytest.fail(f"{column} is a formula: {value!r}")
            if value.startswith("-"):
                float(value)


def test_what_a_real_session_wrote(real_journal: Path) -> None:
    told = read_session(real_journal)
    rows = _rows(told)
    assert [row["text"] for row in rows] == [item.text for item in told.utterances]
    assert all(row["face_seen"] for row in rows)
