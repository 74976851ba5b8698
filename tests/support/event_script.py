"""Well-formed events of a made-up session, for tests of whatever carries them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from magtkd_rt import wire
from magtkd_rt.labels import LABELS


class EventScript:
    """Writes the events of one session, one `seq` after the other."""

    def __init__(self, session_id: str = "call-1") -> None:
        self.session_id = session_id
        self.seq = 0

    def _common(self) -> dict[str, Any]:
        self.seq += 1
        return {
            "seq": self.seq,
            "session_id": self.session_id,
            "t": self.seq / 10,
            "emitted_at": datetime(2025, 3, 1, 12, 0, tzinfo=UTC),
        }

    def started(self) -> wire.SessionStarted:
        return wire.SessionStarted(
            **self._common(),
            labels=list(LABELS),
            bundle=wire.BundleInfo(name="starter", sha256="0" * 64, licence="CC-BY-NC-SA-4.0"),
            asr=wire.AsrInfo(name="scripted"),
            engine="fake",
            sources=wire.SourceInfo(audio="call.wav", video=None),
            notice="This conversation is analysed.",
        )

    def speech(self, utterance: str) -> wire.SpeechStarted:
        return wire.SpeechStarted(**self._common(), utterance_id=utterance)

    def words(
        self, utterance: str, *, final: bool = False, text: str = "so it goes"
    ) -> wire.Transcript:
        return wire.Transcript(
            **self._common(),
            utterance_id=utterance,
            revision=0,
            final=final,
            text=text,
            words=[wire.WireWord(text=text.split()[0], start=0.1, end=0.4, confidence=0.9)],
            language="en",
            confidence=0.9,
            speaker="speaker-1",
            start=0.1,
            end=0.9,
        )

    def emotion(
        self,
        utterance: str,
        stage: Literal["provisional", "final", "revised"] = "final",
        *,
        label: str = "joy",
        text: str = "so it goes",
    ) -> wire.Emotion:
        rest = 0.4 / (len(LABELS) - 1)
        return wire.Emotion(
            **self._common(),
            utterance_id=utterance,
            revision=0,
            stage=stage,
            label=label,
            confidence=0.6,
            abstained=False,
            probabilities={name: 0.6 if name == label else rest for name in LABELS},
            modalities={
                "text": wire.Modality(present=True, contribution=0.2),
                "audio": wire.Modality(present=True, contribution=-0.01),
                "video": wire.Modality(present=False, reason="no_face"),
            },
            speaker="speaker-1",
            start=0.1,
            end=0.9,
            text=text,
            latency=wire.Latency(
                endpoint_ms=500, asr_ms=80, encode_ms=20, fusion_ms=2, total_ms=610
            ),
        )

    def dropped(self, utterance: str) -> wire.UtteranceDropped:
        return wire.UtteranceDropped(**self._common(), utterance_id=utterance, reason="too_short")

    def status(self, message: str = "all is well") -> wire.Status:
        return wire.Status(**self._common(), level="info", code="note", message=message)

    def ended(self) -> wire.SessionEnded:
        return wire.SessionEnded(**self._common(), reason="end of input", totals={"utterances": 1})

    def utterance(self, utterance: str) -> list[wire.Event]:
        """An utterance from its first sound to its result."""
        return [
            self.speech(utterance),
            self.words(utterance, text="so"),
            self.emotion(utterance, "provisional", label="neutral", text="so"),
            self.words(utterance),
            self.emotion(utterance, "provisional"),
            self.words(utterance, final=True),
            self.emotion(utterance),
        ]


@pytest.fixture
def script() -> EventScript:
    """A writer of well-formed events."""
    return EventScript()
