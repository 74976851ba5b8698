"""Conversations without pauses: utterances end where the voice changes, and are somebody's.

The voices are made: a print is the mix of those who speak in its windows, with some noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from magtkd_rt import wire
from magtkd_rt.core.config import Enrolled
from magtkd_rt.core.jobs import (
    EncodeAudio,
    EncodeText,
    Failed,
    ForgetTranscription,
    Fuse,
    Identified,
    Identify,
    Job,
    JobResult,
    Transcribe,
)
from magtkd_rt.core.media import VOICE_HOP, VOICE_WINDOWS, WINDOW, HeardSound, VoicePrint, seconds
from magtkd_rt.core.speakers import SpeakerConfig

SIZE = 64
NOISE = 0.6
"""Prints of one voice without common sound are alike by 1 / (1 + NOISE**2)."""

LEAN = 0.01
"""Mean of speaker 1's sound, twice that is speaker 2's: so `knowing` tells who it is."""

Part = tuple[int, int | None]
"""How many windows, and who speaks: None is silence."""

DIALOGUE: Sequence[Part] = (
    (20, None), (90, 0), (100, 1), (70, 0), (80, 1), (30, None), (60, 1), (110, 2), (90, 0),
    (40, None),
)  # fmt: skip


def direction(speaker: int) -> NDArray[np.float64]:
    """Where a voice lies; no two are alike."""
    vector = np.random.default_rng(1000 + speaker).standard_normal(SIZE)
    vector /= np.linalg.norm(vector)
    return np.asarray(vector)


def conversation(*parts: Part, seed: int = 0, channel: int = 0) -> HeardSound:
    """Sound of (windows, speaker) parts, with prints as the senses would give them."""
    who = [speaker for count, speaker in parts for _ in range(count)]
    random = np.random.default_rng(seed)
    noise = random.standard_normal((len(who), WINDOW))
    speech = np.array([0.02 if speaker is None else 0.95 for speaker in who], np.float32)
    marks = np.array([[LEAN * (speaker or 0)] for speaker in who])
    samples = (noise * (0.001 + 0.1 * speech[:, None]) + marks).astype(np.float32)
    # Every window adds its own part of a print's noise, so near prints are alike, as real ones are.
    moments = random.standard_normal((len(who), SIZE)) / np.sqrt(SIZE)
    moments *= NOISE * np.sqrt(VOICE_WINDOWS)
    prints = []
    for end in range(VOICE_HOP, len(who) + 1, VOICE_HOP):
        spoken = [n for n in range(max(0, end - VOICE_WINDOWS), end) if who[n] is not None]
        if 3 * len(spoken) < VOICE_WINDOWS or spoken[-1] < end - VOICE_HOP:
            continue
        vector = np.mean([direction(int(who[n] or 0)) + moments[n] for n in spoken], axis=0)
        vector /= np.linalg.norm(vector)
        prints.append(VoicePrint(end * WINDOW, vector.astype(np.float32)))
    return HeardSound(channel, 0, samples.reshape(-1), speech, tuple(prints))


def part(sound: HeardSound, first: int, after: int) -> HeardSound:
    """Windows `first` to `after`, with the prints that end there."""
    return HeardSound(
        sound.channel,
        first * WINDOW,
        sound.samples[first * WINDOW : after * WINDOW],
        sound.speech[first:after],
        tuple(v for v in sound.voices if first * WINDOW < v.end <= after * WINDOW),
    )


def hear(desk: Any, sound: HeardSound, sizes: Sequence[int] = (7,)) -> None:
    first, n = 0, 0
    while first < len(sound.speech):
        after = min(len(sound.speech), first + sizes[n % len(sizes)])
        desk.take(desk.session.hear(part(sound, first, after)))
        first, n = after, n + 1


def told(desk: Any, sound: HeardSound) -> list[tuple[str, float, float]]:
    """Who spoke from when to when, in a session that hears it all."""
    hear(desk, sound)
    desk.take(desk.session.flush())
    desk.check_rules()
    return [(e.speaker, e.start, e.end) for e in desk.of(wire.Emotion)]


def at(window: int) -> float:
    return seconds(window * WINDOW)


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


@pytest.fixture
def with_identities(desk: Any, reply: Any) -> Any:
    """Makes a session in which voices are described surely, whatever their prints say."""

    def knowing(job: Job) -> JobResult:
        if not isinstance(job, Identify):
            return cast("JobResult", reply(job))
        speaker = round(float(job.samples.mean()) / LEAN)
        return JobResult(job.job_id, Identified(direction(100 + speaker).astype(np.float32)))

    def make(fails: str = "", **changes: Any) -> Any:
        def failing(job: Job) -> JobResult:
            fail = isinstance(job, Identify) and job.utterance_id == fails
            return JobResult(job.job_id, Failed("out of order")) if fail else knowing(job)

        return desk(voices=True, identities=SpeakerConfig(), reply=failing, **changes)

    return make


def muddled(sound: HeardSound) -> HeardSound:
    """The same with prints by which all voices are one speaker's, as far as names go."""
    common = direction(50)
    voices = [replace(v, vector=v.vector + 1.5 * common) for v in sound.voices]
    unit = [
        replace(v, vector=(v.vector / np.linalg.norm(v.vector)).astype(np.float32)) for v in voices
    ]
    return replace(sound, voices=tuple(unit))


PAUSED: Sequence[Part] = (
    (20, None), (90, 0), (30, None), (100, 1), (30, None),
    (70, 0), (40, None), (110, 2), (40, None),
)  # fmt: skip


def test_names_follow_from_identities_where_there_are_some(desk: Any, with_identities: Any) -> None:
    sound = muddled(conversation(*PAUSED))
    assert [speaker for speaker, _, _ in told(desk(voices=True), sound)] == ["S1"] * 4
    one = with_identities()
    assert [speaker for speaker, _, _ in told(one, sound)] == ["S1", "S2", "S1", "S3"]
    assert [job.speaker for job in one.of(Fuse)] == [0, 1, 0, 2]
    assert [turn.speaker for turn in one.of(EncodeText)[-1].turns] == [0, 1, 0, 2]
    assert [e.speaker for e in one.of(wire.Transcript) if e.final] == ["S1", "S2", "S1", "S3"]
    for job, audio in zip(one.of(Identify), one.of(EncodeAudio), strict=True):
        np.testing.assert_array_equal(job.samples, audio.samples)


def test_identities_move_no_turn(desk: Any, with_identities: Any) -> None:
    sound = conversation(*DIALOGUE)
    without = told(desk(voices=True), sound)
    found = told(with_identities(), sound)
    assert [times for _, *times in found] == [times for _, *times in without]


@pytest.mark.parametrize("seed", range(5))
def test_names_do_not_depend_on_when_answers_come(with_identities: Any, seed: int) -> None:
    sound = conversation(*PAUSED, seed=seed)
    found = told(with_identities(), sound)
    later = with_identities(at_once=False)
    hear(later, sound)
    later.take(later.session.flush())
    later.answer_all(Random(seed))
    later.check_rules()
    assert [(e.speaker, e.start, e.end) for e in later.of(wire.Emotion)] == found


def test_nothing_is_told_before_it_is_known_who_spoke(with_identities: Any) -> None:
    one = with_identities(at_once=False)
    hear(one, conversation(*PAUSED))
    one.take(one.session.flush())
    identities = [job for job in one.todo if isinstance(job, Identify)]
    one.todo = [job for job in one.todo if not isinstance(job, Identify)]
    one.answer_all()
    assert not [e for e in one.events if isinstance(e, wire.Transcript) and e.final]
    assert not one.of(Fuse)
    one.todo = identities
    one.answer_all()
    assert [e.speaker for e in one.of(wire.Emotion)] == ["S1", "S2", "S1", "S3"]
    one.check_rules()


@pytest.mark.parametrize(("before", "asked"), [(70, 1), (40, 2)])
def test_a_voice_is_described_at_a_pause_if_enough_was_said(
    with_identities: Any, before: int, asked: int
) -> None:
    one = with_identities()
    sound = conversation((20, None), (before, 0), (10, None), (60, 0), (40, None))
    assert [speaker for speaker, _, _ in told(one, sound)] == ["S1"]
    jobs, (audio,) = one.of(Identify), one.of(EncodeAudio)[-1:]
    assert len(jobs) == asked
    whole = audio.samples
    for job in jobs[:1]:
        assert len(job.samples) < len(whole) - 50 * WINDOW
        np.testing.assert_array_equal(job.samples, whole[: len(job.samples)])
    for job in jobs[1:]:
        np.testing.assert_array_equal(job.samples, whole)


def test_what_a_voice_sounded_like_before_more_was_said_does_not_count(
    with_identities: Any,
) -> None:
    one = with_identities(at_once=False)
    hear(one, conversation((20, None), (40, 0), (10, None), (60, 0), (40, None)))
    one.take(one.session.flush())
    first, _ = (job for job in one.todo if isinstance(job, Identify))
    one.todo.remove(first)
    one.take(one.session.complete(JobResult(first.job_id, Failed("too short"))))
    one.answer_all()
    assert [e.speaker for e in one.of(wire.Emotion)] == ["S1"]
    assert one.session.totals["failed_identify"] == 0


def test_an_utterance_that_cannot_be_identified_is_nobody_s(with_identities: Any) -> None:
    one = with_identities(fails="u2")
    assert [s for s, _, _ in told(one, conversation(*PAUSED))] == ["S1", "S?", "S1", "S2"]
    assert one.session.totals["failed_identify"] == 1
    assert one.session.totals["speakers_unsure"] == 1
    assert [e.code for e in one.of(wire.Status)] == ["identify_failed"]


def test_dropped_utterances_hold_nobody_up(with_identities: Any) -> None:
    one = with_identities(at_once=False, max_waiting=2)
    hear(one, conversation(*PAUSED))
    one.take(one.session.flush())
    one.answer_all()
    one.check_rules()
    assert [e.utterance_id for e in one.of(wire.UtteranceDropped)] == ["u1", "u2"]
    assert [e.utterance_id for e in one.of(wire.Emotion)] == ["u3", "u4"]
    assert [e.speaker for e in one.of(wire.Emotion)] == ["S1", "S2"]


def test_a_session_that_ends_early_drops_each_utterance_once(with_identities: Any) -> None:
    one = with_identities(at_once=False)
    hear(one, conversation(*PAUSED))
    for job in [*one.todo]:
        if not isinstance(job, Identify) or job.utterance_id != "u1":
            one.take(one.session.complete(one.reply(job)))
    one.take(one.session.end("stopped"))
    one.check_rules()
    assert {e.utterance_id for e in one.of(wire.UtteranceDropped)} >= {"u1", "u2", "u3"}


def test_enrolled_speakers_are_known_by_their_identity(with_identities: Any) -> None:
    ada = Enrolled("Ada", direction(7).astype(np.float32), direction(101).astype(np.float32))
    names = [s for s, _, _ in told(with_identities(enrolled=(ada,)), conversation(*PAUSED))]
    assert names == ["S1", "Ada", "S1", "S3"]
