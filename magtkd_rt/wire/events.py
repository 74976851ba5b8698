"""What the server sends: events, and the two messages beside them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from magtkd_rt.wire.base import Message, Probability

ModalityName = Literal["text", "audio", "video"]


class _Event(Message):
    """Fields that every event carries."""

    seq: Annotated[int, Field(ge=1)]
    """1, 2, 3 ... per session, without gaps."""
    session_id: str
    t: float
    """Seconds of the session's media time at which it is true."""
    emitted_at: AwareDatetime | None = None
    """Wall-clock time of the hand-over to the sockets, UTC; null in a replay without a clock."""


class BundleInfo(Message):
    """Which weights speak."""

    name: str
    sha256: str
    licence: str


class AsrInfo(Message):
    """Which transcriber listens."""

    name: str


class SourceInfo(Message):
    """Where sound and picture come from; null where there is none."""

    audio: str | None
    video: str | None


class SessionStarted(_Event):
    """The first event of a session."""

    type: Literal["session.started"] = "session.started"
    protocol: Literal["magtkd.v1"] = "magtkd.v1"
    labels: list[str]
    bundle: BundleInfo
    asr: AsrInfo
    engine: str
    sources: SourceInfo
    notice: str


class SpeechStarted(_Event):
    """Somebody began to speak; exactly one final `emotion` or `utterance.dropped` follows."""

    type: Literal["speech.started"] = "speech.started"
    utterance_id: str


class WireWord(Message):
    """One recognised word."""

    text: str
    start: float
    end: float
    confidence: Probability


class Transcript(_Event):
    """The words so far, or with `final` the words."""

    type: Literal["transcript"] = "transcript"
    utterance_id: str
    revision: Annotated[int, Field(ge=0)]
    final: bool
    text: str
    words: Annotated[list[WireWord] | None, Field(exclude_if=lambda words: words is None)] = None
    """Left out where the transcriber gives no times."""
    language: str
    confidence: Probability
    speaker: str
    """S1, S2, ... by first appearance, or an enrolled name; `S?` where it is not sure, and in
    words so far where voices tell speakers apart, which they do when the utterance is over."""
    speaker_confidence: Probability | None = None
    """How likely it is that speaker; null where no voice was judged."""
    start: float
    end: float


class Modality(Message):
    """Whether a modality took part, why not, and how much it moved the result."""

    present: bool
    contribution: float | None = None
    """Fall of the winning label's probability when this modality is masked; null if absent."""
    reason: (
        Literal["no_sound", "no_face", "no_words", "low_confidence", "overload", "error"] | None
    ) = None
    """Why it is absent; null if present. `overload`: it was left out for lack of time."""


class Face(Message):
    """The face that an utterance was judged by: of several the one whose mouth moved with it."""

    box: tuple[float, float, float, float]
    """Where it was last: x, y, width, height as shares of the picture; may stick out of it."""
    confidence: Probability
    """How sure the detector is that it is a face, not whose; 1 where it cannot tell."""
    seen: Probability
    """Share of the utterance's pictures that show it."""
    others: Annotated[int, Field(ge=0)] = 0
    """Further faces beside it in those pictures, as a rule."""


class Latency(Message):
    """Where the time of an emotion went, in milliseconds."""

    endpoint_ms: float
    """From the utterance's last sound to the decision that it is over (media time)."""
    asr_ms: float
    """Finishing the transcript after that decision, waiting excluded."""
    encode_ms: float
    """Text, audio and video encoders together."""
    fusion_ms: float
    total_ms: float
    """From the instant the last sound reached this machine to the hand-over to the sockets."""


class Emotion(_Event):
    """The expression recognised in one utterance. It never claims to be an inner state."""

    type: Literal["emotion"] = "emotion"
    utterance_id: str
    revision: Annotated[int, Field(ge=0)]
    stage: Literal["provisional", "final", "revised"]
    label: str
    confidence: Probability
    abstained: bool
    """True where the confidence is under the bundle's threshold: better not act on the label."""
    probabilities: dict[str, Probability]
    modalities: dict[ModalityName, Modality]
    speaker: str
    """As in the transcript."""
    speaker_confidence: Probability | None = None
    """How likely it is that speaker; null where no voice was judged."""
    start: float
    end: float
    text: str
    latency: Latency
    overlapped: bool = False
    """Somebody else was heard to speak at the same time, on another channel."""
    face: Face | None = None
    """Null where no face was seen."""


class UtteranceDropped(_Event):
    """An utterance that ends without a result."""

    type: Literal["utterance.dropped"] = "utterance.dropped"
    utterance_id: str
    reason: Literal["no_speech", "hallucination", "too_short", "overload", "error"]


class Status(_Event):
    """How the system is doing."""

    type: Literal["status"] = "status"
    level: Literal["info", "warning", "error"]
    code: str
    message: str
    lag_ms: float = 0.0
    dropped: dict[str, int] = Field(default_factory=dict)


class SessionEnded(_Event):
    """The last event of a session."""

    type: Literal["session.ended"] = "session.ended"
    reason: str
    totals: dict[str, int]


Event = Annotated[
    SessionStarted
    | SpeechStarted
    | Transcript
    | Emotion
    | UtteranceDropped
    | Status
    | SessionEnded,
    Field(discriminator="type"),
]
"""Any event of a session."""


class Snapshot(Message):
    """The state as it is now: first message where `since` is absent or has left the ring."""

    type: Literal["snapshot"] = "snapshot"
    seq: Annotated[int, Field(ge=0)]
    """The stream goes on after this number; 0 before the first event."""
    session: SessionStarted | None
    """How the session began; null before its first event."""
    open_utterances: list[SpeechStarted]
    """Utterances that have neither a final result nor been dropped, oldest first."""
    recent: list[Emotion]
    """The last result of each recent utterance, oldest utterance first."""


ErrorCode = Literal[
    "bad_json",
    "bad_frame",
    "bad_request",
    "too_large",
    "unsupported",
    "too_fast",
    "unauthorized",
    "unknown_session",
    "overload",
    "timeout",
]
"""What is wrong with what a client sent, or asked for."""


class Error(Message):
    """Something the client sent cannot be accepted."""

    type: Literal["error"] = "error"
    code: ErrorCode
    message: str


ServerMessage = Annotated[
    SessionStarted
    | SpeechStarted
    | Transcript
    | Emotion
    | UtteranceDropped
    | Status
    | SessionEnded
    | Snapshot
    | Error,
    Field(discriminator="type"),
]
"""Anything the server sends on `/v1/events`."""
