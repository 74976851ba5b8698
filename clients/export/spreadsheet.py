"""Comma-separated values (RFC 4180): a row for each utterance, with all that is known of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Final

from magtkd_rt import wire
from magtkd_rt.clients.export.session import MODALITIES, Session, plain

_Cell = str | float | bool | None
_Column = tuple[str, Callable[[wire.Emotion], _Cell]]

_FORMULA: Final = ("=", "+", "-", "@")
"""What a spreadsheet takes for the beginning of a formula."""


_UNTOLD: Final = wire.Modality(present=False)


def spreadsheet(session: Session) -> Iterator[str]:
    """Yield the file line by line; the first one names the columns."""
    columns = _columns(session.labels)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([_guarded(name) for name, _ in columns])
    for item in session.utterances:
        writer.writerow([_guarded(value(item.emotion)) for _, value in columns])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _guarded(value: _Cell) -> str | float | None:
    """A cell that no spreadsheet takes for a formula: an apostrophe makes it text."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _columns(labels: tuple[str, ...]) -> list[_Column]:
    """Names of the columns, and what stands there of an emotion."""
    return [
        ("session_id", lambda emotion: emotion.session_id),
        ("utterance_id", lambda emotion: emotion.utterance_id),
        ("start_s", lambda emotion: emotion.start),
        ("end_s", lambda emotion: emotion.end),
        ("speaker", lambda emotion: emotion.speaker),
        ("speaker_confidence", lambda emotion: emotion.speaker_confidence),
        ("text", lambda emotion: emotion.text),
        ("label", lambda emotion: emotion.label),
        ("confidence", lambda emotion: emotion.confidence),
        ("abstained", lambda emotion: emotion.abstained),
        ("stage", lambda emotion: emotion.stage),
        ("revision", lambda emotion: emotion.revision),
        *(_probability(label) for label in labels),
        *(column for name in MODALITIES for column in _modality(name)),
        ("overlapped", lambda emotion: emotion.overlapped),
        ("face_seen", lambda emotion: emotion.face and emotion.face.seen),
        ("face_others", lambda emotion: emotion.face and emotion.face.others),
        *(_latency(part) for part in wire.Latency.model_fields),
        ("known_at_s", lambda emotion: emotion.t),
        ("emitted_at", lambda emotion: emotion.emitted_at and emotion.emitted_at.isoformat()),
    ]


def _probability(label: str) -> _Column:
    return f"p_{label}", lambda emotion: emotion.probabilities.get(label)


def _modality(name: wire.ModalityName) -> list[_Column]:
    def part(emotion: wire.Emotion) -> wire.Modality:
        return emotion.modalities.get(name, _UNTOLD)

    return [
        (f"{name}_present", lambda emotion: part(emotion).present),
        (f"{name}_contribution", lambda emotion: part(emotion).contribution),
        (f"{name}_absent_because", lambda emotion: part(emotion).reason),
    ]


def _latency(part: str) -> _Column:
    return f"latency_{part}", lambda emotion: getattr(emotion.latency, part)
