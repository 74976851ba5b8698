"""Scores against examples worked by hand, and against pyannote.metrics' own."""

from __future__ import annotations

import numpy as np
import pytest
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from magtkd_rt.train.diarization.reference import SpokenTurn
from magtkd_rt.train.diarization.scoring import (
    UNSURE,
    FoundTurn,
    OwnUtterances,
    delay_percentiles,
    error_rate,
    judge_changes,
    judge_turns,
    match_speakers,
    speakers_of,
    speech_seconds,
)


def turns(text: str) -> list[SpokenTurn]:
    """`Anna 0 4, Bo 4 6`."""
    return [
        SpokenTurn(float(start), float(end), who)
        for who, start, end in (part.split() for part in text.split(","))
    ]


def found(text: str, late: float = 1.0) -> list[FoundTurn]:
    return [FoundTurn(t.start, t.end, t.speaker, t.start + late) for t in turns(text)]


def test_error_rate_and_its_parts() -> None:
    true = turns("Anna 1 5, Bo 5 9")
    # Half a second late at the first turn, one second of Bo is taken for Anna, one too long.
    rate = error_rate(true, turns("S1 1.5 6, S2 6 10"), 12.0, collar=0.0)
    assert (rate.missed, rate.false_alarm, rate.confusion, rate.total) == (0.5, 1.0, 1.0, 8.0)
    assert rate.rate == pytest.approx(2.5 / 8)


def test_the_collar_is_shared_by_both_sides_of_a_boundary() -> None:
    true = turns("Anna 1 5, Bo 5 9")
    rate = error_rate(true, turns("S1 1 5.5, S2 5.5 9"), 12.0, collar=0.25)
    assert rate.total == pytest.approx(8 - 4 * 0.125)
    assert rate.confusion == pytest.approx(0.5 - 0.125)


def test_overlap_counts_both_or_not_at_all() -> None:
    true = turns("Anna 0 4, Bo 3 6")
    heard = turns("S1 0 4, S2 4 6")
    both = error_rate(true, heard, 6.0, collar=0.0)
    assert (both.missed, both.total) == (1.0, 7.0)
    skipped = error_rate(true, heard, 6.0, collar=0.0, skip_overlap=True)
    assert (skipped.rate, skipped.total) == (0.0, 5.0)


def test_sound_outside_of_the_reference_counts_to_the_recording_s_end() -> None:
    true = turns("Anna 4 6")
    heard = turns("S1 0 1, S2 4 6, S3 7 12")
    assert error_rate(true, heard, 10.0, collar=0.0).false_alarm == pytest.approx(4.0)


def test_an_unsure_utterance_is_nobody_s() -> None:
    true = turns("Anna 0 4, Bo 4 6")
    unsure = error_rate(true, turns(f"S1 0 4, {UNSURE} 4 6"), 6.0, collar=0.0)
    assert (unsure.confusion, unsure.missed) == (2.0, 0.0)
    assert match_speakers(true, turns(f"S1 0 4, {UNSURE} 4 6"), 6.0) == {"S1": "Anna"}
    assert error_rate(true, turns("S1 0 4, S2 4 6"), 6.0, collar=0.0).rate == 0.0
    assert speakers_of(turns(f"S2 0 1, {UNSURE} 1 2, S1 2 3, S2 3 4")) == ["S2", "S1"]


def test_nobody_found_is_all_missed() -> None:
    rate = error_rate(turns("Anna 0 4"), [], 5.0, collar=0.0)
    assert (rate.rate, rate.missed) == (1.0, 4.0)


def test_names_alike_are_not_the_same_speaker() -> None:
    """A true S1 may be the found S2."""
    true = turns("S1 0 4, S2 4 6")
    heard = turns("S2 0 4, S1 4 6")
    assert error_rate(true, heard, 6.0, collar=0.0).rate == 0.0
    assert match_speakers(true, heard, 6.0) == {"S2": "S1", "S1": "S2"}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("skip_overlap", [True, False])
def test_where_all_are_sure_it_is_pyannote_s_own_figure(seed: int, skip_overlap: bool) -> None:
    random = np.random.default_rng(seed)

    def some(names: str, count: int) -> list[SpokenTurn]:
        starts = random.uniform(0, 50, count)
        return [
            SpokenTurn(float(s), float(s + random.uniform(0.2, 5)), str(random.choice([*names])))
            for s in starts
        ]

    true, heard = some("abc", 25), some("xyzw", 20)

    def annotation(turns: list[SpokenTurn]) -> Annotation:
        made = Annotation()
        for number, turn in enumerate(turns):
            made[Segment(turn.start, turn.end), number] = turn.speaker
        return made

    metric = DiarizationErrorRate(collar=0.25, skip_overlap=skip_overlap)
    whole = Timeline([Segment(0, 60)])
    expected = metric(annotation(true), annotation(heard), uem=whole, detailed=True)
    rate = error_rate(true, heard, 60.0, collar=0.25, skip_overlap=skip_overlap)
    assert rate.rate == pytest.approx(expected["diarization error rate"])
    assert rate.confusion == pytest.approx(expected["confusion"])
    assert rate.missed == pytest.approx(expected["missed detection"])


def test_changes() -> None:
    true = turns("Anna 0 4, Bo 4 6, Anna 7 9, Bo 9 12")
    # 0.3 s late; in the pause; none at 9; one at 11 that is none.
    changes = judge_changes(true, found("S1 0 4.3, S2 4.3 6.5, S1 6.5 11, S2 11 12", late=0.9))
    assert (changes.true, changes.found, changes.missed, changes.false) == (3, 3, 1, 1)
    assert sorted(changes.delays_s) == [pytest.approx(0.4), pytest.approx(1.2)]
    assert delay_percentiles(changes.delays_s)["median"] == pytest.approx(0.8)
    assert delay_percentiles([]) == {"median": None, "p95": None}


def test_a_back_channel_is_no_change_and_overlap_holds_one_anywhere() -> None:
    true = turns("Anna 0 10, Bo 4 4.5, Bo 8 14")
    one = judge_changes(true, found("S1 0 8, S2 8 14"))
    other = judge_changes(true, found("S1 0 10.4, S2 10.4 14"))
    assert (one.true, one.missed, one.false) == (other.true, other.missed, other.false) == (1, 0, 0)
    torn = judge_changes(true, found("S1 0 4, S2 4 4.5, S1 4.5 8, S2 8 14"))
    assert (torn.missed, torn.false) == (0, 2)


def test_each_found_change_is_one_true_change_only() -> None:
    changes = judge_changes(turns("Anna 0 4, Bo 4 4.4, Anna 4.4 8"), found("S1 0 4.1, S2 4.1 8"))
    assert (changes.true, changes.found, changes.missed, changes.false) == (2, 1, 1, 0)


def test_unsure_utterances_claim_no_change() -> None:
    changes = judge_changes(
        turns("Anna 0 4, Bo 4 8"), found(f"S1 0 3.5, {UNSURE} 3.5 4.5, S2 4.5 8")
    )
    assert (changes.found, changes.missed, changes.false) == (1, 0, 0)
    still = judge_changes(turns("Anna 0 8"), found(f"S1 0 3, {UNSURE} 3 4, S1 4 8"))
    assert (still.found, still.false) == (0, 0)


def test_a_change_is_cut_before_it_is_known_who_speaks() -> None:
    true = turns("Anna 0 4, Bo 4 8")
    cut = judge_changes(true, found(f"S1 0 4.1, {UNSURE} 4.1 6, S2 6 8", late=0.9))
    assert cut.delays_s == (pytest.approx(2.9),)
    assert cut.cut_delays_s == (pytest.approx(1.0),)
    # The unsure utterance is Anna's, announced while she spoke: it ends nothing.
    before = judge_changes(true, found(f"S1 0 1, {UNSURE} 1 4.1, S2 4.1 8", late=0.9))
    assert before.cut_delays_s == before.delays_s == (pytest.approx(1.0),)


def test_turns_that_became_utterances_of_their_own() -> None:
    true = turns("Anna 0 3, Anna 3 5, Bo 5 7, Anna 7 7.5, Bo 8 12")
    apart = found("S1 0 5.1, S2 5.1 7, S1 7 7.6, S2 8 12")
    named = match_speakers(true, apart, 12.0)
    assert judge_turns(true, apart, named) == OwnUtterances(turns=4, own=4, alone=3)
    together = found("S1 0 12")
    assert judge_turns(true, together, {"S1": "Bo"}) == OwnUtterances(turns=4, own=0, alone=0)
    swapped = {"S1": "Bo", "S2": "Anna"}
    assert judge_turns(true, apart, swapped) == OwnUtterances(turns=4, own=0, alone=0)
    # Bo's last turn is in a long utterance that Anna's half second spoils but little.
    spoiled = found("S1 0 5, S2 5 12")
    assert judge_turns(true, spoiled, named) == OwnUtterances(turns=4, own=4, alone=2)


def test_speech_is_counted_once() -> None:
    assert speech_seconds(turns("Anna 0 4, Bo 3 6, Bo 8 9")) == pytest.approx(7.0)
