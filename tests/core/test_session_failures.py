"""Job results in: failures, floods, disorder; still one end for every utterance."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magtkd_rt import wire
from magtkd_rt.core.jobs import (
    EncodeAudio,
    Encoded,
    EncodeText,
    EncodeVideo,
    Failed,
    ForgetTranscription,
    Fuse,
    Fused,
    Job,
    JobResult,
    Transcribe,
)

SAID = ((30, 0.9), (20, 0.0))
KINDS = (Transcribe, EncodeText, EncodeAudio, EncodeVideo, Fuse)


@pytest.mark.parametrize(
    ("kind", "modality"),
    [(Transcribe, "text"), (EncodeText, "text"), (EncodeAudio, "audio"), (EncodeVideo, "video")],
)
def test_a_modality_that_fails_is_absent_and_told_once(
    desk: Any, make_track: Any, failing: Any, kind: type[Job], modality: str
) -> None:
    one = desk(reply=failing(kind))
    one.see_faces(160)
    one.hear(make_track(*SAID * 3))
    assert len(one.of(wire.Emotion)) == 3
    for event in one.of(wire.Emotion):
        assert event.modalities[modality] == wire.Modality(present=False, reason="error")
        assert sum(m.present for m in event.modalities.values()) == 2
    (status,) = one.of(wire.Status)
    assert (status.level, status.message) == ("warning", "out of order")
    assert one.session.totals[status.code.replace("_failed", "").join(("failed_", ""))] == 3
    one.check_rules()


def test_a_transcriber_that_failed_is_let_go(desk: Any, make_track: Any, failing: Any) -> None:
    one = desk(reply=failing(Transcribe))
    one.hear(make_track(*SAID), 1)
    assert [type(job) for job in one.jobs[:2]] == [Transcribe, ForgetTranscription]
    assert len(one.of(Transcribe)) == 1


@pytest.mark.parametrize(
    "value",
    [
        Failed("broken"),
        None,
        Encoded(np.zeros(4, np.float32), np.zeros(3, np.float32)),
        Fused(np.array([0.5, 0.5], np.float32), (None, 0.1, None), None),
    ],
)
def test_a_fusion_that_fails_drops_the_utterance(
    desk: Any, make_track: Any, reply: Any, value: Any
) -> None:
    def fail_second(job: Job) -> JobResult:
        broken = isinstance(job, Fuse) and job.utterance_id == "u2"
        return JobResult(job.job_id, value) if broken else reply(job)

    one = desk(reply=fail_second)
    one.hear(make_track(*SAID * 3))
    assert [e.utterance_id for e in one.of(wire.Emotion)] == ["u1", "u3"]
    assert [(e.utterance_id, e.reason) for e in one.of(wire.UtteranceDropped)] == [("u2", "error")]
    assert [job.state for job in one.of(Fuse)] == [None, 1, 1]
    assert [status.code for status in one.of(wire.Status)] == ["fuse_failed"]


def test_words_that_were_shown_are_taken_back(desk: Any, make_track: Any, reply: Any) -> None:
    def fail_last(job: Job) -> JobResult:
        broken = isinstance(job, Transcribe) and job.last
        return JobResult(job.job_id, Failed("gone")) if broken else reply(job)

    one = desk(reply=fail_last)
    one.hear(make_track(*SAID), 1)
    told = [(t.revision, t.final, t.text) for t in one.of(wire.Transcript)]
    assert told == [(0, False, "some "), (1, True, "")]
    assert one.of(wire.Emotion)[0].text == ""


def test_nothing_left_to_fuse_drops_the_utterance(desk: Any, make_track: Any, reply: Any) -> None:
    def deaf(job: Job) -> JobResult:
        return JobResult(job.job_id, Failed("x")) if isinstance(job, EncodeAudio) else reply(job)

    one = desk(reply=deaf, transcribe=False)
    one.hear(make_track(*SAID))
    assert [e.reason for e in one.of(wire.UtteranceDropped)] == ["error"]
    assert not one.of(Fuse)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    broken=st.sampled_from([None, *KINDS]),
    share=st.sampled_from([0.0, 0.1, 0.5]),
    waiting=st.sampled_from([1, 2, 64]),
    text=st.sampled_from(["", "words"]),
)
def test_every_utterance_ends_once(
    desk: Any,
    make_track: Any,
    piece: Any,
    reply: Any,
    seed: int,
    broken: type[Job] | None,
    share: float,
    waiting: int,
    text: str,
) -> None:
    """Two speakers; results in any order, late, twice, failed, of jobs nobody asked for."""
    rng = random.Random(seed)

    def fate(job: Job) -> JobResult:
        bad = rng.random() < share and (broken is None or isinstance(job, broken))
        return JobResult(job.job_id, Failed("bad luck")) if bad else reply(job, text=text)

    one = desk(at_once=False, reply=fate, max_waiting=waiting, channels=2, drafts=True)
    parts = [(rng.randrange(1, 60), rng.choice([0.0, 0.0, 0.45, 0.9])) for _ in range(24)]
    tracks = [make_track(*parts), make_track(*parts[::-1], channel=1)]
    for first in range(0, len(tracks[0].speech), 25):
        for sound in tracks:
            one.take(one.session.hear(piece(sound, first, first + 25)))
        for _ in range(rng.randrange(5)):
            if one.todo:
                result = fate(one.todo.pop(rng.randrange(len(one.todo))))
                one.take(one.session.complete(result))
                one.take(one.session.complete(result))
        one.take(one.session.complete(JobResult(10_000_000, None)))
        assert one.session.pending <= waiting + 2
        one.check_rules()
    one.take(one.session.flush())
    one.answer_all(rng)
    assert one.session.pending == 0
    one.take(one.session.end("over"))
    one.check_rules()
    totals = one.events[-1].totals
    dropped = sum(n for name, n in totals.items() if name.startswith("dropped_"))
    assert totals.get("utterances", 0) == totals.get("emotions", 0) + dropped


def test_a_flood_drops_the_oldest_and_counts_them(desk: Any, make_track: Any) -> None:
    one = desk(at_once=False, max_waiting=3)
    one.hear(make_track(*SAID * 6))
    assert [(e.utterance_id, e.reason) for e in one.of(wire.UtteranceDropped)] == [
        (f"u{n}", "overload") for n in (1, 2, 3)
    ]
    assert [job.utterance_id for job in one.of(ForgetTranscription)] == ["u1", "u2", "u3"]
    assert one.session.totals["dropped_overload"] == 3
    one.answer_all()
    assert [e.utterance_id for e in one.of(wire.Emotion)] == ["u4", "u5", "u6"]
    one.check_rules()


def test_an_utterance_that_is_being_fused_is_not_dropped(
    desk: Any, make_track: Any, reply: Any, piece: Any
) -> None:
    one = desk(at_once=False, max_waiting=2)
    sound = make_track(*SAID * 4)
    one.hear(piece(sound, 0, 50))
    while not isinstance(one.todo[0], Fuse):
        one.take(one.session.complete(reply(one.todo.pop(0))))
    one.hear(piece(sound, 50, 200))
    assert [e.utterance_id for e in one.of(wire.UtteranceDropped)] == ["u2", "u3"]
    one.answer_all()
    assert [e.utterance_id for e in one.of(wire.Emotion)] == ["u1", "u4"]


def test_the_end_drops_what_still_waits(desk: Any, make_track: Any, reply: Any) -> None:
    one = desk(at_once=False)
    one.hear(make_track(*SAID, (30, 0.9)))
    assert one.session.pending == 2
    one.take(one.session.report("info", "lag", "behind", 120.5, {"frames": 2}))
    one.take(one.session.end("stopped"))
    assert [(e.utterance_id, e.reason) for e in one.of(wire.UtteranceDropped)] == [
        ("u1", "error"),
        ("u2", "error"),
    ]
    ended = one.events[-1]
    assert isinstance(ended, wire.SessionEnded)
    assert (ended.reason, ended.totals["dropped_error"]) == ("stopped", 2)
    assert one.of(wire.Status)[0].dropped == {"frames": 2}
    events = len(one.events)
    one.todo.clear()
    one.take(one.session.complete(reply(one.jobs[0])))
    assert len(one.events) == events
    one.check_rules()
