"""From an utterance's sound to its result: which jobs are asked for when, and what they led to.

Transcripts enter the conversation, and utterances are fused, strictly in the order in which
utterances ended: the text encoder reads earlier turns and the fusion carries its state along.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from magtkd_rt import wire
from magtkd_rt.core.config import SessionConfig
from magtkd_rt.core.conversation import Conversation
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
)
from magtkd_rt.core.media import AudioChunk
from magtkd_rt.core.outbox import Outbox
from magtkd_rt.core.segmenter import Closed, Opened
from magtkd_rt.core.speakers import Speakers
from magtkd_rt.core.utterance import (
    NO_WORDS,
    Utterance,
    emotion_event,
    fault_of,
    transcript_event,
)

DropReason = Literal["no_speech", "hallucination", "too_short", "overload", "error"]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A job that is out, and what its result is for."""

    utterance: Utterance
    kind: str
    modality: wire.ModalityName | None = None
    last: bool = False
    sound_end: int = 0


class Recognition:
    """All utterances that were announced and have no result yet.

    Args:
        config: of the session.
        outbox: takes events and jobs.
        totals: counters to add to.
        speakers: tells voices apart; None where voices do not count.
    """

    def __init__(
        self,
        config: SessionConfig,
        outbox: Outbox,
        totals: Counter[str],
        speakers: Speakers | None = None,
    ) -> None:
        self._config = config
        self._out = outbox
        self._totals = totals
        self._conversation = Conversation(
            config.context_turns, channels_are_speakers=config.channels_are_speakers
        )
        self._speakers = speakers
        self._last_guess: dict[int, int | None] = {}  # by channel
        self._lately: deque[tuple[int, int, int]] = deque(maxlen=16)  # channel, start, end
        self._open: dict[int, Utterance] = {}  # by channel
        self._closed: list[Utterance] = []  # in the order in which they ended
        self._asked: dict[int, _Asked] = {}
        self._fusion_state: Any = None
        self._failures_told: set[str] = set()

    @property
    def pending(self) -> int:
        """Utterances that have neither a final result nor been dropped."""
        return len(self._open) + len(self._closed)

    def open(self, opened: Opened) -> None:
        """Somebody began to speak."""
        self._totals["utterances"] += 1
        utterance = Utterance(
            id=f"u{self._totals['utterances']}",
            speaker=None,
            start=opened.start,
            changed=opened.changed,
        )
        if self._speakers is None:
            utterance.speaker = utterance.guess = self._conversation.speaker(opened.channel)
        self._open[opened.channel] = utterance
        self._out.emit(wire.SpeechStarted(**self._out.stamp(), utterance_id=utterance.id))

    def grow(self, sound: AudioChunk) -> None:
        """More sound of the open utterance of its channel."""
        self._transcribe(self._open[sound.channel], sound, last=False)

    def close(self, closed: Closed, faces: NDArray[np.uint8] | None) -> None:
        """The open utterance is over; `faces` are those seen in it, uint8 (n, 48, 48)."""
        utterance = self._open.pop(closed.sound.channel)
        utterance.end = closed.sound.end
        utterance.last_speech = closed.last_speech
        utterance.decided_at = self._out.now
        utterance.weak = (
            closed.speech_windows < self._config.weak_speech_windows
            or closed.mean_speech < self._config.weak_speech_probability
        )
        self._tell_speaker(utterance, closed)
        self._closed.append(utterance)
        self._transcribe(utterance, closed.rest, last=True)
        if "audio" in self._config.modalities:
            job_id = self._out.new_job_id()
            self._encode(
                EncodeAudio(job_id, utterance.id, closed.sound.samples), utterance, "audio"
            )
        else:
            utterance.absent["audio"] = "no_sound"
        if "video" in self._config.modalities and faces is not None:
            job_id = self._out.new_job_id()
            self._encode(EncodeVideo(job_id, utterance.id, faces), utterance, "video")
        else:
            utterance.absent["video"] = "no_face"
        if not utterance.transcribing:
            self._words_known(utterance, NO_WORDS)
        self._limit_waiting()
        self._advance()

    def complete(self, result: JobResult) -> None:
        """A job was done; a result that is not awaited (any more) changes nothing."""
        asked = self._asked.pop(result.job_id, None)
        if asked is None:
            return
        if asked.kind == "transcribe":
            self._transcribed(asked, result)
        elif asked.kind == "fuse":
            self._fused(asked, result)
        elif asked.modality is not None:
            self._encoded(asked, asked.modality, result)
        self._advance()

    def drop_all(self, reason: DropReason) -> None:
        """Give up on everything that waits."""
        for utterance in [*self._closed, *self._open.values()]:
            self._drop(utterance, reason)
        self._open.clear()

    # Speakers

    def _tell_speaker(self, utterance: Utterance, closed: Closed) -> None:
        """Say who spoke, and whether somebody spoke beside."""
        channel = closed.sound.channel
        span = (channel, utterance.start, utterance.end)
        others = [(c, u.start, self._out.now) for c, u in self._open.items()] + [*self._lately]
        utterance.overlapped = any(
            c != channel and start < utterance.end and utterance.start < end
            for c, start, end in others
        )
        self._lately.append(span)
        if self._speakers is None:
            return
        before = self._last_guess.get(channel) if utterance.changed else None
        verdict = self._speakers.judge(closed.voice, not_speaker=before)
        self._last_guess[channel] = verdict.guess
        utterance.speaker = verdict.speaker
        utterance.guess = verdict.guess or 0
        utterance.speaker_confidence = verdict.confidence
        if verdict.speaker is None:
            self._totals["speakers_unsure"] += 1
        else:
            utterance.speaker_name = self._speakers.name(verdict.speaker)

    # Words

    def _transcribe(self, utterance: Utterance, sound: AudioChunk, *, last: bool) -> None:
        if not self._config.transcribe or utterance.transcriber_failed:
            return
        utterance.transcribing = True
        job = Transcribe(self._out.new_job_id(), utterance.id, sound, last)
        self._ask(job, _Asked(utterance, "transcribe", last=last, sound_end=sound.end))

    def _transcribed(self, asked: _Asked, result: JobResult) -> None:
        utterance, said = asked.utterance, result.value
        if utterance.transcriber_failed:
            return
        if not isinstance(said, Transcribed) and (asked.last or said is not None):
            self._tell_failure(asked, said)
            self._transcriber_failed(utterance)
        elif asked.last and isinstance(said, Transcribed):
            utterance.transcribing = False
            utterance.transcribe_ns = result.elapsed_ns
            self._words_known(utterance, said)
        elif isinstance(said, Transcribed) and result.job_id > utterance.newest_partial:
            utterance.newest_partial = result.job_id
            if utterance.transcript is None and said.text != utterance.shown_text:
                self._show(utterance, said, final=False, end=asked.sound_end)

    def _transcriber_failed(self, utterance: Utterance) -> None:
        """Its stream has a hole now: better no words than wrong ones."""
        utterance.transcriber_failed = True
        self._forget_transcription(utterance)
        if utterance.end:
            self._words_known(utterance, NO_WORDS)

    def _words_known(self, utterance: Utterance, said: Transcribed) -> None:
        utterance.transcript = said
        if utterance.weak and not said.text.strip():
            self._drop(utterance, "no_speech")
        elif utterance.weak and not self._confident(said):
            self._drop(utterance, "hallucination")
        elif self._config.transcribe and (utterance.shown_text or not utterance.transcriber_failed):
            self._show(utterance, said, final=True, end=utterance.end)

    def _confident(self, said: Transcribed) -> bool:
        return said.confidence >= self._config.text_confidence_threshold

    def _show(self, utterance: Utterance, said: Transcribed, *, final: bool, end: int) -> None:
        self._out.emit(transcript_event(self._out.stamp(), utterance, said, final=final, end=end))
        utterance.shown_text = said.text
        utterance.revision += 1

    def _forget_transcription(self, utterance: Utterance) -> None:
        if utterance.transcribing:
            utterance.transcribing = False
            self._out.ask(ForgetTranscription(self._out.new_job_id(), utterance.id))

    # Features

    def _encode(self, job: Job, utterance: Utterance, modality: wire.ModalityName) -> None:
        utterance.awaited.add(modality)
        self._ask(job, _Asked(utterance, f"encode_{modality}", modality))

    def _encoded(self, asked: _Asked, modality: wire.ModalityName, result: JobResult) -> None:
        utterance = asked.utterance
        utterance.awaited.discard(modality)
        if isinstance(result.value, Encoded):
            utterance.features[modality] = result.value.feature
            utterance.encode_ns += result.elapsed_ns
        else:
            utterance.absent[modality] = "error"
            self._tell_failure(asked, result.value)

    def _settle_text(self, utterance: Utterance, said: Transcribed) -> None:
        """Its words take their place in the conversation, if they can be trusted."""
        utterance.text_settled = True
        if utterance.transcriber_failed:
            utterance.absent["text"] = "error"
        elif not said.text.strip() or "text" not in self._config.modalities:
            utterance.absent["text"] = "no_words"
        elif not self._confident(said):
            utterance.absent["text"] = "low_confidence"
        else:
            turns = self._conversation.say(utterance.guess, said.text)
            self._encode(EncodeText(self._out.new_job_id(), utterance.id, turns), utterance, "text")

    # Results

    def _advance(self) -> None:
        """Do what has become possible for the utterances that wait, in their order."""
        for utterance in self._closed:
            if utterance.transcript is None:
                break
            if not utterance.text_settled:
                self._settle_text(utterance, utterance.transcript)
        while self._closed:
            first = self._closed[0]
            if not first.text_settled or first.awaited or first.fusing:
                return
            if first.features:
                self._fuse(first)
                return
            self._drop(first, "error" if "error" in first.absent.values() else "no_speech")

    def _fuse(self, utterance: Utterance) -> None:
        utterance.fusing = True
        features = utterance.features
        job = Fuse(
            self._out.new_job_id(),
            utterance.id,
            (features.get("text"), features.get("audio"), features.get("video")),
            utterance.speaker,
            self._fusion_state,
        )
        self._ask(job, _Asked(utterance, "fuse"))

    def _fused(self, asked: _Asked, result: JobResult) -> None:
        utterance, fused = asked.utterance, result.value
        labels: Sequence[str] = self._config.labels
        if isinstance(fused, Fused) and (fault := fault_of(fused, len(labels))) is not None:
            fused = Failed(fault)
        if not isinstance(fused, Fused):
            self._tell_failure(asked, fused)
            self._drop(utterance, "error")
            return
        self._fusion_state = fused.state
        self._leave(utterance)
        self._totals["emotions"] += 1
        event = emotion_event(
            self._out.stamp(),
            utterance,
            fused,
            labels=labels,
            abstain_threshold=self._config.abstain_threshold,
            fusion_ns=result.elapsed_ns,
        )
        self._totals["abstained"] += event.abstained
        self._out.emit_final(event, utterance.last_speech)

    def _limit_waiting(self) -> None:
        """Keep the queue bounded; the one that is being fused is as good as done."""
        if len(self._closed) > self._config.max_waiting:
            self._drop(next(u for u in self._closed if not u.fusing), "overload")

    def _drop(self, utterance: Utterance, reason: DropReason) -> None:
        self._forget_transcription(utterance)
        self._leave(utterance)
        self._totals[f"dropped_{reason}"] += 1
        self._out.emit(
            wire.UtteranceDropped(**self._out.stamp(), utterance_id=utterance.id, reason=reason)
        )

    def _leave(self, utterance: Utterance) -> None:
        """It has ended: results that are still out concern nobody."""
        for job_id in [n for n, asked in self._asked.items() if asked.utterance is utterance]:
            del self._asked[job_id]
        if utterance in self._closed:
            self._closed.remove(utterance)

    # Jobs

    def _ask(self, job: Job, asked: _Asked) -> None:
        self._asked[job.job_id] = asked
        self._out.ask(job)

    def _tell_failure(self, asked: _Asked, value: object) -> None:
        """Count a failure; its kind is told once, not once an utterance."""
        self._totals[f"failed_{asked.kind}"] += 1
        if asked.kind not in self._failures_told:
            self._failures_told.add(asked.kind)
            wanted = asked.kind.replace("_", " ")
            message = value.message if isinstance(value, Failed) else f"unusable result of {wanted}"
            self._out.status("warning", f"{asked.kind}_failed", message)
