"""From an utterance's sound to its results: which jobs are asked for when, and what they led to.

Transcripts enter the conversation, and utterances are fused, strictly in the order in which
utterances ended: the text encoder reads earlier turns and the fusion carries its state along.

While an utterance goes on, drafts of it are made now and then: from one during speech follows a
provisional result; one at a pause is work done ahead, for it becomes the final result's evidence
if nothing more is said.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from magtkd_rt import wire
from magtkd_rt.core.config import SessionConfig
from magtkd_rt.core.conversation import Conversation
from magtkd_rt.core.encoding import Encoding, Faces, Limits
from magtkd_rt.core.jobs import Failed, Fuse, Fused, JobResult, Transcribed
from magtkd_rt.core.media import WINDOW
from magtkd_rt.core.naming import Naming
from magtkd_rt.core.outbox import Outbox
from magtkd_rt.core.plausibility import Clarity, clarity, why_no_speech, without_phantoms
from magtkd_rt.core.requests import Asked, Requests
from magtkd_rt.core.revisions import Revisions, Told
from magtkd_rt.core.speakers import Speakers
from magtkd_rt.core.steps import Closed, Grown, Opened, SoFar
from magtkd_rt.core.utterance import NO_WORDS, Evidence, Utterance, emotion_event, fault_of
from magtkd_rt.core.words import Words

DropReason = Literal["no_speech", "hallucination", "too_short", "overload", "error"]


class Recognition:
    """All utterances that were announced and have no result yet.

    Args:
        config: of the session.
        outbox: takes events and jobs.
        totals: counters to add to.
        speakers: tells voice prints apart; None where voices do not count.
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
        self._requests = Requests(outbox, totals)
        self._words = Words(config, outbox, self._requests, self._words_known)
        self._encoding = Encoding(config, self._requests)
        self._voices_count = speakers is not None
        self._naming = Naming(config, self._requests, totals, speakers, self._named)
        self._conversation = Conversation(
            config.context_turns, channels_are_speakers=config.channels_are_speakers
        )
        self._open: dict[int, Utterance] = {}  # by channel
        self._closed: list[Utterance] = []  # in the order in which they ended
        self._fusion_state: Any = None
        self._revisions = Revisions(config.right_context, config.least_revision)
        self._looking_again = 0

    @property
    def pending(self) -> int:
        """Utterances that wait for a result, and results that are looked at again."""
        return len(self._open) + len(self._closed) + self._looking_again

    def limit(self, limits: Limits) -> None:
        """Leave something out from now on."""
        self._encoding.limits = limits

    def open(self, opened: Opened) -> None:
        """Somebody began to speak."""
        self._totals["utterances"] += 1
        utterance = Utterance(
            id=f"u{self._totals['utterances']}",
            speaker=None,
            start=opened.start,
            changed=opened.changed,
        )
        if not self._voices_count:
            utterance.speaker = utterance.guess = self._conversation.speaker(opened.channel)
            names = self._config.speaker_names[opened.channel :]
            utterance.speaker_name = names[0] if names else None
        self._open[opened.channel] = utterance
        self._out.emit(wire.SpeechStarted(**self._out.stamp(), utterance_id=utterance.id))

    def grow(self, grown: Grown) -> None:
        """More sound of the open utterance of its channel."""
        self._words.hear(self._open[grown.sound.channel], grown)

    def look(self, so_far: SoFar, faces: Faces) -> None:
        """What the open utterance holds so far: make a draft of it, if it is worth one."""
        utterance = self._open[so_far.sound.channel]
        if so_far.paused:
            self._naming.paused(utterance, so_far.sound)
        if not self._config.drafts:
            return
        if so_far.paused:
            self._words.guess(utterance)
            utterance.draft = self._encoding.senses(utterance, so_far.sound, faces, draft=True)
            utterance.draft.paused = True
            return
        if not self._encoding.limits.drafts or self._clarity(so_far) != "clear":
            return
        if utterance.draft is not None and not utterance.draft.paused:
            self._totals["provisional_skipped"] += 1  # the last one is not done yet
            return
        if self._config.guess_while_speaking:
            self._words.guess(utterance)
        sound = so_far.sound.newest(self._config.draft_windows * WINDOW)
        draft = self._encoding.senses(utterance, sound, faces, draft=True)
        utterance.draft = draft
        said = utterance.partial
        speaker = self._naming.last(so_far.sound.channel) or utterance.guess
        self._encoding.text(
            utterance,
            draft,
            said,
            lambda: self._conversation.would_say(speaker, said.text),
            draft=True,
        )
        self._advance_draft(utterance)

    def close(self, closed: Closed, faces: Faces) -> None:
        """The open utterance is over."""
        utterance = self._open.pop(closed.sound.channel)
        utterance.end = closed.sound.end
        utterance.last_speech = closed.last_speech
        utterance.decided_at = self._out.now
        utterance.voiced = closed.voiced
        utterance.clarity = self._clarity(closed)
        beside = [(channel, u.start, self._out.now) for channel, u in self._open.items()]
        self._naming.over(utterance, closed, beside)
        self._closed.append(utterance)
        if closed.again:
            self._words.forget(utterance)
        self._words.hear_rest(utterance, closed.rest)
        utterance.evidence = self._encoding.final(utterance, closed.sound, faces)
        utterance.draft = None
        if not utterance.transcribing:
            self._words_known(utterance, NO_WORDS)
        self._limit_waiting()
        self._advance()

    def complete(self, result: JobResult) -> None:
        """A job was done; a result that is not awaited (any more) changes nothing."""
        asked = self._requests.answered(result.job_id)
        if asked is None:
            return
        match asked.kind:
            case "transcribe":
                self._words.transcribed(asked, result)
            case "guess":
                self._words.guessed(asked, result)
            case "encode":
                self._encoding.encoded(asked, result)
                self._advance_draft(asked.utterance)
            case "identify":
                self._naming.identified(asked, result)
            case "draft":
                self._drafted(asked, result)
            case "fuse":
                self._fused(asked, result)
            case "revise":
                self._looked_again(asked, result)
        self._advance()

    def drop_all(self, reason: DropReason) -> None:
        """Give up on everything that waits."""
        while self._closed:  # not one by one of a list: the next may go with the first
            self._drop(self._closed[0], reason)
        for utterance in self._open.values():
            self._drop(utterance, reason)
        self._open.clear()

    # Words

    def _words_known(self, utterance: Utterance, said: Transcribed) -> None:
        utterance.transcript = without_phantoms(said, utterance.start, utterance.voiced)
        if utterance.named:
            self._tell_words(utterance, utterance.transcript)

    def _named(self, utterance: Utterance) -> None:
        """It is known who spoke."""
        if utterance.transcript is not None:
            self._tell_words(utterance, utterance.transcript)

    def _tell_words(self, utterance: Utterance, said: Transcribed) -> None:
        """Show the final words, or drop an utterance that is none."""
        reason = why_no_speech(
            utterance.clarity,
            int(np.count_nonzero(utterance.voiced)),
            said,
            trusted=said.confidence >= self._config.text_confidence_threshold,
            transcribed=self._config.transcribe and not utterance.transcriber_failed,
        )
        if reason is not None:
            self._drop(utterance, reason)
        elif self._config.transcribe and (utterance.shown_text or not utterance.transcriber_failed):
            self._words.show(utterance, said, final=True, end=utterance.end)

    def _settle_text(self, utterance: Utterance, said: Transcribed, evidence: Evidence) -> None:
        """Its words take their place in the conversation, if they can be trusted."""
        utterance.text_settled = True
        if utterance.transcriber_failed:
            evidence.absent["text"] = "overload" if utterance.words_late else "error"
            return
        self._encoding.text(
            utterance,
            evidence,
            said,
            lambda: self._conversation.say(utterance.guess, said.text),
            draft=False,
        )

    # Results

    def _advance(self) -> None:
        """Do what has become possible for the utterances that wait, in their order."""
        for utterance in self._closed:
            if utterance.transcript is None or utterance.evidence is None or not utterance.named:
                break
            if not utterance.text_settled:
                self._settle_text(utterance, utterance.transcript, utterance.evidence)
        while self._closed:
            first = self._closed[0]
            evidence = first.evidence
            if evidence is None or not first.text_settled or evidence.awaited or first.fusing:
                return
            if evidence.features:
                first.fusing = True
                self._fuse("fuse", first, evidence)
                return
            self._drop(first, _why_nothing(evidence))

    def _advance_draft(self, utterance: Utterance) -> None:
        """A provisional result follows from a draft that is complete, unless it was at a pause."""
        draft = utterance.draft
        if draft is None or draft.awaited or draft.paused:
            return
        if draft.features:
            self._fuse("draft", utterance, draft)
        else:
            utterance.draft = None

    def _fuse(
        self,
        kind: Literal["fuse", "draft", "revise"],
        utterance: Utterance,
        evidence: Evidence,
        ahead: int = 0,
        told: Told | None = None,
    ) -> None:
        text, audio, video = evidence.in_order
        job = Fuse(
            self._requests.new_id(),
            utterance.id,
            (text, audio, video),
            utterance.speaker,
            self._fusion_state,
            ahead,
            draft=kind == "draft",
        )
        self._requests.ask(Asked(job, utterance, kind, evidence=evidence, told=told))

    def _usable(self, value: object) -> Fused | Failed | None:
        if isinstance(value, Fused) and (fault := fault_of(value, len(self._config.labels))):
            return Failed(fault)
        return value if isinstance(value, Fused | Failed) else None

    def _drafted(self, asked: Asked, result: JobResult) -> None:
        utterance, fused = asked.utterance, self._usable(result.value)
        if asked.evidence is not utterance.draft:
            return  # it was over before
        utterance.draft = None
        if isinstance(fused, Fused):
            self._emit("provisional", asked, fused, result.elapsed_ns)
        elif isinstance(fused, Failed):
            self._requests.tell_failure(asked, fused)

    def _fused(self, asked: Asked, result: JobResult) -> None:
        utterance, fused = asked.utterance, self._usable(result.value)
        if not isinstance(fused, Fused):
            self._requests.tell_failure(asked, fused)
            self._drop(utterance, "error")
            return
        self._fusion_state = fused.state
        self._leave(utterance)
        self._totals["emotions"] += 1
        event = self._emit("final", asked, fused, result.elapsed_ns)
        self._totals["abstained"] += event.abstained
        assert asked.evidence is not None
        told = Told(utterance, asked.evidence, replace(fused, state=None))
        for ahead, earlier in self._revisions.tell(told):
            self._looking_again += 1
            self._fuse("revise", earlier.utterance, earlier.evidence, ahead, earlier)

    def _looked_again(self, asked: Asked, result: JobResult) -> None:
        self._looking_again -= 1
        fused = self._usable(result.value)
        if isinstance(fused, Failed):
            self._requests.tell_failure(asked, fused)
        elif fused and asked.told and self._revisions.changed(asked.told, fused):
            self._totals["revisions"] += 1
            self._emit("revised", asked, fused, result.elapsed_ns)

    def _emit(
        self,
        stage: Literal["provisional", "final", "revised"],
        asked: Asked,
        fused: Fused,
        fusion_ns: int,
    ) -> wire.Emotion:
        utterance, evidence = asked.utterance, asked.evidence
        assert evidence is not None
        event = emotion_event(
            self._out.stamp(),
            utterance,
            evidence,
            fused,
            stage=stage,
            labels=self._config.labels,
            abstain_threshold=self._config.abstain_threshold,
            fusion_ns=fusion_ns,
        )
        utterance.results += 1
        self._out.emit_emotion(event, utterance.last_speech or evidence.end)
        return event

    def _clarity(self, heard: SoFar | Closed) -> Clarity:
        return clarity(
            heard.speech_windows,
            heard.mean_speech,
            few=self._config.weak_speech_windows,
            weak=self._config.weak_speech_probability,
            clear=self._config.clear_speech_probability,
        )

    def _limit_waiting(self) -> None:
        """Keep the queue bounded; the one that is being fused is as good as done."""
        if len(self._closed) > self._config.max_waiting:
            self._drop(next(u for u in self._closed if not u.fusing), "overload")

    def _drop(self, utterance: Utterance, reason: DropReason) -> None:
        self._words.forget(utterance)
        self._leave(utterance)
        self._totals[f"dropped_{reason}"] += 1
        self._out.emit(
            wire.UtteranceDropped(**self._out.stamp(), utterance_id=utterance.id, reason=reason)
        )

    def _leave(self, utterance: Utterance) -> None:
        """It has ended: results that are still out concern nobody."""
        self._requests.forget(utterance)
        if utterance in self._closed:
            self._closed.remove(utterance)
        self._naming.forget(utterance)


def _why_nothing(evidence: Evidence) -> DropReason:
    """Why there is nothing that a result could rest on."""
    reasons = evidence.absent.values()
    if "overload" in reasons:
        return "overload"
    return "error" if "error" in reasons else "no_speech"
