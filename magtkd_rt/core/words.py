"""The words of utterances: when the transcriber is fed, what it says on the way and at the end."""

from __future__ import annotations

from collections.abc import Callable

from magtkd_rt.core.config import SessionConfig
from magtkd_rt.core.jobs import (
    Failed,
    ForgetTranscription,
    GaveWay,
    Guess,
    JobResult,
    Transcribe,
    Transcribed,
)
from magtkd_rt.core.media import AudioChunk
from magtkd_rt.core.outbox import Outbox
from magtkd_rt.core.requests import Asked, Requests
from magtkd_rt.core.steps import Grown
from magtkd_rt.core.utterance import NO_WORDS, Utterance, transcript_event


class Words:
    """Has utterances transcribed and shows their words.

    Args:
        config: of the session.
        outbox: takes events.
        requests: takes jobs.
        known: called when the final words of an utterance that is over are known.
    """

    def __init__(
        self,
        config: SessionConfig,
        outbox: Outbox,
        requests: Requests,
        known: Callable[[Utterance, Transcribed], None],
    ) -> None:
        self._config = config
        self._out = outbox
        self._requests = requests
        self._known = known

    def hear(self, utterance: Utterance, grown: Grown) -> None:
        """Feed the transcriber the next sound of an utterance."""
        self._feed(utterance, grown.sound, paused=grown.paused, ahead=grown.ahead)

    def hear_rest(self, utterance: Utterance, rest: AudioChunk) -> None:
        """Feed it the rest of an utterance, which may be empty, for its final words."""
        self._feed(utterance, rest, last=True)

    def _feed(
        self,
        utterance: Utterance,
        sound: AudioChunk,
        *,
        last: bool = False,
        paused: bool = False,
        ahead: AudioChunk | None = None,
    ) -> None:
        if not self._config.transcribe or utterance.transcriber_failed:
            return
        utterance.transcribing = True
        job = Transcribe(self._requests.new_id(), utterance.id, sound, last, paused, ahead)
        self._requests.ask(Asked(job, utterance, "transcribe"))

    def guess(self, utterance: Utterance) -> None:
        """Have the transcriber work ahead, or say what it has heard so far."""
        if utterance.transcribing and not utterance.guessing:
            utterance.guessing = True
            job = Guess(self._requests.new_id(), utterance.id, draft=True)
            self._requests.ask(Asked(job, utterance, "guess"))

    def transcribed(self, asked: Asked, result: JobResult) -> None:
        """Take the result of feeding it."""
        utterance, said, job = asked.utterance, result.value, asked.job
        assert isinstance(job, Transcribe)
        if utterance.transcriber_failed or result.job_id < utterance.forgotten:
            return
        if not isinstance(said, Transcribed) and (job.last or said is not None):
            self._requests.tell_failure(asked, said)
            self._failed(utterance, late=isinstance(said, GaveWay))
        elif job.last and isinstance(said, Transcribed):
            utterance.transcribing = False
            utterance.transcribe_ns = result.elapsed_ns
            self._known(utterance, said)
        elif isinstance(said, Transcribed):
            self._partly_known(utterance, said, result.job_id, job.sound.end)

    def guessed(self, asked: Asked, result: JobResult) -> None:
        """Take the result of a guess."""
        asked.utterance.guessing = False
        if isinstance(result.value, Transcribed):
            self._partly_known(asked.utterance, result.value, result.job_id, self._out.now)
        elif isinstance(result.value, Failed):
            self._requests.tell_failure(asked, result.value)

    def show(self, utterance: Utterance, said: Transcribed, *, final: bool, end: int) -> None:
        """Send the words up to sample `end`."""
        self._out.emit(transcript_event(self._out.stamp(), utterance, said, final=final, end=end))
        utterance.shown_text = said.text
        utterance.transcripts += 1

    def forget(self, utterance: Utterance) -> None:
        """Give up what the transcriber has of it; what it says of that comes too late."""
        if utterance.transcribing:
            utterance.transcribing = False
            utterance.forgotten = utterance.newest_partial = self._requests.new_id()
            self._out.ask(ForgetTranscription(utterance.forgotten, utterance.id))

    def _partly_known(self, utterance: Utterance, said: Transcribed, job_id: int, end: int) -> None:
        if job_id > utterance.newest_partial and utterance.transcript is None:
            utterance.newest_partial = job_id
            utterance.partial = said
            if said.text != utterance.shown_text:
                self.show(utterance, said, final=False, end=min(end, utterance.end or end))

    def _failed(self, utterance: Utterance, *, late: bool) -> None:
        """Its stream has a hole now: better no words than wrong ones."""
        utterance.transcriber_failed = True
        utterance.words_late = late
        self.forget(utterance)
        if utterance.end:
            self._known(utterance, NO_WORDS)
