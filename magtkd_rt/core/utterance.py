"""One utterance from its first sound to its result, and the events that tell of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from magtkd_rt import wire
from magtkd_rt.core.conversation import speaker_name
from magtkd_rt.core.faces import ChosenFaces
from magtkd_rt.core.jobs import Fused, Transcribed
from magtkd_rt.core.media import SAMPLE_RATE, seconds
from magtkd_rt.core.plausibility import Clarity

MODALITIES: tuple[wire.ModalityName, ...] = ("text", "audio", "video")
"""Order of features and contributions in `Fuse` and `Fused`."""

AbsenceReason = Literal["no_sound", "no_face", "no_words", "low_confidence", "overload", "error"]

NO_WORDS = Transcribed(text="", words=None, confidence=0.0, language="", final=True)
"""What stands for the transcript where there is none."""


@dataclass(slots=True, eq=False)
class Evidence:
    """What the models make of an utterance, or of what there is of it.

    Attributes:
        end: sample after the last one that counts.
        sound: float32 (n,), from the utterance's start to `end`.
        faces: those of its speaker, None where none was seen.
        paused: nothing was said at the end: it may be the whole utterance.
        awaited: modalities that are being encoded.
        jobs: the newest job of each of those.
        features: per modality that is present.
        absent: why the others are not.
        encode_ns: what encoding took.
    """

    end: int
    sound: NDArray[np.float32]
    faces: ChosenFaces | None
    paused: bool = False
    awaited: set[wire.ModalityName] = field(default_factory=set)
    jobs: dict[wire.ModalityName, int] = field(default_factory=dict)
    features: dict[wire.ModalityName, NDArray[np.float32]] = field(default_factory=dict)
    absent: dict[wire.ModalityName, AbsenceReason] = field(default_factory=dict)
    encode_ns: int = 0
    gave_way: bool = False
    """A part of it was left out for lack of time."""

    @property
    def in_order(
        self,
    ) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None, NDArray[np.float32] | None]:
        """The features as `Fuse` wants them."""
        return self.features.get("text"), self.features.get("audio"), self.features.get("video")


@dataclass(slots=True, eq=False)
class Utterance:
    """What is known so far. Times are samples; those up to `voiced` are set when it closes."""

    id: str
    speaker: int | None
    """None where it is not sure who spoke, and until that is judged."""
    start: int
    changed: bool = False
    """It began where the speaker was found to change."""
    end: int = 0
    last_speech: int = 0
    """Sample after its last speech."""
    decided_at: int = 0
    """Media time at which it was known to be over."""
    guess: int = 0
    """The likeliest speaker, sure or not."""
    named: bool = False
    """It is over, and who spoke has been judged."""
    speaker_confidence: float | None = None
    """None where no voice was judged."""
    speaker_name: str | None = None
    """Of somebody enrolled."""
    overlapped: bool = False
    clarity: Clarity = "clear"
    """How clearly its sound is speech; how much its words must bear out."""
    voiced: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Which of its windows of sound were speech."""

    transcribing: bool = False
    """A transcriber's stream is open for it."""
    transcriber_failed: bool = False
    words_late: bool = False
    """The transcriber failed for lack of time."""
    transcript: Transcribed | None = None
    """The final one; `NO_WORDS` where the transcriber failed or there is none."""
    partial: Transcribed = NO_WORDS
    """The newest words so far."""
    shown_text: str = ""
    transcripts: int = 0
    """How many were sent."""
    newest_partial: int = 0
    """Job that the newest words came from; answers of earlier ones come too late."""
    forgotten: int = 0
    """Job since which the transcriber has begun anew, or knows nothing of it."""
    guessing: bool = False
    """The transcriber was asked for a guess."""

    draft: Evidence | None = None
    """What a provisional result rests on, or a pause in which it may have ended."""
    evidence: Evidence | None = None
    """What the final result rests on; set when it closes."""
    text_settled: bool = False
    """Whether it has taken its place in the conversation, which happens in order."""
    fusing: bool = False
    results: int = 0
    """How many were sent."""

    transcribe_ns: int = 0


def transcript_event(
    stamp: dict[str, Any], utterance: Utterance, said: Transcribed, *, final: bool, end: int
) -> wire.Transcript:
    """The words of an utterance up to sample `end`."""
    words = None
    if said.words is not None:
        words = [
            wire.WireWord(
                text=word.text,
                start=seconds(word.start),
                end=seconds(word.end),
                confidence=_probability(word.confidence),
            )
            for word in said.words
        ]
    return wire.Transcript(
        **stamp,
        utterance_id=utterance.id,
        revision=utterance.transcripts,
        final=final,
        text=said.text,
        words=words,
        language=said.language,
        confidence=_probability(said.confidence),
        speaker=utterance.speaker_name or speaker_name(utterance.speaker),
        speaker_confidence=_confidence(utterance),
        start=seconds(utterance.start),
        end=seconds(end),
    )


def emotion_event(
    stamp: dict[str, Any],
    utterance: Utterance,
    evidence: Evidence,
    fused: Fused,
    *,
    stage: Literal["provisional", "final", "revised"],
    labels: Sequence[str],
    abstain_threshold: float,
    fusion_ns: int,
) -> wire.Emotion:
    """A result; see `fault_of` for what `fused` must be."""
    probabilities = wire_probabilities(fused.probabilities)
    best = int(np.argmax(probabilities))
    said = utterance.transcript if stage != "provisional" else None
    return wire.Emotion(
        **stamp,
        utterance_id=utterance.id,
        revision=utterance.results,
        stage=stage,
        label=labels[best],
        confidence=probabilities[best],
        abstained=probabilities[best] < abstain_threshold,
        probabilities=dict(zip(labels, probabilities, strict=True)),
        modalities={
            name: _modality(evidence, name, contribution)
            for name, contribution in zip(MODALITIES, fused.contributions, strict=True)
        },
        speaker=utterance.speaker_name or speaker_name(utterance.speaker),
        speaker_confidence=_confidence(utterance),
        start=seconds(utterance.start),
        end=seconds(evidence.end),
        text=said.text if said is not None else utterance.shown_text,
        latency=_latency(utterance, evidence, fusion_ns),
        overlapped=utterance.overlapped,
        face=_face(evidence.faces),
    )


def wire_probabilities(probabilities: NDArray[np.float32]) -> list[float]:
    """Probabilities with six decimals whose sum is 1 but for floating point's last bits."""
    exact = np.asarray(probabilities, np.float64)
    millionths = np.rint(exact / exact.sum() * 1_000_000).astype(np.int64)
    millionths[np.argmax(millionths)] += 1_000_000 - millionths.sum()
    return [int(n) / 1_000_000 for n in millionths]


def fault_of(fused: Fused, classes: int) -> str | None:
    """What is wrong with a fused result, or None if it can be used."""
    values = np.asarray(fused.probabilities, np.float64)
    if values.shape != (classes,):
        return f"{classes} probabilities are wanted, the fusion gave shape {values.shape}"
    if not np.isfinite(values).all() or values.min() < 0 or values.sum() <= 0:
        return f"the fusion gave {values.tolist()}, which are no probabilities"
    if len(fused.contributions) != len(MODALITIES):
        return f"{len(MODALITIES)} contributions are wanted, not {len(fused.contributions)}"
    if not all(value is None or np.isfinite(value) for value in fused.contributions):
        return f"the fusion gave the contributions {fused.contributions}"
    return None


def _modality(
    evidence: Evidence, name: wire.ModalityName, contribution: float | None
) -> wire.Modality:
    if name not in evidence.features:
        return wire.Modality(present=False, reason=evidence.absent[name])
    rounded = None if contribution is None else round(float(contribution), 6)
    return wire.Modality(present=True, contribution=rounded)


def _face(chosen: ChosenFaces | None) -> wire.Face | None:
    if chosen is None:
        return None
    x, y, width, height = (round(side, 4) for side in chosen.box)
    return wire.Face(
        box=(x, y, width, height),
        confidence=_probability(chosen.score),
        seen=_probability(chosen.seen),
        others=chosen.others,
    )


def _latency(utterance: Utterance, evidence: Evidence, fusion_ns: int) -> wire.Latency:
    decided = utterance.decided_at - utterance.last_speech  # both 0 before it is over
    endpoint = decided * 1000 / SAMPLE_RATE
    asr, encode, fusion = (
        ns / 1e6 for ns in (utterance.transcribe_ns, evidence.encode_ns, fusion_ns)
    )
    return wire.Latency(
        endpoint_ms=round(endpoint, 3),
        asr_ms=round(asr, 3),
        encode_ms=round(encode, 3),
        fusion_ms=round(fusion, 3),
        total_ms=round(endpoint + asr + encode + fusion, 3),
    )


def _confidence(utterance: Utterance) -> float | None:
    sure = utterance.speaker_confidence
    return None if sure is None else _probability(sure)


def _probability(value: float) -> float:
    """Within 0 and 1, whatever a transcriber says; what is no number counts as 0."""
    return round(min(1.0, max(0.0, float(value))), 6) if np.isfinite(value) else 0.0
