from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from journals import hostile_sessions, session, utterance

from magtkd_rt import wire
from magtkd_rt.clients.export import FORMATS, Session, read_session

_TIME = re.compile(r"(\d{2,}):([0-5]\d):([0-5]\d),(\d{3})")


def _parse(text: str) -> list[tuple[float, float, list[str]]]:
    """The cues of a file as a strict reader takes them: seconds, seconds, lines."""
    cues = []
    for number, block in enumerate(text.split("\n\n")[:-1], start=1):
        counted, times, *shown = block.split("\n")
        assert counted == str(number)
        start, end = (_seconds(time) for time in times.split(" --> "))
        assert shown and all(line.strip() == line and line for line in shown)
        cues.append((start, end, shown))
    return cues


def _seconds(text: str) -> float:
    found = _TIME.fullmatch(text)
    assert found, text
    hours, minutes, seconds, ms = map(int, found.groups())
    return hours * 3600 + minutes * 60 + seconds + ms / 1000


def _cues(of: Session) -> list[tuple[float, float, list[str]]]:
    return _parse("".join(FORMATS["srt"](of)))


def test_a_cue_for_each_utterance() -> None:
    told = session(
        utterance(0, 1.5, text="so it goes"), utterance(3661.5, 3663, speaker="Anna", label="fear")
    )
    assert "".join(FORMATS["srt"](told)) == (
        "1\n00:00:00,000 --> 00:00:01,500\nS1 (joy): so it goes\n\n"
        "2\n01:01:01,500 --> 01:01:03,000\nAnna (fear): so it goes\n\n"
    )


def test_doubt_is_told() -> None:
    told = session(
        utterance(0, 1, abstained=True),
        utterance(2, 3, stage="provisional"),
        utterance(4, 5, text=""),
    )
    texts = [" ".join(lines) for _, _, lines in _cues(told)]
    assert texts == [
        "S1 (joy?): so it goes", "S1 (joy, provisional): so it goes", "S1 (joy): [no words]"
    ]  # fmt: skip


def test_a_long_text_is_cut_in_time() -> None:
    words = [f"word{number}" for number in range(40)]
    cues = _cues(session(utterance(10, 30, text=" ".join(words))))
    assert len(cues) > 2
    assert all(len(lines) <= 2 and max(map(len, lines)) <= 42 for _, _, lines in cues)
    assert [cues[0][0], cues[-1][1]] == [10, 30]
    assert all(earlier[1] == later[0] for earlier, later in pairwise(cues))
    said = " ".join(line for _, _, lines in cues for line in lines)
    assert said == f"S1 (joy): {' '.join(words)}"


def test_the_cut_is_where_the_words_are() -> None:
    words = [f"word{number}" for number in range(20)]
    # The first ten are said in one second, the others in nine.
    times = [index / 10 if index < 10 else 1 + (index - 10) * 0.9 for index in range(20)]
    timed = [
        wire.WireWord(text=word, start=start, end=start + 0.05, confidence=1)
        for word, start in zip(words, times, strict=True)
    ]
    first, second = _cues(session(utterance(0, 10, text=" ".join(words), words=timed)))
    begins = times[words.index(second[2][0].split()[0])]
    assert first[1] == second[0] == begins
    assert begins != 5  # where it would be by its letters


def test_people_who_begin_together_are_shown_together() -> None:
    told = session(utterance(0, 4, speaker="S1"), utterance(0.2, 5, speaker="S2"))
    assert _cues(told) == [(0, 5, ["S1 (joy): so it goes", "S2 (joy): so it goes"])]


def test_who_interrupts_takes_over() -> None:
    told = session(utterance(0, 4, speaker="S1"), utterance(2, 5, speaker="S2"))
    assert [(start, end) for start, end, _ in _cues(told)] == [(0, 2), (2, 5)]


@settings(deadline=None)
@given(hostile_sessions())
def test_any_session_gives_cues_in_order(told: Session) -> None:
    cues = _cues(told)
    assert all(start < end for start, end, _ in cues)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(cues))
    assert all(len(line) <= 42 for _, _, lines in cues for line in lines)
    assert all(len(lines) <= 4 for _, _, lines in cues)
    shown = "".join("".join(lines) for _, _, lines in cues)
    assert not set(shown) & set("<>{}")
    assert bool(cues) == bool(told.utterances)


def test_what_a_real_session_wrote(real_journal: Path) -> None:
    told = read_session(real_journal)
    cues = _cues(told)
    said = " ".join(line for _, _, lines in cues for line in lines)
    assert all(" ".join(item.text.split()) in said for item in told.utterances)
