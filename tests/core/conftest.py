"""Made sound, and an executor that answers jobs at once or in a random order."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pytest

from magtkd_rt import wire
from magtkd_rt.core import Output, SegmenterConfig, Session, SessionConfig, SessionInfo
from magtkd_rt.core.jobs import (
    Encoded,
    Failed,
    ForgetTranscription,
    Fuse,
    Fused,
    Guess,
    Job,
    JobResult,
    Transcribe,
    Transcribed,
)
from magtkd_rt.core.media import WINDOW, Face, HeardSound, SeenFaces, samples_to_ns

LABELS = ("neutral", "joy", "anger")
INFO = SessionInfo(
    bundle=wire.BundleInfo(name="test", sha256="0" * 64, licence="none"),
    asr=wire.AsrInfo(name="scripted"),
    engine="fake",
    sources=wire.SourceInfo(audio="memory", video=None),
    notice="",
)


def track(*parts: tuple[int, float], seed: int = 0, channel: int = 0, start: int = 0) -> HeardSound:
    """Sound of (windows, speech probability) parts; it is the louder the more it is speech."""
    speech = np.concatenate([np.full(n, p, np.float32) for n, p in parts])
    noise = np.random.default_rng(seed).standard_normal((len(speech), WINDOW))
    samples = (noise * (0.001 + 0.1 * speech[:, None])).astype(np.float32)
    return HeardSound(channel, start, samples.reshape(-1), speech)


def cut(sound: HeardSound, first: int, after: int) -> HeardSound:
    """Windows `first` to `after` of a sound."""
    return HeardSound(
        sound.channel,
        sound.start + first * WINDOW,
        sound.samples[first * WINDOW : after * WINDOW],
        sound.speech[first:after],
    )


def plain(value: Any) -> Any:
    """A job as something that compares byte for byte."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    if hasattr(value, "__dataclass_fields__"):
        return (type(value).__name__, *(plain(getattr(value, f.name)) for f in fields(value)))
    return value


def answer(job: Job, *, text: str = "some words", confidence: float = 0.9) -> JobResult:
    """A result that depends on the job's content only; the fusion's state counts its steps."""
    if isinstance(job, Transcribe):
        heard = text if job.last else f"{text[: len(text) // 2]}"
        value: Any = Transcribed(heard, None, confidence, "en", job.last)
    elif isinstance(job, Guess):
        value = Transcribed(text[: len(text) // 2], None, confidence, "en", False)
    elif isinstance(job, ForgetTranscription):
        value = None
    elif isinstance(job, Fuse):
        present = [f is not None for f in job.features]
        odds = np.array([1.0, 1.5 + (job.speaker or 0), 0.5], np.float64)
        contributions = tuple(0.125 if there else None for there in present)
        value = Fused(
            (odds / odds.sum()).astype(np.float32),
            (contributions[0], contributions[1], contributions[2]),
            (job.state or 0) + 1,
        )
    else:
        value = Encoded(np.zeros(4, np.float32), np.zeros(3, np.float32))
    return JobResult(job.job_id, value, elapsed_ns=2_000_000)


@dataclass
class Desk:
    """A session and everything that came out of it.

    Attributes:
        at_once: answer each job as soon as it comes; else jobs collect in `todo`.
    """

    session: Session
    at_once: bool = True
    reply: Callable[[Job], JobResult] = answer
    events: list[wire.Event] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    todo: list[Job] = field(default_factory=list)

    def take(self, output: Output) -> None:
        """Keep an output and, `at_once`, answer its jobs."""
        self.events += output.events
        self.jobs += output.jobs
        self.todo += output.jobs
        while self.at_once and self.todo:
            self.take(self.session.complete(self.reply(self.todo.pop(0))))

    def hear(self, sound: HeardSound, chunk: int | None = None) -> None:
        """Hand sound in, `chunk` windows at a time."""
        count = len(sound.speech)
        for first in range(0, count, chunk or count):
            self.take(self.session.hear(cut(sound, first, first + (chunk or count))))

    def see_faces(self, windows: int) -> None:
        """Hand in a face every third window."""
        for n in range(0, windows, 3):
            face = Face(0, np.zeros((48, 48), np.uint8), (0.25, 0.25, 0.5, 0.5), 0.9)
            self.take(self.session.see(SeenFaces(samples_to_ns(n * WINDOW), (face,))))

    def answer_all(self, rng: random.Random | None = None) -> None:
        """Answer what waits, in order or in a random one, until nothing waits."""
        while self.todo:
            job = self.todo.pop(rng.randrange(len(self.todo)) if rng else 0)
            self.take(self.session.complete(self.reply(job)))

    def of(self, kind: type[Any]) -> list[Any]:
        """The events, or jobs, of one type."""
        return [item for item in [*self.events, *self.jobs] if isinstance(item, kind)]

    def everything(self) -> tuple[list[str], list[Any]]:
        """All that came out, to be compared byte for byte."""
        return [e.model_dump_json() for e in self.events], [plain(job) for job in self.jobs]

    def check_rules(self) -> None:
        """What holds for every stream: numbers without gaps, one end for each utterance."""
        assert [e.seq for e in self.events] == list(range(1, len(self.events) + 1))
        begun = [e.utterance_id for e in self.of(wire.SpeechStarted)]
        ended = [e.utterance_id for e in self.of(wire.Emotion) if e.stage == "final"]
        ended += [e.utterance_id for e in self.of(wire.UtteranceDropped)]
        assert len(set(begun)) == len(begun)
        assert len(set(ended)) == len(ended)
        assert set(ended) <= set(begun)
        assert len(begun) - len(ended) <= self.session.pending
        over: set[str] = set()
        results: dict[str, int] = {}
        for event in self.events:
            revised = isinstance(event, wire.Emotion) and event.stage == "revised"
            if isinstance(event, wire.SpeechStarted | wire.Transcript | wire.Emotion):
                assert (event.utterance_id in over) == revised
            if isinstance(event, wire.Emotion):
                assert event.revision == results.get(event.utterance_id, 0)
                results[event.utterance_id] = event.revision + 1
            provisional = isinstance(event, wire.Emotion) and event.stage == "provisional"
            if isinstance(event, wire.Emotion | wire.UtteranceDropped) and not provisional:
                over.add(event.utterance_id)
        assert [event.t for event in self.events] == sorted(event.t for event in self.events)


def config(**changes: Any) -> SessionConfig:
    """A session's configuration with some values changed."""
    settings: dict[str, Any] = {
        "segmenter": SegmenterConfig(),
        "labels": LABELS,
        "text_confidence_threshold": 0.5,
        "abstain_threshold": 0.4,
        "drafts": False,  # what tests are about that say nothing of it
        **changes,
    }
    return SessionConfig(**settings)


@pytest.fixture(scope="session")
def desk() -> Callable[..., Desk]:
    """Makes a session that has started: `desk(at_once=..., reply=..., **config)`."""

    def make(*, at_once: bool = True, reply: Any = answer, **changes: Any) -> Desk:
        made = Desk(Session(config(**changes), "session"), at_once, reply)
        made.take(made.session.start(INFO))
        return made

    return make


@pytest.fixture(scope="session")
def make_config() -> Callable[..., SessionConfig]:
    """See `config`."""
    return config


@pytest.fixture(scope="session")
def make_track() -> Callable[..., HeardSound]:
    """See `track`."""
    return track


@pytest.fixture(scope="session")
def piece() -> Callable[..., HeardSound]:
    """See `cut`."""
    return cut


@pytest.fixture(scope="session")
def reply() -> Callable[..., JobResult]:
    """See `answer`."""
    return answer


@pytest.fixture(scope="session")
def failing() -> Callable[[type[Job]], Callable[[Job], JobResult]]:
    """Makes an executor at which one kind of job always fails."""

    def make(kind: type[Job]) -> Callable[[Job], JobResult]:
        def fail(job: Job) -> JobResult:
            broken = isinstance(job, kind)
            return JobResult(job.job_id, Failed("out of order")) if broken else answer(job)

        return fail

    return make
