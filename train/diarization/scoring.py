"""Found speakers against true ones: diarization error rate, changes, turns kept apart.

The error rate is pyannote.metrics'. Its collar is a length in all, half on either side of a
boundary; NIST's md-eval means as much on either side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from pyannote.metrics.identification import IdentificationErrorRate

from magtkd_rt import wire
from magtkd_rt.train.diarization.reference import SpokenTurn

UNSURE: Final = "S?"
"""Who speaks where the product does not know."""
COLLAR_S: Final = 0.25
CHANGE_TOLERANCE_S: Final = 0.5
"""A found change this far from a true one is still that one."""
LONG_TURN_S: Final = 0.8
"""Turns longer than that should become utterances of their own."""
_COVERED: Final = 0.5
_FOREIGN_SHARE: Final = 0.2
_FOREIGN_S: Final = 0.5


@dataclass(frozen=True, slots=True, order=True)
class FoundTurn(SpokenTurn):
    """One utterance of the product; `announced` is the media time at which it was told of."""

    announced: float = 0.0


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """A diarization error rate and its parts, in seconds of speakers' time.

    Attributes:
        rate: missed, false alarm and confusion together, as a share of `total`.
    """

    rate: float
    missed: float
    false_alarm: float
    confusion: float
    total: float


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes of the speaker.

    Attributes:
        delays_s: for each true change that was found, from the instant at which the new speaker
            begins to the media time of the event that announces their utterance.
        cut_delays_s: the same to the first utterance announced after the change, even where it
            stayed unsure whose that one is: the old speaker's was ended by then.
    """

    true: int
    found: int
    missed: int
    false: int
    delays_s: tuple[float, ...]
    cut_delays_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class OwnUtterances:
    """What became of turns longer than `LONG_TURN_S`.

    Attributes:
        turns: how many there are.
        own: covered by half or more with utterances of the right speaker that are nobody else's:
            at most half a second and a fifth of the speech in them is only others'. Several turns
            of one speaker in a row may share an utterance.
        alone: have an utterance of the right speaker for themselves: what both have in common
            is at least half of what they span together.
    """

    turns: int
    own: int
    alone: int


def found_turns(events: Sequence[wire.Event]) -> list[FoundTurn]:
    """The utterances that have a result, in the order of time."""
    announced = {e.utterance_id: e.t for e in events if isinstance(e, wire.SpeechStarted)}
    return sorted(
        FoundTurn(event.start, event.end, event.speaker, announced[event.utterance_id])
        for event in events
        if isinstance(event, wire.Emotion) and event.stage == "final"
    )


def error_rate(
    true: Sequence[SpokenTurn],
    found: Sequence[SpokenTurn],
    duration: float,
    *,
    collar: float = COLLAR_S,
    skip_overlap: bool = False,
) -> ErrorRate:
    """Diarization error rate over the whole recording.

    Found speakers are mapped to true ones one to one, in the way that is best for them; an
    unsure utterance is mapped to nobody, so where somebody speaks it counts as confusion.

    Args:
        true: who really speaks.
        found: who was found to speak.
        duration: of the recording, in seconds.
        collar: left out around each boundary of a true turn, half of it on either side.
        skip_overlap: leave out where several speak at once.
    """
    metric = DiarizationErrorRate(collar=collar, skip_overlap=skip_overlap)
    reference, hypothesis = _annotation(true, "true"), _annotation(found, "found")
    scored = metric.extrude(_whole(duration), reference, collar, skip_overlap)
    reference, hypothesis = _within(reference, scored), _within(hypothesis, scored)
    named = hypothesis.rename_labels(mapping=_best_mapping(metric, reference, hypothesis))
    judge = IdentificationErrorRate()
    parts = judge.compute_components(reference, named, uem=scored, collar=0.0, skip_overlap=False)
    return ErrorRate(
        rate=float(judge.compute_metric(parts)),
        missed=float(parts["missed detection"]),
        false_alarm=float(parts["false alarm"]),
        confusion=float(parts["confusion"]),
        total=float(parts["total"]),
    )


def match_speakers(
    true: Sequence[SpokenTurn], found: Sequence[SpokenTurn], duration: float
) -> dict[str, str]:
    """Found speaker -> true speaker, one to one, in the way that makes the fewest errors."""
    metric = DiarizationErrorRate()
    reference, hypothesis = (
        _within(_annotation(turns, whose), _whole(duration))
        for turns, whose in ((true, "true"), (found, "found"))
    )
    mapping = _best_mapping(metric, reference, hypothesis)
    return {
        one.removeprefix("found "): other.removeprefix("true ") for one, other in mapping.items()
    }


def speakers_of(turns: Sequence[SpokenTurn]) -> list[str]:
    """Everybody who is known by name, in order of appearance."""
    return list(dict.fromkeys(turn.speaker for turn in sorted(turns) if turn.speaker != UNSURE))


def judge_changes(
    true: Sequence[SpokenTurn],
    found: Sequence[FoundTurn],
    tolerance: float = CHANGE_TOLERANCE_S,
) -> Changes:
    """Match found changes of the speaker with true ones, the nearest first, one to one.

    Between two turns a change lies anywhere in the pause or the overlap. A true turn within
    another's turn is no change. Unsure utterances claim no change.
    """
    wanted = _changes(_floor(true))
    shown = _changes([turn for turn in sorted(found) if turn.speaker != UNSURE])
    pairs = sorted(
        (distance, abs(w.turn.start - s.turn.start), i, j)
        for i, w in enumerate(wanted)
        for j, s in enumerate(shown)
        if (distance := max(0.0, w.begin - s.end, s.begin - w.end)) <= tolerance
    )
    left_wanted, left_shown = set(range(len(wanted))), set(range(len(shown)))
    delays, cut_delays = [], []
    for _, _, i, j in pairs:
        if i in left_wanted and j in left_shown:
            left_wanted.remove(i)
            left_shown.remove(j)
            new = shown[j].turn
            assert isinstance(new, FoundTurn)
            begins = wanted[i].turn.start
            between = [
                turn.announced
                for turn in found
                if shown[j].begin <= turn.start < new.start
                and turn.start >= wanted[i].begin - tolerance
                and turn.announced >= begins
            ]
            delays.append(round(new.announced - begins, 3))
            cut_delays.append(round(min([*between, new.announced]) - begins, 3))
    missed, false = len(left_wanted), len(left_shown)
    return Changes(len(wanted), len(shown), missed, false, tuple(delays), tuple(cut_delays))


def judge_turns(
    true: Sequence[SpokenTurn], found: Sequence[SpokenTurn], speaker_of: Mapping[str, str]
) -> OwnUtterances:
    """See which turns became utterances of their own; `speaker_of` is `match_speakers`'."""
    speech = _annotation(true, "true")
    turns = [turn for turn in true if turn.length > LONG_TURN_S]
    matched = [(u, speaker_of[u.speaker]) for u in sorted(found) if u.speaker in speaker_of]
    pure = [(u, speaker) for u, speaker in matched if _is_own(u, speaker, speech)]
    own = alone = 0
    for turn in turns:
        common = sum(_common(u, turn) for u, speaker in pure if speaker == turn.speaker)
        own += common >= _COVERED * turn.length
        alone += any(
            _common(u, turn) >= _COVERED * _span(u, turn)
            for u, speaker in matched
            if speaker == turn.speaker
        )
    return OwnUtterances(len(turns), own, alone)


def speech_seconds(turns: Sequence[SpokenTurn]) -> float:
    """How long anybody speaks."""
    return float(_annotation(turns, "true").get_timeline().support().duration())


def delay_percentiles(delays: Sequence[float]) -> dict[str, float | None]:
    """Median and p95 in seconds; None where nothing was found."""
    if not delays:
        return {"median": None, "p95": None}
    median, p95 = np.percentile(delays, (50, 95))
    return {"median": round(float(median), 3), "p95": round(float(p95), 3)}


@dataclass(frozen=True, slots=True)
class _Change:
    """Somewhere from `begin` to `end` the speaker of `turn` takes over."""

    begin: float
    end: float
    turn: SpokenTurn


def _floor(turns: Sequence[SpokenTurn]) -> list[SpokenTurn]:
    """Who has the floor: turns in order, without those that lie within another speaker's."""
    return [
        turn
        for turn in sorted(turns)
        if not any(
            other.start <= turn.start
            and turn.end <= other.end
            and other.length > turn.length
            and other.speaker != turn.speaker
            for other in turns
        )
    ]


def _changes(turns: Sequence[SpokenTurn]) -> list[_Change]:
    return [
        _Change(min(old.end, new.start), max(old.end, new.start), new)
        for old, new in pairwise(turns)
        if old.speaker != new.speaker
    ]


def _common(one: SpokenTurn, other: SpokenTurn) -> float:
    return max(0.0, min(one.end, other.end) - max(one.start, other.start))


def _span(one: SpokenTurn, other: SpokenTurn) -> float:
    return max(one.end, other.end) - min(one.start, other.start)


def _is_own(utterance: SpokenTurn, speaker: str, speech: Annotation) -> bool:
    """Whether what others alone speak in an utterance is little enough."""
    inside = speech.crop(Segment(utterance.start, utterance.end))
    all_s = inside.get_timeline().support().duration()
    own_s = inside.label_timeline(f"true {speaker}").support().duration()
    return bool(all_s - own_s <= min(_FOREIGN_S, _FOREIGN_SHARE * all_s))


def _annotation(turns: Sequence[SpokenTurn], whose: str) -> Annotation:
    """Labels carry whose they are: a true S1 and a found S1 are not the same."""
    annotation = Annotation()
    for number, turn in enumerate(turns):
        annotation[Segment(turn.start, turn.end), number] = f"{whose} {turn.speaker}"
    return annotation


def _whole(duration: float) -> Timeline:
    return Timeline([Segment(0, duration)])


def _within(annotation: Annotation, timeline: Timeline) -> Annotation:
    return annotation.crop(timeline, mode="intersection")


def _best_mapping(
    metric: DiarizationErrorRate, reference: Annotation, hypothesis: Annotation
) -> dict[str, str]:
    sure = hypothesis.subset([f"found {UNSURE}"], invert=True)
    return {str(one): str(other) for one, other in metric.optimal_mapping(reference, sure).items()}
