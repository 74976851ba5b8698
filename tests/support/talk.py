"""A made-up conversation as well-formed events, of any length: what a dashboard has to show."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from magtkd_rt import wire
from magtkd_rt.labels import LABELS

SAID = (
    ("I got the letter this morning", "surprise"),
    ("and what does it say", "neutral"),
    ("they want to go ahead with it after all", "joy"),
    ("oh that is wonderful news", "joy"),
    ("I had almost given up on the whole thing", "sadness"),
    ("well nobody told me anything about it", "anger"),
    ("I wrote to you twice you never answered", "anger"),
    ("that dripping fridge smells again by the way", "disgust"),
    ("wait did you hear that noise outside", "fear"),
    ("it is only the wind go on", "neutral"),
)
BEGAN = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)


class Talk:
    """Writes the events of a conversation of two, an utterance every few seconds.

    Args:
        session_id: of the session.
        seconds: how long one utterance takes, its pause included.
        drafts: provisional results of each.
    """

    def __init__(self, session_id: str = "talk-1", seconds: float = 3.0, drafts: int = 2) -> None:
        self.session_id = session_id
        self.seconds = seconds
        self.drafts = drafts
        self.seq = 0
        self.t = 0.0
        self.said = 0
        self._random = random.Random(7)

    def _common(self) -> dict[str, Any]:
        self.seq += 1
        return {
            "seq": self.seq,
            "session_id": self.session_id,
            "t": round(self.t, 3),
            "emitted_at": BEGAN + timedelta(seconds=self.t),
        }

    def started(self, **changes: Any) -> wire.SessionStarted:
        given: dict[str, Any] = {
            "labels": list(LABELS),
            "bundle": wire.BundleInfo(name="starter", sha256="0" * 64, licence="research use only"),
            "asr": wire.AsrInfo(name="scripted"),
            "engine": "fake",
            "sources": wire.SourceInfo(audio="kitchen.mp4 (aac)", video="kitchen.mp4 (h264)"),
            "notice": "A machine analyses what is said here for the expression it shows.",
        }
        return wire.SessionStarted(**self._common(), **(given | changes))

    def speech(self, utterance: str) -> wire.SpeechStarted:
        return wire.SpeechStarted(**self._common(), utterance_id=utterance)

    def words(self, utterance: str, text: str, **changes: Any) -> wire.Transcript:
        given: dict[str, Any] = {
            "revision": 0,
            "final": False,
            "language": "en",
            "confidence": 0.8,
            "speaker": "S?",
            "start": round(self.t - 1, 3),
            "end": round(self.t, 3),
        }
        return wire.Transcript(
            **self._common(), utterance_id=utterance, text=text, **(given | changes)
        )

    def emotion(
        self,
        utterance: str,
        label: str,
        text: str,
        stage: Literal["provisional", "final", "revised"] = "final",
        **changes: Any,
    ) -> wire.Emotion:
        top = changes.get("confidence", round(self._random.uniform(0.35, 0.85), 3))
        given: dict[str, Any] = {
            "revision": {"provisional": 0, "final": 5, "revised": 6}[stage],
            "confidence": top,
            "abstained": top < 0.4,
            "probabilities": _shares(self._random, label, top),
            "modalities": {
                "text": wire.Modality(present=True, contribution=round(top / 3, 3)),
                "audio": wire.Modality(present=True, contribution=-0.04),
                "video": wire.Modality(present=False, reason="no_face"),
            },
            "speaker": "S?" if stage == "provisional" else "Ada" if self.said % 2 else "S2",
            "speaker_confidence": None if stage == "provisional" else 0.93,
            "start": round(self.t - self.seconds * 0.8, 3),
            "end": round(self.t, 3),
            "latency": wire.Latency(
                endpoint_ms=500, asr_ms=80, encode_ms=20, fusion_ms=2, total_ms=610
            ),
        }
        return wire.Emotion(
            **self._common(),
            utterance_id=utterance,
            label=label,
            text=text,
            stage=stage,
            **(given | changes),
        )

    def dropped(self, utterance: str) -> wire.UtteranceDropped:
        return wire.UtteranceDropped(
            **self._common(), utterance_id=utterance, reason="hallucination"
        )

    def status(self, message: str, **changes: Any) -> wire.Status:
        given: dict[str, Any] = {"level": "info", "code": "note", "message": message}
        return wire.Status(**self._common(), **(given | changes))

    def ended(self) -> wire.SessionEnded:
        return wire.SessionEnded(
            **self._common(), reason="end of input", totals={"utterances": self.said}
        )

    def utterance(self) -> Iterator[wire.Event]:
        """The next utterance, from its first sound to its result."""
        text, label = SAID[self.said % len(SAID)]
        words = text.split()
        utterance = f"u{self.said + 1}"
        yield self.speech(utterance)
        for draft in range(self.drafts):
            self.t += 0.8 * self.seconds / (self.drafts + 1)
            so_far = " ".join(words[: len(words) * (draft + 1) // (self.drafts + 1)])
            yield self.words(utterance, so_far)
            yield self.emotion(utterance, label, so_far, "provisional")
        self.t += 0.8 * self.seconds / (self.drafts + 1)
        self.said += 1
        yield self.words(utterance, text, final=True, speaker="Ada" if self.said % 2 else "S2")
        yield self.emotion(utterance, label, text)
        self.t += 0.2 * self.seconds


def _shares(numbers: random.Random, label: str, top: float) -> dict[str, float]:
    weights = [numbers.random() for _ in LABELS]
    rest = sum(w for w, name in zip(weights, LABELS, strict=True) if name != label)
    return {
        name: top if name == label else round((1 - top) * weight / rest, 5)
        for name, weight in zip(LABELS, weights, strict=True)
    }
