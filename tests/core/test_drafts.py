"""Provisional results while somebody speaks, work done ahead at pauses, second looks afterwards."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from magtkd_rt import wire
from magtkd_rt.core.encoding import Limits
from magtkd_rt.core.jobs import (
    EncodeAudio,
    EncodeText,
    EncodeVideo,
    ForgetTranscription,
    Fuse,
    Fused,
    GaveWay,
    Guess,
    Job,
    JobResult,
    Transcribe,
)
from magtkd_rt.core.media import WINDOW, seconds

TALK = ((20, 0.0), (120, 0.95), (40, 0.0), (60, 0.95), (10, 0.0), (60, 0.95), (40, 0.0))


def stages(desk: Any) -> list[tuple[str, str]]:
    return [(e.utterance_id, e.stage) for e in desk.of(wire.Emotion)]


def finals(desk: Any) -> list[dict[str, Any]]:
    """What every final says, but for its place in the stream and the time it took."""
    left_out = {"seq", "t", "revision", "latency"}
    found = [e for e in desk.of(wire.Emotion) if e.stage == "final"]
    return [e.model_dump(exclude=left_out) for e in found]


def test_provisional_results_come_soon_and_then_once_a_second(desk: Any, make_track: Any) -> None:
    one = desk(drafts=True)
    one.see_faces(350)
    one.hear(make_track(*TALK), 1)
    one.take(one.session.flush())
    one.check_rules()
    first = [e for e in one.of(wire.Emotion) if e.utterance_id == "u1"]
    assert [e.stage for e in first] == ["provisional"] * 4 + ["final"]
    starts = 20 * WINDOW
    after = [e.end - seconds(starts) for e in first[:-1]]
    assert after[0] < 0.8
    assert np.diff(after) == pytest.approx(31 * WINDOW / 16000)
    assert {e.start for e in first} == {first[0].start}
    assert [e.revision for e in first] == [0, 1, 2, 3, 4]
    assert all(e.modalities["audio"].present for e in first)
    assert first[1].text == "some "  # the words so far
    assert first[1].modalities["text"].present
    assert first[1].latency.endpoint_ms == 0
    assert one.session.totals["emotions"] == 2


def test_a_draft_leaves_neither_a_turn_nor_a_state_behind(desk: Any, make_track: Any) -> None:
    one, plain = desk(drafts=True), desk()
    for each in (one, plain):
        each.hear(make_track(*TALK), 1)
        each.take(each.session.flush())
    assert [job.state for job in one.of(Fuse) if not job.draft] == [None, 1]
    drafts = [job for job in one.of(EncodeText) if job.draft]
    assert drafts
    assert [len(job.turns) for job in one.of(EncodeText) if not job.draft] == [1, 2]
    assert finals(one) == finals(plain)


def test_the_encoders_work_ahead_at_a_pause(desk: Any, make_track: Any) -> None:
    one = desk(drafts=True, at_once=False)
    one.see_faces(300)
    sound = make_track((60, 0.95), (40, 0.0))
    one.hear(sound, 1)
    one.answer_all()
    before = [job for job in one.jobs if isinstance(job, EncodeAudio | EncodeVideo)]
    at_pause = before[2:]  # the two before are of the provisional result
    assert [(type(job), job.draft) for job in at_pause] == [
        (EncodeAudio, True),
        (EncodeVideo, True),
    ]
    assert len(one.of(Guess)) == 1
    last = [job for job in one.of(Transcribe) if job.last]
    assert [len(job.sound.samples) for job in last] == [0]  # it has heard all there is
    assert stages(one)[-1] == ("u1", "final")
    final = one.of(wire.Emotion)[-1]
    assert final.modalities["video"].present
    assert final.latency.encode_ms > 0


def test_work_ahead_is_thrown_away_if_speech_goes_on(desk: Any, make_track: Any) -> None:
    one = desk(drafts=True, at_once=False)
    one.hear(make_track((40, 0.95), (8, 0.0), (40, 0.95), (40, 0.0)), 1)
    audio = [job for job in one.of(EncodeAudio) if not isinstance(job, EncodeText)]
    one.answer_all()
    whole = audio[-1]
    assert whole.draft  # the second pause's, which became the final's
    assert len(whole.samples) > 88 * WINDOW
    assert [e.stage for e in one.of(wire.Emotion)].count("final") == 1


def test_faces_that_come_after_the_pause_count(desk: Any, make_track: Any, piece: Any) -> None:
    one = desk(drafts=True)
    sound = make_track((60, 0.95), (40, 0.0))
    one.hear(piece(sound, 0, 68), 1)
    one.see_faces(64)  # late
    one.hear(piece(sound, 68, 100), 1)
    final = one.of(wire.Emotion)[-1]
    assert (final.stage, final.modalities["video"].present) == ("final", True)


def test_little_speech_gets_no_provisional_result(desk: Any, make_track: Any) -> None:
    one = desk(drafts=True)
    one.hear(make_track((200, 0.45)), 1)  # never surely speech: no utterance, or a weak one
    one.hear(make_track((3, 0.9), (90, 0.4), start=200 * WINDOW), 1)
    assert "provisional" not in [stage for _, stage in stages(one)]


def test_a_late_draft_is_left_out(desk: Any, make_track: Any) -> None:
    one = desk(drafts=True, at_once=False)
    one.hear(make_track(*TALK), 1)
    one.take(one.session.flush())
    assert one.session.totals["provisional_skipped"] >= 2
    one.answer_all()
    assert {stage for _, stage in stages(one)} == {"final"}
    one.check_rules()


def test_what_gave_way_is_asked_again_only_where_it_is_needed(desk: Any, make_track: Any) -> None:
    def reply(job: Job) -> JobResult:
        return JobResult(job.job_id, GaveWay()) if job.draft else default(job)

    default = desk().reply
    one = desk(drafts=True, at_once=False, reply=reply)
    one.hear(make_track((100, 0.95), (40, 0.0)), 1)
    one.answer_all()
    assert stages(one) == [("u1", "final")]
    assert one.of(wire.Emotion)[0].modalities["audio"].present
    assert not one.of(wire.Status)
    assert [job.draft for job in one.of(EncodeAudio)][-1] is False


def test_what_gave_way_at_a_pause_is_encoded_at_the_end(
    desk: Any, make_track: Any, piece: Any
) -> None:
    def reply(job: Job) -> JobResult:
        return JobResult(job.job_id, GaveWay()) if job.draft else default(job)

    default = desk().reply
    one = desk(drafts=True, reply=reply)  # answers come before the pause has become an end
    one.hear(make_track((60, 0.95), (40, 0.0)), 1)
    (final,) = one.of(wire.Emotion)
    assert final.modalities["audio"].present


def test_a_transcriber_that_gave_way_costs_the_words_only(desk: Any, make_track: Any) -> None:
    def reply(job: Job) -> JobResult:
        if isinstance(job, Transcribe):
            return JobResult(job.job_id, GaveWay())
        return default(job)

    default = desk().reply
    one = desk(reply=reply)
    one.hear(make_track((100, 0.95), (40, 0.0)), 1)
    (final,) = one.of(wire.Emotion)
    assert final.modalities["text"].reason == "overload"
    assert final.modalities["audio"].present
    assert one.of(ForgetTranscription)
    assert one.session.totals["gave_way_transcribe"] == 1


def test_limits_leave_out_drafts_and_modalities(desk: Any, make_track: Any) -> None:
    one = desk(drafts=True)
    one.session.limit(Limits(drafts=False, modalities=frozenset({"text"})))
    one.see_faces(100)
    one.hear(make_track((100, 0.95), (40, 0.0)), 1)
    (final,) = one.of(wire.Emotion)
    assert final.stage == "final"
    assert final.modalities["audio"].reason == "overload"
    assert final.modalities["video"].reason == "overload"
    assert final.modalities["text"].present
    one.session.limit(Limits())
    one.hear(make_track((100, 0.95), (40, 0.0), start=200 * WINDOW), 1)
    assert one.of(wire.Emotion)[-1].modalities["audio"].present


def test_while_speaking_guesses_bring_words(desk: Any, make_track: Any) -> None:
    one = desk(drafts=True, guess_while_speaking=True)
    one.hear(make_track((100, 0.95), (40, 0.0)), 1)
    assert len(one.of(Guess)) >= 3
    shown = one.of(wire.Transcript)
    assert [e.final for e in shown] == [False] * (len(shown) - 1) + [True]


FOUR = tuple(part for _ in range(4) for part in ((40, 0.95), (40, 0.0)))


def test_a_result_is_revised_when_what_follows_changes_it(desk: Any, make_track: Any) -> None:
    default = desk().reply

    def reply(job: Job) -> JobResult:
        if not isinstance(job, Fuse):
            return default(job)
        odds = (0.1, 0.2, 0.7) if job.ahead == 2 else (0.2, 0.7, 0.1)
        fused = Fused(np.array(odds, np.float32), (None, 0.1, None), (job.state or 0) + 1)
        return JobResult(job.job_id, fused)

    one = desk(reply=reply, right_context=2)
    one.hear(make_track(*FOUR), 1)
    one.check_rules()
    assert one.session.pending == 0
    assert stages(one) == [
        ("u1", "final"),
        ("u2", "final"),
        ("u3", "final"),
        ("u1", "revised"),
        ("u4", "final"),
        ("u2", "revised"),
    ]
    again = [job for job in one.of(Fuse) if job.ahead]
    assert [(j.utterance_id, j.ahead, j.state) for j in again] == [
        ("u1", 1, 2),
        ("u1", 2, 3),
        ("u2", 1, 3),
        ("u2", 2, 4),
        ("u3", 1, 4),
    ]
    revised = one.of(wire.Emotion)[3]
    assert (revised.label, revised.revision) == ("anger", 1)
    first = one.of(wire.Emotion)[0]
    assert (revised.start, revised.end, revised.text) == (first.start, first.end, first.text)
    assert one.session.totals["revisions"] == 2


def test_a_second_look_that_failed_takes_nothing_back(desk: Any, make_track: Any) -> None:
    default = desk().reply

    def reply(job: Job) -> JobResult:
        if isinstance(job, Fuse) and job.ahead:
            return JobResult(job.job_id, Fused(np.zeros(2, np.float32), (None, None, None), None))
        return default(job)

    one = desk(reply=reply, right_context=2)
    one.hear(make_track(*FOUR), 1)
    one.check_rules()
    assert {stage for _, stage in stages(one)} == {"final"}
    assert one.session.pending == 0
    assert one.session.totals["failed_revise"] == 5


@settings(max_examples=25, deadline=None)
@example(parts=[(8, 0.95), (23, 0.0), *[(90, 0.0)] * 5], seed=42)  # in one piece: longer than kept
@given(
    parts=st.lists(
        st.tuples(st.integers(1, 90), st.sampled_from([0.0, 0.4, 0.95])), min_size=1, max_size=9
    ),
    seed=st.integers(0, 2**16),
)
def test_drafts_and_their_timing_change_no_final(
    desk: Any, make_track: Any, piece: Any, parts: list[tuple[int, float]], seed: int
) -> None:
    sound = make_track(*parts)
    plain = desk()
    plain.see_faces(len(sound.speech))
    plain.hear(sound)
    plain.take(plain.session.flush())
    drafting = desk(drafts=True, guess_while_speaking=True, at_once=False)
    drafting.see_faces(len(sound.speech))
    rng = random.Random(seed)
    for n in range(len(sound.speech)):
        drafting.take(drafting.session.hear(piece(sound, n, n + 1)))
        if rng.random() < 0.2:
            drafting.answer_all(rng)
    drafting.take(drafting.session.flush())
    drafting.answer_all(rng)
    drafting.check_rules()
    assert drafting.session.pending == 0
    assert finals(drafting) == finals(plain)
