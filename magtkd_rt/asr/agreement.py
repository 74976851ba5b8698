"""What two hypotheses about the same beginning agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from magtkd_rt.asr.phantoms import normalised
from magtkd_rt.core.jobs import Transcribed, Word


def agreed(previous: Transcribed | None, latest: Transcribed) -> Transcribed:
    """The words at the beginning of the latest hypothesis that the previous one had too.

    More sound changes the last words of a hypothesis most, so what two in succession agree on
    seldom changes any more: LocalAgreement-2 of Macháček, Dabre and Bojar, "Turning Whisper into
    Real-Time Transcription System" (2023). Unlike theirs, no word is held against both of the
    newest hypotheses.

    Returns:
        a partial transcript with the latest hypothesis' spelling, times and confidences.
    """
    before = (previous.words if previous is not None else None) or ()
    words = _common_beginning(before, latest.words or ())
    text, end = latest.text, 0
    for word in words:
        end = max(end, text.find(word.text, end) + len(word.text))
    confidence = sum(word.confidence for word in words) / len(words) if words else 0.0
    return replace(
        latest, text=text[:end], words=words, confidence=confidence, final=False, doubt=None
    )


def _common_beginning(previous: Sequence[Word], latest: Sequence[Word]) -> tuple[Word, ...]:
    count = 0
    for one, other in zip(previous, latest, strict=False):
        if normalised(one.text) != normalised(other.text):
            break
        count += 1
    return tuple(latest[:count])
