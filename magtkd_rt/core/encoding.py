"""Has the modalities of utterances encoded, and of what there is of them so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from magtkd_rt import wire
from magtkd_rt.core.config import SessionConfig
from magtkd_rt.core.faces import ChosenFaces
from magtkd_rt.core.jobs import (
    EncodeAudio,
    Encoded,
    EncodeText,
    EncodeVideo,
    GaveWay,
    Job,
    JobResult,
    Transcribed,
    Turn,
)
from magtkd_rt.core.media import AudioChunk
from magtkd_rt.core.requests import Asked, Requests
from magtkd_rt.core.utterance import MODALITIES, AbsenceReason, Evidence, Utterance

Faces = ChosenFaces | None
"""Those of an utterance's speaker, as far as can be told; None where none was seen."""

_NOT_KNOWN: dict[wire.ModalityName, AbsenceReason] = {
    "text": "no_words",
    "audio": "no_sound",
    "video": "no_face",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What is left out for lack of time.

    Attributes:
        drafts: whether there are provisional results.
        modalities: those that count.
    """

    drafts: bool = True
    modalities: frozenset[wire.ModalityName] = frozenset(MODALITIES)


class Encoding:
    """Asks for encodings and keeps what comes of them in the utterances' evidence.

    Args:
        config: of the session.
        requests: takes jobs.
    """

    def __init__(self, config: SessionConfig, requests: Requests) -> None:
        self._config = config
        self._requests = requests
        self.limits = Limits()
        """What is left out at present."""

    def senses(
        self, utterance: Utterance, sound: AudioChunk, faces: Faces, *, draft: bool
    ) -> Evidence:
        """Have voice and face encoded."""
        evidence = Evidence(sound.end, sound.samples, faces)
        if self._counts("audio", evidence, None):
            job = EncodeAudio(self._requests.new_id(), utterance.id, sound.samples, draft=draft)
            self._ask(job, utterance, evidence, "audio")
        self._faces(utterance, evidence, draft=draft)
        return evidence

    def final(self, utterance: Utterance, sound: AudioChunk, faces: Faces) -> Evidence:
        """The same for the whole utterance: what was encoded at its last pause, if that is it."""
        ahead = utterance.draft
        if ahead is None or not ahead.paused or ahead.gave_way or ahead.end != sound.end:
            return self.senses(utterance, sound, faces, draft=False)
        same, ahead.faces = _same(ahead.faces, faces), faces
        if not same:
            ahead.awaited.discard("video")
            ahead.features.pop("video", None)
            ahead.absent.pop("video", None)
            self._faces(utterance, ahead, draft=False)
        return ahead

    def text(
        self,
        utterance: Utterance,
        evidence: Evidence,
        said: Transcribed,
        turns: Callable[[], tuple[Turn, ...]],
        *,
        draft: bool,
    ) -> None:
        """Have the words encoded in the light of `turns`, if they can be trusted."""
        missing: AbsenceReason | None = None
        if not said.text.strip():
            missing = "no_words"
        elif said.confidence < self._config.text_confidence_threshold:
            missing = "low_confidence"
        if self._counts("text", evidence, missing):
            job = EncodeText(self._requests.new_id(), utterance.id, turns(), draft=draft)
            self._ask(job, utterance, evidence, "text")

    def encoded(self, asked: Asked, result: JobResult) -> None:
        """Take the result of an encoder."""
        evidence, modality = asked.evidence, asked.modality
        assert evidence is not None
        assert modality is not None
        if evidence.jobs[modality] != result.job_id:
            return  # of faces that were not all
        if isinstance(result.value, GaveWay) and evidence is asked.utterance.evidence:
            job = replace(asked.job, job_id=self._requests.new_id(), draft=False)
            self._ask(job, asked.utterance, evidence, modality)
            return
        evidence.awaited.discard(modality)
        if isinstance(result.value, Encoded):
            evidence.features[modality] = result.value.feature
            evidence.encode_ns += result.elapsed_ns
        else:
            gave_way = isinstance(result.value, GaveWay)
            evidence.gave_way |= gave_way
            evidence.absent[modality] = "overload" if gave_way else "error"
            self._requests.tell_failure(asked, result.value)

    def _faces(self, utterance: Utterance, evidence: Evidence, *, draft: bool) -> None:
        missing: AbsenceReason | None = "no_face" if evidence.faces is None else None
        if self._counts("video", evidence, missing) and evidence.faces is not None:
            crops = evidence.faces.crops
            job = EncodeVideo(self._requests.new_id(), utterance.id, crops, draft=draft)
            self._ask(job, utterance, evidence, "video")

    def _counts(
        self, modality: wire.ModalityName, evidence: Evidence, missing: AbsenceReason | None
    ) -> bool:
        """Whether there is something to encode; else it is noted why not."""
        if modality not in self._config.modalities:
            missing = _NOT_KNOWN[modality]
        elif missing is None and modality not in self.limits.modalities:
            missing = "overload"
        if missing is not None:
            evidence.absent[modality] = missing
        return missing is None

    def _ask(
        self, job: Job, utterance: Utterance, evidence: Evidence, modality: wire.ModalityName
    ) -> None:
        evidence.awaited.add(modality)
        evidence.jobs[modality] = job.job_id
        self._requests.ask(Asked(job, utterance, "encode", modality, evidence))


def _same(one: Faces, other: Faces) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one.crops, other.crops)
