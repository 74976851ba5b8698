"""What a report counts: time by speaker and label, shares over time, who took part, delays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles
from typing import Final

from magtkd_rt import wire
from magtkd_rt.clients.export.session import Session, Utterance

OTHERS: Final = "others"
MOST_LANES: Final = 8
"""More speakers than this are shown together."""

_PARTS: Final = ((120, 12), (300, 12), (600, 60), (1200, 60), (3600, 60))


@dataclass(frozen=True)
class Part:
    """A part of a session that is shown together.

    Attributes:
        begin: seconds.
        end: seconds.
        utterances: what began in it, with its number in the session.
        earlier: what began before it and went on.
    """

    begin: float
    end: float
    utterances: Sequence[tuple[int, Utterance]]
    earlier: Sequence[tuple[int, Utterance]]


def parts_of(session: Session) -> Iterator[Part]:
    """Cut a session into parts of equal length; those in which nobody spoke are left out."""
    length = _part_length(session.duration)
    groups: dict[int, list[tuple[int, Utterance]]] = {}
    for number, item in enumerate(session.utterances):
        groups.setdefault(int(item.emotion.start // length), []).append((number, item))
    going_on: list[tuple[int, Utterance]] = []
    for place, group in groups.items():
        begin, end = place * length, (place + 1) * length
        going_on = [(number, item) for number, item in going_on if item.emotion.end > begin]
        last = max((item.emotion.end for _, item in group), default=end)
        yield Part(begin, max(end, last) if len(groups) == 1 else end, group, tuple(going_on))
        going_on += group


def _part_length(duration: float) -> float:
    if duration <= 180:
        return max(duration, 1.0) + 1e-6
    for length, most in _PARTS:
        if duration <= length * most:
            return length
    return max(86_400, duration / 100)


def spoken(item: Utterance) -> float:
    """Seconds."""
    return item.emotion.end - item.emotion.start


def lane_names(session: Session) -> dict[str, str]:
    """Each speaker's lane: its name, or `OTHERS` where there are too many."""
    if len(session.speakers) <= MOST_LANES:
        return {name: name for name in session.speakers}
    talk = Counter[str]()
    for item in session.utterances:
        talk[item.speaker] += round(spoken(item) * 1000) + 1
    most = {name for name, _ in talk.most_common(MOST_LANES - 1)}
    return {name: name if name in most else OTHERS for name in session.speakers}


def time_by_speaker(session: Session, lanes: dict[str, str]) -> dict[str, dict[str, float]]:
    """Seconds of each label for each lane that spoke."""
    labels = dict.fromkeys(session.labels, 0.0)
    found: dict[str, dict[str, float]] = {lane: dict(labels) for lane in lanes.values()}
    for item in session.utterances:
        found[lanes[item.speaker]][item.emotion.label] += spoken(item)
    return found


def shares_over_time(session: Session, bins: int) -> list[dict[str, float]]:
    """Seconds of each label in each of so many equal stretches of a session."""
    width = max(session.duration, 1e-3) / bins
    found: list[dict[str, float]] = [dict.fromkeys(session.labels, 0.0) for _ in range(bins)]
    for item in session.utterances:
        start, end = item.emotion.start, item.emotion.end
        for place in range(int(start / width), min(int(end / width) + 1, bins)):
            inside = min(end, (place + 1) * width) - max(start, place * width)
            found[place][item.emotion.label] += max(inside, 0.0)
    return found


@dataclass(frozen=True)
class TookPart:
    """How often one modality took part.

    Attributes:
        name: `text`, `audio` or `video`.
        present: in how many utterances.
        contribution: mean where it was; None where that is not known.
        absent: how often it was not, by the reason.
    """

    name: wire.ModalityName
    present: int
    contribution: float | None
    absent: Counter[str]


def took_part(session: Session, name: wire.ModalityName) -> TookPart:
    """Count for one modality."""
    parts = [item.emotion.modalities.get(name) for item in session.utterances]
    known = [part for part in parts if part is not None]
    told = [part.contribution for part in known if part.contribution is not None]
    return TookPart(
        name,
        present=sum(part.present for part in known),
        contribution=fmean(told) if told else None,
        absent=Counter(part.reason or "" for part in known if not part.present),
    )


def middle_and_late(values: Sequence[float]) -> tuple[float, float] | None:
    """Median and 95th percentile; None where there are no values."""
    if not values:
        return None
    if len(values) == 1:
        return values[0], values[0]
    cuts = quantiles(values, n=20, method="inclusive")
    return cuts[9], cuts[18]
