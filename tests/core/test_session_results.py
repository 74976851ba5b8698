"""Job results in: order, failures, floods, and one end for every utterance."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magtkd_rt import wire
from magtkd_rt.core import Session
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
    Transcribed,
    Turn,
)
from magtkd_rt.core.media import WINDOW, SeenFace, samples_to_ns, seconds

SAID = ((30, 0.9), (20, 0.0))
KINDS = (Transcribe, EncodeText, EncodeAudio, EncodeVideo, Fuse)

Reply = Callable[[Job], JobResult]


def at(window: int) -> float:
    """Where a window begins, as on the wire."""
    return seconds(window * WINDOW)


def words(reply: Any, *texts: str, confidence: float = 0.9) -> Reply:
    """The transcriber hears these, one an utterance."""

    def make(job: Job) -> JobResult:
        number = int(job.utterance_id[1:]) - 1
        result: JobResult = reply(job, text=texts[number % len(texts)], confidence=confidence)
        return result

    return make


def see_faces(desk: Any, windows: int) -> None:
    for n in range(0, windows, 3):
        crop = np.zeros((48, 48), np.uint8)
        desk.take(desk.session.see(SeenFace(samples_to_ns(n * WINDOW), crop)))


def test_an_utterance_from_its_first_sound_to_its_result(desk: Any, make_track: Any) -> None:
    one = desk()
    see_faces(one, 40)
    one.hear(make_track(*SAID), 1)
    assert [type(job) for job in one.jobs if not isinstance(job, Transcribe)] == [
        EncodeAudio,
        EncodeVideo,
        EncodeText,
        Fuse,
    ]
    started, *transcripts, emotion = one.events[1:]
    assert started == wire.SpeechStarted(seq=2, session_id="session", t=at(39), utterance_id="u1")
    assert [(t.revision, t.final, t.text) for t in transcripts] == [
        (0, False, "some "),
        (1, True, "some words"),
    ]
    assert emotion == wire.Emotion(
        seq=5,
        session_id="session",
        t=at(46),
        utterance_id="u1",
        revision=0,
        stage="final",
        label="joy",
        confidence=0.5,
        abstained=False,
        probabilities={"neutral": 0.333333, "joy": 0.5, "anger": 0.166667},
        modalities={
            name: wire.Modality(present=True, contribution=0.125)
            for name in ("text", "audio", "video")
        },
        speaker="S1",
        start=0.0,
        end=at(35),
        text="some words",
        latency=wire.Latency(
            endpoint_ms=512, asr_ms=2, encode_ms=6, fusion_ms=2, total_ms=512 + 2 + 6 + 2
        ),
    )


def test_partial_words_are_told_only_when_they_change(
    desk: Any, make_track: Any, piece: Any
) -> None:
    heard = iter(["", "one", "one", "one two"])

    def reply(job: Job) -> JobResult:
        text = next(heard)
        return JobResult(job.job_id, Transcribed(text, None, 0.5, "en", False) if text else None)

    one = desk(reply=reply)
    one.hear(make_track((34, 0.9)), 1)
    told = one.of(wire.Transcript)
    assert [(t.revision, t.text, t.end) for t in told] == [
        (0, "one", at(16)),
        (1, "one two", at(32)),
    ]


def test_partial_words_that_come_late_are_not_told(desk: Any, make_track: Any, reply: Any) -> None:
    one = desk(at_once=False)
    one.hear(make_track((34, 0.9)))
    jobs = one.todo[:]
    for job, text in zip(reversed(jobs), ("newest", "older", "oldest"), strict=False):
        one.take(one.session.complete(reply(job, text=text * 2)))
    assert [t.text for t in one.of(wire.Transcript)] == ["newest"]


def test_context_and_state_follow_the_order_of_the_utterances(
    desk: Any, make_track: Any, reply: Any
) -> None:
    """Answers come newest first; still each text reads the earlier ones, each fusion chains."""
    one = desk(at_once=False, reply=words(reply, "a", "b", "c", "d"), context_turns=3)
    one.hear(make_track(*SAID * 4))
    while one.todo:
        one.take(one.session.complete(one.reply(one.todo.pop())))
        assert sum(isinstance(job, Fuse) for job in one.todo) <= 1
    assert [[turn.text for turn in job.turns] for job in one.of(EncodeText)] == [
        ["a"],
        ["a", "b"],
        ["a", "b", "c"],
        ["b", "c", "d"],
    ]
    assert [(job.utterance_id, job.state) for job in one.of(Fuse)] == [
        ("u1", None),
        ("u2", 1),
        ("u3", 2),
        ("u4", 3),
    ]
    assert [e.utterance_id for e in one.of(wire.Emotion)] == ["u1", "u2", "u3", "u4"]


def test_words_that_are_not_sure_are_masked_and_not_remembered(
    desk: Any, make_track: Any, reply: Any
) -> None:
    def unsure_first(job: Job) -> JobResult:
        first = job.utterance_id == "u1"
        result: JobResult = reply(job, confidence=0.49 if first else 0.5)
        return result

    one = desk(reply=unsure_first)
    one.hear(make_track(*SAID * 2))
    (job,) = one.of(EncodeText)
    assert job.turns == (Turn(0, "some words"),)
    first, second = one.of(wire.Emotion)
    assert first.modalities["text"] == wire.Modality(present=False, reason="low_confidence")
    assert first.text == "some words"
    assert first.modalities["audio"].present
    assert second.modalities["text"].present


def test_a_voice_without_words_still_has_an_expression(
    desk: Any, make_track: Any, reply: Any
) -> None:
    one = desk(reply=words(reply, " "))
    one.hear(make_track(*SAID))
    (event,) = one.of(wire.Emotion)
    assert event.modalities["text"] == wire.Modality(present=False, reason="no_words")
    assert one.of(Fuse)[0].features[0] is None


@pytest.mark.parametrize("faint", [((10, 0.9), (30, 0.0)), ((40, 0.9), (80, 0.4), (30, 0.0))])
@pytest.mark.parametrize(
    ("text", "confidence", "reason"),
    [("", 0.9, "no_speech"), ("the", 0.1, "hallucination"), ("yes", 0.9, None)],
)
def test_faint_sound_needs_words_to_count_as_speech(
    desk: Any,
    make_track: Any,
    reply: Any,
    faint: Any,
    text: str,
    confidence: float,
    reason: str | None,
) -> None:
    one = desk(reply=words(reply, text, confidence=confidence), weak_speech_probability=0.6)
    one.hear(make_track(*faint))
    assert [e.reason for e in one.of(wire.UtteranceDropped)] == ([reason] if reason else [])
    assert len(one.of(wire.Emotion)) == (0 if reason else 1)
    one.check_rules()


def test_without_a_transcriber_voice_and_face_speak(desk: Any, make_track: Any) -> None:
    one = desk(transcribe=False)
    one.hear(make_track(*SAID, (10, 0.9), (30, 0.0)))
    assert not one.of(Transcribe)
    assert not one.of(wire.Transcript)
    (event,) = one.of(wire.Emotion)
    assert event.modalities["text"] == wire.Modality(present=False, reason="no_words")
    assert [e.reason for e in one.of(wire.UtteranceDropped)] == ["no_speech"]


def test_modalities_that_the_bundle_has_not_are_not_asked_for(desk: Any, make_track: Any) -> None:
    one = desk(modalities=frozenset({"text"}))
    see_faces(one, 40)
    one.hear(make_track(*SAID))
    assert not one.of(EncodeAudio)
    assert not one.of(EncodeVideo)
    assert one.of(wire.Emotion)[0].modalities["text"].present


def test_a_result_that_is_not_sure_abstains(desk: Any, make_track: Any) -> None:
    one = desk(abstain_threshold=0.51)
    one.hear(make_track(*SAID))
    assert one.of(wire.Emotion)[0].abstained
    assert one.session.totals["abstained"] == 1


@pytest.mark.parametrize(
    ("kind", "modality"),
    [(Transcribe, "text"), (EncodeText, "text"), (EncodeAudio, "audio"), (EncodeVideo, "video")],
)
def test_a_modality_that_fails_is_absent_and_told_once(
    desk: Any, make_track: Any, failing: Any, kind: type[Job], modality: str
) -> None:
    one = desk(reply=failing(kind))
    see_faces(one, 160)
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


def test_nothing_left_to_fuse_drops_the_utterance(
    desk: Any, make_track: Any, failing: Any, reply: Any
) -> None:
    def deaf(job: Job) -> JobResult:
        return JobResult(job.job_id, Failed("x")) if isinstance(job, EncodeAudio) else reply(job)

    one = desk(reply=deaf, transcribe=False)
    one.hear(make_track(*SAID))
    assert [e.reason for e in one.of(wire.UtteranceDropped)] == ["error"]
    assert not one.of(Fuse)


@settings(max_examples=60, deadline=None)
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

    one = desk(at_once=False, reply=fate, max_waiting=waiting, channels=2)
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
    assert totals["utterances"] == totals.get("emotions", 0) + dropped


def test_a_flood_drops_the_oldest_and_counts_them(desk: Any, make_track: Any, reply: Any) -> None:
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
    assert [e.utterance_id for e in one.of(wire.UtteranceDropped)] == ["u2", "u3"][:2]
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


def test_calls_out_of_turn_are_refused(desk: Any, make_track: Any) -> None:
    one = desk()
    with pytest.raises(RuntimeError, match="starts once"):
        one.session.start(None)
    new = Session(one.session._config, "other")
    with pytest.raises(RuntimeError, match=r"call start\(\) first"):
        new.hear(make_track(*SAID))
    one.take(one.session.end("over"))
    for call in (
        lambda: one.session.hear(make_track(*SAID)),
        lambda: one.session.tick(5),
        lambda: one.session.report("info", "x", "y"),
        one.session.flush,
        lambda: one.session.end("again"),
    ):
        with pytest.raises(RuntimeError, match="has ended"):
            call()
