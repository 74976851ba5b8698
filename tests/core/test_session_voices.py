"""Conversations without pauses: utterances end where the voice changes, and are somebody's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_voices import DIALOGUE, Part, at, conversation, direction, hear, part, told

from magtkd_rt import wire
from magtkd_rt.core.config import Enrolled
from magtkd_rt.core.jobs import (
    EncodeAudio,
    EncodeText,
    ForgetTranscription,
    Fuse,
    Transcribe,
)
from magtkd_rt.core.media import WINDOW, VoicePrint


def test_turns_without_a_pause_become_utterances_of_their_own(desk: Any) -> None:
    found = told(desk(voices=True), conversation(*DIALOGUE))
    assert [speaker for speaker, _, _ in found] == ["S1", "S2", "S1", "S2", "S2", "S3", "S1"]
    changes = np.cumsum([count for count, _ in DIALOGUE])
    for n, change in ((1, 1), (2, 2), (3, 3), (5, 6), (6, 7)):
        assert found[n][1] == found[n - 1][2]
        assert found[n][1] == pytest.approx(at(changes[change]), abs=at(18))


def test_a_change_is_told_soon(desk: Any) -> None:
    one = desk(voices=True)
    told(one, conversation(*DIALOGUE))
    starts = {e.utterance_id: e.start for e in one.of(wire.Emotion)}
    for event in one.of(wire.SpeechStarted)[1:4]:
        assert event.t - starts[event.utterance_id] < 1.5


@pytest.mark.parametrize("seed", range(4))
def test_short_back_channels_tear_nothing_apart(desk: Any, seed: int) -> None:
    interrupted = [(60, 0), (14, 1)] * 4 + [(60, 0), (40, None)]
    before: list[Part] = [(20, None), (100, 0), (100, 1), (30, None)]
    found = told(desk(voices=True), conversation(*before, *interrupted, seed=seed))
    assert [speaker for speaker, _, _ in found[:2]] == ["S1", "S2"]
    assert {speaker for speaker, _, _ in found[2:]} == {"S1"}


@pytest.mark.parametrize("seed", range(3))
def test_a_long_monologue_stays_one_speaker(desk: Any, seed: int) -> None:
    """Two minutes, split for length only."""
    one = desk(voices=True)
    found = told(one, conversation((3750, 0), (40, None), seed=seed))
    assert {speaker for speaker, _, _ in found} == {"S1"}
    assert len(found) <= 3750 // 187 + 1


def test_a_voice_that_is_not_heard_enough_is_not_named(desk: Any) -> None:
    one = desk(voices=True)
    found = told(one, conversation((20, None), (16, 0), (60, None)))
    assert [speaker for speaker, _, _ in found] == ["S?"]
    (event,) = one.of(wire.Emotion)
    assert event.speaker_confidence == 0.0
    assert one.of(Fuse)[0].speaker is None
    assert one.of(EncodeText)[0].turns[-1].speaker == 0
    assert one.session.totals["speakers_unsure"] == 1


def test_speakers_reach_the_context(desk: Any) -> None:
    one = desk(voices=True)
    told(one, conversation(*DIALOGUE))
    assert [job.speaker for job in one.of(Fuse)] == [0, 1, 0, 1, 1, 2, 0]
    assert [turn.speaker for turn in one.of(EncodeText)[-1].turns] == [0, 1, 0, 1, 1, 2, 0]
    final = [e for e in one.of(wire.Transcript) if e.final]
    assert [e.speaker for e in final] == [e.speaker for e in one.of(wire.Emotion)]
    assert {e.speaker for e in one.of(wire.Transcript) if not e.final} == {"S?"}
    assert all(e.speaker_confidence > 0.4 for e in [*final, *one.of(wire.Emotion)])


def test_enrolled_speakers_are_called_by_their_names(desk: Any) -> None:
    ada = Enrolled("Ada", direction(1).astype(np.float32))
    found = told(desk(voices=True, enrolled=(ada,)), conversation(*DIALOGUE))
    names = [speaker for speaker, _, _ in found]
    assert names == ["S1", "Ada", "S1", "Ada", "Ada", "S3", "S1"]


def test_the_transcriber_hears_exactly_the_utterance(desk: Any) -> None:
    one = desk(voices=True)
    told(one, conversation(*DIALOGUE))
    feeding: dict[str, list[Transcribe]] = {}
    for job in one.jobs:
        if isinstance(job, ForgetTranscription):  # a change was found before a pause
            feeding[job.utterance_id] = []
        elif isinstance(job, Transcribe):
            feeding.setdefault(job.utterance_id, []).append(job)
    for job in one.of(EncodeAudio):
        parts = feeding[job.utterance_id]
        assert [p.last for p in parts] == [False] * (len(parts) - 1) + [True]
        np.testing.assert_array_equal(np.concatenate([p.sound.samples for p in parts]), job.samples)


@settings(max_examples=12, deadline=None)
@given(sizes=st.lists(st.integers(1, 120), min_size=1, max_size=12))
def test_chunks_do_not_matter(desk: Any, sizes: list[int]) -> None:
    sound = conversation(*DIALOGUE)
    results = []
    for chunks in ([1], sizes):
        one = desk(at_once=False, voices=True)
        hear(one, sound, chunks)
        one.take(one.session.flush())
        one.answer_all()
        one.check_rules()
        results.append(one.everything())
    assert results[0] == results[1]


@settings(max_examples=15, deadline=None)
@given(end=st.integers(1, 620))
def test_what_comes_later_changes_nothing_before(desk: Any, end: int) -> None:
    sound = conversation(*DIALOGUE)
    other = conversation((600, 5), seed=9)
    first, second = desk(voices=True), desk(voices=True)
    hear(first, part(sound, 0, end), [5])
    heard = first.everything()
    hear(second, part(sound, 0, end), [5])
    late = part(other, 0, 300)
    shift = end * WINDOW
    voices = tuple(VoicePrint(v.end + shift, v.vector) for v in late.voices)
    second.take(second.session.hear(replace(late, start=shift, voices=voices)))
    events, jobs = second.everything()
    assert (events[: len(heard[0])], jobs[: len(heard[1])]) == heard


def test_results_that_come_late_change_no_turn(desk: Any) -> None:
    sound = conversation(*DIALOGUE)
    at_once, later = desk(voices=True), desk(voices=True, at_once=False)
    found = told(at_once, sound)
    hear(later, sound)
    later.take(later.session.flush())
    later.answer_all()
    assert [(e.speaker, e.start, e.end) for e in later.of(wire.Emotion)] == found


def test_without_voices_prints_count_for_nothing(desk: Any) -> None:
    sound = conversation(*DIALOGUE)
    deaf, plain = desk(), desk()
    told(deaf, sound)
    told(plain, replace(sound, voices=()))
    assert deaf.everything() == plain.everything()
    assert {e.speaker for e in plain.of(wire.Emotion)} == {"S1"}
    assert {e.speaker_confidence for e in plain.of(wire.Emotion)} == {None}


def test_prints_that_are_no_numbers_are_left_out(desk: Any) -> None:
    sound = conversation((20, None), (90, 0), (40, None))
    broken = tuple(VoicePrint(v.end, v.vector * np.float32(np.nan)) for v in sound.voices)
    assert told(desk(voices=True), replace(sound, voices=broken))[0][0] == "S?"


def test_speech_at_the_same_time_on_two_channels_is_marked(desk: Any) -> None:
    one = desk(channels=2, channels_are_speakers=True)
    left = conversation((20, None), (60, 0), (120, None))
    right = conversation((40, None), (100, 1), (60, None), channel=1)
    for first in range(0, 200, 8):
        one.take(one.session.hear(part(left, first, first + 8)))
        one.take(one.session.hear(part(right, first, first + 8)))
    assert [e.overlapped for e in one.of(wire.Emotion)] == [True, True]
    alone = desk(channels=2, channels_are_speakers=True)
    hear(alone, conversation(*DIALOGUE))
    alone.take(alone.session.flush())
    assert {e.overlapped for e in alone.of(wire.Emotion)} == {False}


def test_channels_and_voices_are_not_mixed(make_config: Any) -> None:
    with pytest.raises(ValueError, match="not by both"):
        make_config(voices=True, channels_are_speakers=True)
