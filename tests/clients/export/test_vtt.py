from __future__ import annotations

import re
from html import unescape
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from journals import hostile_sessions, session, utterance

from magtkd_rt.clients.export import FORMATS, Session, read_session

_TIMING = re.compile(
    r"(\d{2,}):([0-5]\d):([0-5]\d)\.(\d{3}) --> (\d{2,}):([0-5]\d):([0-5]\d)\.(\d{3})"
)
_PAYLOAD = re.compile(r"<v ([^<>\n]+)>([^<>]*)</v>")
_REFERENCE = re.compile(r"&(?!(amp|lt|gt|lrm|rlm);)")

Cue = tuple[str, int, int, str, str]


def _parse(text: str) -> list[Cue]:
    """Identifier, milliseconds, milliseconds, voice and text of each cue, strictly read."""
    head, *blocks = text.split("\n\n")
    assert head == "WEBVTT"
    assert "\r" not in text
    assert "\0" not in text
    cues: list[Cue] = []
    for block in blocks[:-1]:
        if block.startswith("NOTE"):
            assert "-->" not in block
            continue
        name, timing, payload = block.split("\n", 2)
        assert "-->" not in name
        assert "-->" not in payload
        assert not _REFERENCE.search(payload)
        found, shown = _TIMING.fullmatch(timing), _PAYLOAD.fullmatch(payload)
        assert found
        assert shown, payload
        times = [int(part) for part in found.groups()]
        start, end = (
            ((times[at] * 60 + times[at + 1]) * 60 + times[at + 2]) * 1000 + times[at + 3]
            for at in (0, 4)
        )
        cues.append((name, start, end, unescape(shown[1]), unescape(shown[2])))
    return cues


def _cues(of: Session) -> list[Cue]:
    return _parse("".join(FORMATS["vtt"](of)))


def test_a_cue_with_its_voice() -> None:
    told = session(utterance(3661.5, 3663, speaker="Anna & <Bo>", text="a < b --> c"))
    assert _cues(told) == [
        ("u1-1", 3_661_500, 3_663_000, "Anna & <Bo>", "(joy) a < b --> c")
    ]  # fmt: skip


def test_the_file_says_what_the_labels_are() -> None:
    text = "".join(FORMATS["vtt"](session()))
    assert "NOTE Session call-1\nLabels name expressions, not inner states.\n" in text
    assert "This conversation is analysed." in text


def test_people_who_speak_at_the_same_time_overlap() -> None:
    told = session(utterance(0, 4, speaker="S1"), utterance(2, 5, speaker="S2"))
    assert [cue[1:4] for cue in _cues(told)] == [(0, 4000, "S1"), (2000, 5000, "S2")]


@settings(deadline=None)
@given(hostile_sessions())
def test_any_session_can_be_read_back(told: Session) -> None:
    cues = _cues(told)
    assert all(start < end for _, start, end, _, _ in cues)
    assert all(earlier[1] <= later[1] for earlier, later in pairwise(cues))
    assert all(len(line) <= 42 for cue in cues for line in cue[4].split("\n"))
    assert {cue[3] for cue in cues} == {item.speaker for item in told.utterances}


@settings(deadline=None)
@given(hostile_sessions())
def test_every_word_is_shown(told: Session) -> None:
    shown: dict[str, str] = {}
    for name, _, _, _, text in _cues(told):
        owner = name.rpartition("-")[0]
        shown[owner] = shown.get(owner, "") + "".join(text.split())
    for item in told.utterances:
        if item.text and item.emotion.utterance_id.isalnum():
            assert shown[item.emotion.utterance_id].endswith("".join(item.text.split()))


def test_what_a_real_session_wrote(real_journal: Path) -> None:
    told = read_session(real_journal)
    parts = _cues(told)
    for number, item in enumerate(told.utterances, start=1):
        mine = [cue for cue in parts if cue[0].startswith(f"u{number}-")]
        assert mine[0][1] == round(item.emotion.start * 1000)
        assert mine[-1][2] == round(item.emotion.end * 1000)
