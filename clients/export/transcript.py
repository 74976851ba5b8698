"""The report's transcript: a part's timeline, and a row for each utterance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from magtkd_rt import wire
from magtkd_rt.clients.export import charts
from magtkd_rt.clients.export.markup import clock, percent, tag, text
from magtkd_rt.clients.export.session import Session, Utterance
from magtkd_rt.clients.export.tally import Part

MODALITY_NAMES: Final[Mapping[wire.ModalityName, str]] = {
    "text": "words",
    "audio": "voice",
    "video": "face",
}
REASONS: Final = {
    "no_sound": "no sound",
    "no_face": "no face",
    "no_words": "no words",
    "low_confidence": "too uncertain",
    "overload": "no time",
    "error": "error",
}
_RUNNERS_UP: Final = 0.05
"""Other labels of at least this probability are named."""

_COLUMNS: Final = ("Time", "Speaker", "Words", "Expression", "Probabilities", "What took part")


def section(place: int, part: Part, session: Session, timeline: str, *, alone: bool) -> str:
    """One part of the session: its timeline, then its words."""
    title = "Transcript" if alone else f"{clock(part.begin)} \u2013 {clock(part.end)}"
    rows = (_row(number, item, session) for number, item in part.utterances)
    return (
        tag(
            "section",
            tag("h2", title, id=f"part{place}"),
            timeline,
            tag(
                "table",
                tag("thead", tag("tr", *(tag("th", name, scope="col") for name in _COLUMNS))),
                tag("tbody", *rows),
                class_="talk",
            ),
            class_="part",
            aria_labelledby=f"part{place}",
        )
        + "\n"
    )


def _row(number: int, item: Utterance, session: Session) -> str:
    emotion = item.emotion
    words = (
        tag("span", text(item.text), dir="auto")
        if item.text
        else tag("span", "no words", class_="none")
    )
    lane = tag("span", text(item.speaker), class_="speaker")
    return tag(
        "tr",
        tag("td", clock(emotion.start), class_="time"),
        tag("td", lane, "".join(_speaker_notes(emotion)), class_="who"),
        tag("td", words, class_="words"),
        tag("td", *_expression(item, session.labels), class_="expression"),
        tag("td", *_probabilities(emotion, session.labels), class_="odds"),
        tag("td", *_took_part(emotion), class_="parts"),
        id=f"u{number}",
    )


def _speaker_notes(emotion: wire.Emotion) -> Iterator[str]:
    if emotion.overlapped:
        yield tag("small", "at the same time as others")
    if emotion.speaker_confidence is not None and emotion.speaker_confidence < 0.8:
        yield tag("small", f"{percent(emotion.speaker_confidence)} sure")


def _expression(item: Utterance, labels: tuple[str, ...]) -> Iterator[str]:
    place = labels.index(item.emotion.label)
    yield tag("i", class_=f"swatch c{place}{' unsure' * item.emotion.abstained}")
    yield tag("b", text(item.label))
    yield f" {percent(item.emotion.confidence)}"
    if item.emotion.abstained:
        yield tag("small", "unsure")
    if item.provisional:
        yield tag("small", "provisional")
    if item.revised:
        yield tag("small", "revised")


def _probabilities(emotion: wire.Emotion, labels: tuple[str, ...]) -> Iterator[str]:
    yield charts.shares({label: emotion.probabilities.get(label, 0.0) for label in labels})
    others = sorted(
        (
            (share, label)
            for label, share in emotion.probabilities.items()
            if label != emotion.label and share >= _RUNNERS_UP
        ),
        reverse=True,
    )
    told = ", ".join(f"{text(label)}\u00a0{share * 100:.0f}" for share, label in others)
    yield tag("span", told or "no other above 5", class_="others")


def _took_part(emotion: wire.Emotion) -> Iterator[str]:
    for key, name in MODALITY_NAMES.items():
        found = emotion.modalities.get(key)
        if found is None:
            continue
        if not found.present:
            why = REASONS.get(found.reason or "", "absent")
            yield tag("div", tag("span", name), tag("em", why), class_="absent")
        elif found.contribution is None:
            yield tag("div", tag("span", name), tag("em", "took part"))
        else:
            told = f"{found.contribution * 100:+.0f}".replace("-", "\u2212")
            bar = charts.contribution(found.contribution)
            yield tag("div", tag("span", name), bar, tag("b", told))
