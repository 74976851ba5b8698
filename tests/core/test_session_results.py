"""Job results in: what is told when, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from magtkd_rt import wire
from magtkd_rt.core import Session
from magtkd_rt.core.jobs import (
    EncodeAudio,
    EncodeText,
    EncodeVideo,
    Fuse,
    Job,
    JobResult,
    Transcribe,
    Transcribed,
    Turn,
    Word,
)
from magtkd_rt.core.media import WINDOW, seconds

SAID = ((30, 0.9), (20, 0.0))

SENTENCE = "yes I have said so all along"
"""As many words as a person says in four seconds."""

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


def test_an_utterance_from_its_first_sound_to_its_result(desk: Any, make_track: Any) -> None:
    one = desk()
    one.see_faces(40)
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
        face=wire.Face(box=(0.25, 0.25, 0.5, 0.5), confidence=0.9, seen=1, others=0),
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
    [("", 0.9, "no_speech"), ("the", 0.1, "hallucination"), (SENTENCE, 0.9, None)],
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


@pytest.mark.parametrize(
    ("probability", "doubt", "reason"),
    [
        (0.7, "repetition", "hallucination"),
        (0.7, "no_speech", "no_speech"),
        (0.9, "repetition", None),
        (0.9, "no_speech", None),
    ],
)
def test_made_up_words_end_an_utterance_only_where_its_sound_is_not_clear(
    desk: Any, make_track: Any, reply: Any, probability: float, doubt: Any, reason: str | None
) -> None:
    def make(job: Job) -> JobResult:
        result: JobResult = reply(job)
        if not isinstance(job, Transcribe):
            return result
        said = Transcribed("", (), 0.0, language="en", final=job.last, doubt=doubt)
        return JobResult(job.job_id, said)

    one = desk(reply=make)
    one.hear(make_track((30, probability), (30, 0.0)))
    assert [e.reason for e in one.of(wire.UtteranceDropped)] == ([reason] if reason else [])
    for event in one.of(wire.Emotion):
        assert event.modalities["text"] == wire.Modality(present=False, reason="no_words")
        assert event.modalities["audio"].present
    assert len(one.of(wire.Emotion)) == (0 if reason else 1)
    one.check_rules()


def test_words_outside_of_speech_are_not_shown(desk: Any, make_track: Any, reply: Any) -> None:
    late = Word("thanks", 1000 * WINDOW, 1010 * WINDOW, 0.9)

    def make(job: Job) -> JobResult:
        result: JobResult = reply(job)
        if not isinstance(job, Transcribe) or not job.last:
            return result
        return JobResult(job.job_id, Transcribed("thanks", (late,), 0.9, "en", final=True))

    one = desk(reply=make)
    one.hear(make_track(*SAID))
    assert one.of(wire.Transcript)[-1].text == ""
    (event,) = one.of(wire.Emotion)
    assert event.modalities["text"] == wire.Modality(present=False, reason="no_words")


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
    one.see_faces(40)
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
    "change",
    [{"labels": ()}, {"labels": ("a", "a")}, {"max_faces": 0}, {"channels": 0}, {"channels": 17}],
)
def test_settings_that_cannot_work_are_refused(make_config: Any, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must|or more"):
        make_config(**change)


def test_calls_out_of_turn_are_refused(desk: Any, make_track: Any, make_config: Any) -> None:
    one = desk()
    with pytest.raises(RuntimeError, match="starts once"):
        one.session.start(None)
    new = Session(make_config(), "other")
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
