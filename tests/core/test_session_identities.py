"""Sessions in which each utterance's voice is described as a whole, and names follow from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any, cast

import numpy as np
import pytest
from made_voices import DIALOGUE, LEAN, Part, conversation, direction, hear, told

from magtkd_rt import wire
from magtkd_rt.core.config import Enrolled
from magtkd_rt.core.jobs import (
    EncodeAudio,
    EncodeText,
    Failed,
    Fuse,
    Identified,
    Identify,
    Job,
    JobResult,
)
from magtkd_rt.core.media import WINDOW, HeardSound
from magtkd_rt.core.speakers import SpeakerConfig


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
    voices = [replace(v, vector=(v.vector + 1.5 * common).astype(np.float32)) for v in sound.voices]
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


def test_a_voice_is_described_at_a_pause_and_again_if_more_is_said(with_identities: Any) -> None:
    one = with_identities()
    hear(one, conversation((20, None), (70, 0), (10, None), (60, 0), (8, None)))
    jobs = one.of(Identify)
    assert not one.of(wire.Emotion)  # it is not over
    one.take(one.session.flush())
    assert one.of(Identify) == jobs
    assert [e.speaker for e in one.of(wire.Emotion)] == ["S1"]
    first, second = (job.samples for job in jobs)
    whole = one.of(EncodeAudio)[-1].samples
    np.testing.assert_array_equal(second, whole)
    np.testing.assert_array_equal(first, whole[: len(first)])
    assert len(first) < len(whole) - 60 * WINDOW


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
    assert "failed_identify" not in one.session.totals


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
