from __future__ import annotations

from pathlib import Path

import pytest
from event_script import EventScript
from hypothesis import given, settings
from hypothesis import strategies as st
from journals import as_json, lines, write_journal

from magtkd_rt import wire
from magtkd_rt.clients.export import Session, read, read_session
from magtkd_rt.errors import InputError


def _whole(script: EventScript) -> list[wire.Event]:
    return [
        script.started(),
        *script.utterance("u1"),
        script.speech("u2"),
        script.emotion("u2", "provisional"),
        script.dropped("u2"),
        *script.utterance("u3"),
        script.status(),
        script.ended(),
    ]


def _read_text(folder: Path, text: str | bytes, session_id: str | None = None) -> Session:
    path = folder / "talk.jsonl"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_session(path, session_id)


def _results(session: Session) -> list[tuple[str, str]]:
    return [(item.emotion.utterance_id, item.emotion.stage) for item in session.utterances]


def test_a_whole_session(tmp_path: Path, script: EventScript) -> None:
    session = read_session(write_journal(tmp_path / "a", _whole(script)))
    assert _results(session) == [("u1", "final"), ("u3", "final")]
    assert [event.utterance_id for event in session.dropped] == ["u2"]
    assert (session.unfinished, session.missing, session.cut_short) == (0, 0, False)
    assert [word.text for word in session.utterances[0].words] == ["so"]


def test_the_newest_revision_counts(tmp_path: Path, script: EventScript) -> None:
    events = [script.started(), *script.utterance("u1")]
    first = script.emotion("u1", "revised", label="anger").model_copy(update={"revision": 2})
    second = script.emotion("u1", "revised", label="fear").model_copy(update={"revision": 1})
    session = read_session(write_journal(tmp_path / "a", [*events, first, second]))
    assert [item.label for item in session.utterances] == ["anger"]


def test_a_provisional_result_never_counts_more_than_a_final_one(
    tmp_path: Path, script: EventScript
) -> None:
    final = script.emotion("u1")
    late = script.emotion("u1", "provisional").model_copy(update={"revision": 9})
    assert _results(read_session(write_journal(tmp_path / "a", [final, late]))) == [("u1", "final")]


def test_provisional_results_count_where_the_file_is_cut_short(
    tmp_path: Path, script: EventScript
) -> None:
    events = [
        script.started(),
        *script.utterance("u1"),
        script.speech("u2"),
        script.emotion("u2", "provisional"),
        script.speech("u3"),
    ]
    cut = read_session(write_journal(tmp_path / "a", events))
    assert cut.cut_short
    assert _results(cut) == [("u1", "final"), ("u2", "provisional")]
    assert cut.unfinished == 1
    whole = read_session(write_journal(tmp_path / "b", [*events, script.ended()]))
    assert _results(whole) == [("u1", "final")]
    assert whole.unfinished == 2


def test_a_file_may_end_anywhere(tmp_path: Path, script: EventScript) -> None:
    events = _whole(script)
    text = lines(events).encode()
    for end in range(len(lines(events[:1])), len(text), 37):
        session = _read_text(tmp_path, text[:end])
        complete = {
            event.utterance_id
            for event in events[: text[:end].count(b"\n")]
            if isinstance(event, wire.Emotion) and event.stage == "final"
        }
        assert complete <= {item.emotion.utterance_id for item in session.utterances}
        assert session.cut_short


def test_the_last_line_needs_no_end(tmp_path: Path, script: EventScript) -> None:
    assert not _read_text(tmp_path, lines(_whole(script)).removesuffix("\n")).cut_short


@pytest.mark.parametrize(
    "line",
    [
        b"{", b"no json", b"[]", b"17", b'"text"', b'{"type": "emotion"}', b"\xff\xfe",
        b'{"type": "status", "seq": 0}', b"[" * 10_000, b"{}",
        b'{"type": "session.ended", "seq": 1, "session_id": "a", "t": NaN, "totals": {}}',
    ],
)  # fmt: skip
def test_a_broken_line_is_named(tmp_path: Path, script: EventScript, line: bytes) -> None:
    text = lines(_whole(script)).encode().split(b"\n")
    with pytest.raises(InputError, match=r"talk\.jsonl, line 3 is no event: .*; give a file"):
        _read_text(tmp_path, b"\n".join([*text[:2], line, *text[2:]]))


@pytest.mark.parametrize(("start", "end"), [(5, 3), (-1, 3), (0, 1e300), (0, 1e7 + 1)])
def test_times_that_cannot_be_are_named(
    tmp_path: Path, script: EventScript, start: float, end: float
) -> None:
    line = as_json(script.emotion("u1"), start=start, end=end)
    with pytest.raises(InputError, match=r"line 2 tells of a time from .* s; give a file"):
        _read_text(tmp_path, f"\n{line}\n")


def test_a_line_without_end_is_not_swallowed(
    tmp_path: Path, script: EventScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "LONGEST_LINE", 4096)
    long = as_json(script.status(message="x" * 5000))
    with pytest.raises(InputError, match="line 2 is longer than"):
        _read_text(tmp_path, f"{lines([script.started()])}{long}\n")


def test_what_a_later_version_says_is_passed_over(tmp_path: Path, script: EventScript) -> None:
    text = lines(_whole(script))
    error = wire.dump_message(wire.Error(code="overload", message="too much"))
    session = _read_text(tmp_path, f'\ufeff{{"type": "gesture"}}\n\n{error}\r\n{text}')
    assert len(session.utterances) == 2


def test_events_that_are_missing_or_there_twice(tmp_path: Path, script: EventScript) -> None:
    events = _whole(script)
    kept = [event for event in events if not (isinstance(event, wire.Emotion) and event.seq == 4)]
    session = read_session(write_journal(tmp_path / "a", [*kept, *kept[3:7]]))
    assert session.missing == 1
    assert len(session.utterances) == 2


def test_a_snapshot_stands_for_what_came_before(tmp_path: Path, script: EventScript) -> None:
    events = _whole(script)
    results = [event for event in events if isinstance(event, wire.Emotion)]
    snapshot = wire.Snapshot(
        seq=7,
        session=events[0] if isinstance(events[0], wire.SessionStarted) else None,
        open_utterances=[],
        recent=[result for result in results if result.utterance_id == "u1"][-1:],
    )
    session = read_session(write_journal(tmp_path / "a", [snapshot, *events[8:]]))
    assert _results(session) == [("u1", "final"), ("u3", "final")]
    assert session.started is not None
    assert session.missing == 6


def test_one_of_several_sessions_has_to_be_chosen(tmp_path: Path) -> None:
    path = write_journal(tmp_path / "a", [*_whole(EventScript("a")), *_whole(EventScript("b"))])
    with pytest.raises(InputError, match="2 sessions; choose one with --session: a, b"):
        read_session(path)
    assert read_session(path, "b").session_id == "b"
    with pytest.raises(InputError, match="has no session c; it has a, b"):
        read_session(path, "c")


@pytest.mark.parametrize("text", ["", "\n\n", '{"type": "gesture"}\n', '{"type": "emo'])
def test_no_session_at_all(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="tells of no session"):
        _read_text(tmp_path, text)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_session(path)


def test_words_with_times_that_do_not_fit_do_no_harm(tmp_path: Path, script: EventScript) -> None:
    word = {"text": "so", "start": 9.0, "end": -2.0, "confidence": 1}
    text = as_json(script.words("u1", final=True), words=[word])
    session = _read_text(tmp_path, f"{text}\n{lines([script.emotion('u1')])}")
    assert session.utterances[0].text == "so it goes"


@settings(deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8")))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    with pytest.raises(InputError):
        _read_text(tmp_path_factory.getbasetemp(), data)


def test_what_a_real_session_wrote(real_journal: Path) -> None:
    session = read_session(real_journal)
    assert not session.cut_short
    assert session.missing == session.unfinished == 0
    assert session.ended is not None
    assert len(session.utterances) == session.ended.totals["emotions"] >= 1
    assert all(item.text and item.words for item in session.utterances)
