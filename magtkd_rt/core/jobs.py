"""Work the core asks for, and what comes back. The core never does any of it itself.

Each job gets exactly one result with the same `job_id`: its own result type, `Failed`, or
`GaveWay`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import AudioChunk


@dataclass(frozen=True, slots=True)
class Job:
    """Something to compute for one utterance.

    Attributes:
        job_id: its result carries the same.
        utterance_id: which utterance.
        draft: nobody needs it: it may give way, and its result come too late.
    """

    job_id: int
    utterance_id: str
    draft: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Transcribe(Job):
    """Feed the utterance's next sound to its transcriber; chunks are gapless and in order.

    With `last` the transcriber finishes: its result is final. Without, it may be partial or None.
    With `paused` nothing is said for a while: it may decode what it was waiting with. In both
    cases the sound may be empty. The first one after a `ForgetTranscription` begins anew.
    `ahead` is what was heard after the sound, and may not be of the utterance.
    """

    sound: AudioChunk
    last: bool
    paused: bool = False
    ahead: AudioChunk | None = None


@dataclass(frozen=True, slots=True)
class Guess(Job):
    """Let the transcriber say what it would if the utterance were over now.

    The result is a `Transcribed` that is not final, or None.
    """


@dataclass(frozen=True, slots=True)
class ForgetTranscription(Job):
    """The utterance was dropped, its transcriber failed or begins anew: close its stream.

    Its jobs that still wait may be left out. The result carries None.
    """


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker said: `speaker` counts from 0 by first appearance in the conversation."""

    speaker: int
    text: str


@dataclass(frozen=True, slots=True)
class EncodeText(Job):
    """Encode the last of `turns` in the light of the earlier ones (oldest first)."""

    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class EncodeAudio(Job):
    """Encode the utterance's waveform, float32 (n,) at 16 kHz."""

    samples: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EncodeVideo(Job):
    """Encode the utterance's faces, uint8 (n, 48, 48), n >= 1."""

    faces: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Identify(Job):
    """Tell how the voice of an utterance sounds, float32 (n,) at 16 kHz."""

    samples: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fuse(Job):
    """Score the utterance in its context.

    Attributes:
        features: per modality (text, audio, video) a float32 (d,) vector, or None where absent.
        speaker: number of the speaker in the conversation, None where it is not sure who spoke.
        state: what the previous `Fused` returned, or None at the start of the conversation.
        ahead: 0 scores the conversation's next utterance. n > 0 looks again at the one that n
            later ones have followed, with `state` as the last of those left it; the state of the
            result means nothing then.
    """

    features: tuple[
        NDArray[np.float32] | None, NDArray[np.float32] | None, NDArray[np.float32] | None
    ]
    speaker: int | None
    state: Any
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class Word:
    """One recognised word; times in samples since media zero."""

    text: str
    start: int
    end: int
    confidence: float


Doubt = Literal["no_speech", "repetition", "implausible", "stock_phrase", "outside_speech"]
"""Why words may be made up: their transcriber takes the sound for silence; they loop; they are
too many, too brief or too improbable; they are what it says in silence; they lie where the
speech detector heard none."""


@dataclass(frozen=True, slots=True)
class Transcribed:
    """A transcript: `confidence` is 0 to 1; an empty `text` means that no words were heard.

    `doubt` says why words are held for made up. They are left out then, but for a `stock_phrase`,
    which people say too.
    """

    text: str
    words: tuple[Word, ...] | None
    confidence: float
    language: str
    final: bool
    doubt: Doubt | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """One modality's feature, float32 (d,), and its own logits, float32 (classes,)."""

    feature: NDArray[np.float32]
    logits: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Identified:
    """How a voice sounds, float32 (d,), of length 1; close vectors are like voices."""

    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fused:
    """The fused result.

    Attributes:
        probabilities: float32 (classes,), calibrated, sum 1.
        contributions: per modality (text, audio, video), the fall of the winning label's
            probability when that modality is masked; None where it was absent.
        state: to be handed to the next `Fuse`.
    """

    probabilities: NDArray[np.float32]
    contributions: tuple[float | None, float | None, float | None]
    state: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The job could not be done; `message` says why in one line."""

    message: str


@dataclass(frozen=True, slots=True)
class GaveWay:
    """The job was left out for lack of time."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """What came back for a job, and how long it took (waiting excluded)."""

    job_id: int
    value: Transcribed | Encoded | Identified | Fused | Failed | GaveWay | None
    elapsed_ns: int = 0
