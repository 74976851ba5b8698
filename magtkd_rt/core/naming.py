"""Who spoke: every utterance that is over is judged by its voice, and speech beside it is noticed.

Where a session has identities, an utterance's voice is described as a whole by a job, at a pause if
there is one, so that nothing waits for it at the end. Utterances that are over wait for it and are
judged in the order in which they ended, so that names do not depend on when the answers come.
Turns are found by prints all the same, by speakers of their own.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from magtkd_rt.core.config import SessionConfig
from magtkd_rt.core.jobs import Identified, Identify, JobResult
from magtkd_rt.core.media import AudioChunk
from magtkd_rt.core.requests import Asked, Requests
from magtkd_rt.core.speakers import Enrolled, Speakers, Vector, Verdict, Voice
from magtkd_rt.core.steps import Closed
from magtkd_rt.core.utterance import Utterance


@dataclass(slots=True, eq=False)
class _Description:
    """What an utterance's voice sounds like, by a job; `vector` counts once it is `known`."""

    job_id: int
    end: int
    """Sample after the sound that it is of."""
    known: bool = False
    vector: Vector | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Unnamed:
    """An utterance that is over."""

    utterance: Utterance
    channel: int
    windows: int
    description: _Description


class Naming:
    """Says of each utterance that is over who spoke.

    Args:
        config: of the session.
        requests: takes jobs.
        totals: counters to add to.
        prints: speakers as voice prints tell them apart, by which turns are found; None where
            voices do not count.
        named: called with an utterance once it is judged, where that was not at once.
    """

    def __init__(
        self,
        config: SessionConfig,
        requests: Requests,
        totals: Counter[str],
        prints: Speakers | None,
        named: Callable[[Utterance], None],
    ) -> None:
        self._requests = requests
        self._totals = totals
        self._prints = prints
        self._named = named
        self._identities: Speakers | None = None
        if prints is not None and config.identities is not None:
            known = [
                Enrolled(e.name, e.identity) for e in config.enrolled if e.identity is not None
            ]
            self._identities = Speakers(config.identities, known)
        self._heard: dict[int, int | None] = {}  # by channel, the last guess by prints
        self._told: dict[int, int | None] = {}  # and the last one that was told
        self._descriptions: dict[str, _Description] = {}  # by utterance
        self._waiting: deque[_Unnamed] = deque()  # in the order in which they ended
        self._lately: deque[tuple[int, int, int]] = deque(maxlen=16)  # channel, start, end

    def last(self, channel: int) -> int | None:
        """Who probably spoke last on a channel."""
        return self._told.get(channel)

    def paused(self, utterance: Utterance, sound: AudioChunk) -> None:
        """Nothing is said for a while: maybe all of an utterance has been heard."""
        if self._identities is not None:
            self._describe(utterance, sound)

    def over(
        self, utterance: Utterance, closed: Closed, beside: Iterable[tuple[int, int, int]]
    ) -> None:
        """An utterance is over.

        Args:
            utterance: with its start and end.
            closed: its sound and prints.
            beside: channel, start and end of those that are open.
        """
        channel = closed.sound.channel
        utterance.overlapped = any(
            other != channel and start < utterance.end and utterance.start < end
            for other, start, end in [*beside, *self._lately]
        )
        self._lately.append((channel, utterance.start, utterance.end))
        if self._prints is None:
            utterance.named = True
            return
        before = self._heard.get(channel) if utterance.changed else None
        verdict = self._prints.judge(closed.voice, not_speaker=before)
        self._heard[channel] = verdict.guess
        if self._identities is None:
            self._tell(utterance, channel, verdict, self._prints)
            return
        description = self._describe(utterance, closed.sound)
        self._waiting.append(_Unnamed(utterance, channel, closed.speech_windows, description))
        self._go_on()

    def _describe(self, utterance: Utterance, sound: AudioChunk) -> _Description:
        """Ask what an utterance sounds like, unless that was asked already."""
        description = self._descriptions.get(utterance.id)
        if description is None or description.end != sound.end:
            description = _Description(self._requests.new_id(), sound.end)
            self._descriptions[utterance.id] = description
            job = Identify(description.job_id, utterance.id, sound.samples)
            self._requests.ask(Asked(job, utterance, "identify"))
        return description

    def identified(self, asked: Asked, result: JobResult) -> None:
        """Take what an utterance's voice sounds like; without it nobody can tell who spoke."""
        description = self._descriptions[asked.utterance.id]
        if description.job_id != result.job_id:
            return  # more was said since
        description.known = True
        if isinstance(result.value, Identified):
            description.vector = result.value.vector
        else:
            self._requests.tell_failure(asked, result.value)
        self._go_on()

    def forget(self, utterance: Utterance) -> None:
        """An utterance has ended or was dropped: those after it need not wait for it."""
        self._descriptions.pop(utterance.id, None)
        for waiting in self._waiting:
            if waiting.utterance is utterance:
                self._waiting.remove(waiting)
                self._go_on()
                return

    def _go_on(self) -> None:
        """Judge those whose turn it is."""
        while self._waiting and self._waiting[0].description.known:
            assert self._identities is not None
            first = self._waiting.popleft()
            vector = first.description.vector
            voice = None if vector is None else Voice(vector, first.windows)
            before = self._told.get(first.channel) if first.utterance.changed else None
            verdict = self._identities.judge(voice, not_speaker=before)
            self._tell(first.utterance, first.channel, verdict, self._identities)
            self._named(first.utterance)

    def _tell(
        self, utterance: Utterance, channel: int, verdict: Verdict, speakers: Speakers
    ) -> None:
        self._told[channel] = verdict.guess
        utterance.named = True
        utterance.speaker = verdict.speaker
        utterance.guess = verdict.guess or 0
        utterance.speaker_confidence = verdict.confidence
        if verdict.speaker is None:
            self._totals["speakers_unsure"] += 1
        else:
            utterance.speaker_name = speakers.name(verdict.speaker)
