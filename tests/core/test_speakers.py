"""Who a voice belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.core.config import Enrolled
from magtkd_rt.core.speakers import SpeakerConfig, Speakers, Verdict, Voice

LONG = 120  # windows: nearly four seconds
SIZE = 64


def direction(seed: int) -> NDArray[np.float32]:
    """A voice that is like no other."""
    vector = np.random.default_rng(seed).standard_normal(SIZE)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def between(first: int, second: int, share: float = 0.5) -> NDArray[np.float32]:
    vector = (1 - share) * direction(first) + share * direction(second)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def voice(seed: int, windows: int = LONG) -> Voice:
    return Voice(direction(seed), windows)


def speakers(*enrolled: Enrolled, **changes: Any) -> Speakers:
    return Speakers(SpeakerConfig(**changes), enrolled)


def heard(among: Speakers, *seeds: int) -> list[int | None]:
    return [among.judge(voice(seed)).speaker for seed in seeds]


def test_speakers_are_numbered_by_first_appearance() -> None:
    assert heard(speakers(), 5, 3, 5, 9, 3, 5, 9) == [0, 1, 0, 2, 1, 0, 2]


def test_a_clear_voice_is_sure() -> None:
    among = speakers()
    heard(among, 1, 2)
    verdict = among.judge(voice(1))
    assert verdict.speaker == verdict.guess == 0
    assert verdict.confidence > 0.9


def test_what_is_told_is_less_sure_than_what_is_decided() -> None:
    told = []
    for changes in ({}, {"calibrated": SpeakerConfig().sharpness}):
        among = speakers(**changes)
        heard(among, 1, 2)
        verdict = among.judge(Voice(between(1, 2, 0.45), LONG))
        assert verdict.speaker == 0
        told.append(verdict.confidence)
    assert 0.4 < told[0] < told[1] - 0.1


def test_too_little_voice_opens_nobody() -> None:
    among = speakers()
    assert among.judge(voice(1, 30)) == Verdict(None, None, 0.0)
    heard(among, 1)
    unsure = among.judge(voice(2, 30))
    assert (unsure.speaker, unsure.guess) == (None, 0)
    assert unsure.confidence < 0.5
    assert heard(among, 2) == [1]


def test_a_short_utterance_of_somebody_known_is_theirs_and_teaches_nothing() -> None:
    among = speakers()
    heard(among, 1, 2)
    before = [known.copy() for known in among.directions]
    assert among.judge(voice(2, 0)).speaker == 1
    np.testing.assert_array_equal(before, among.directions)


def test_between_two_speakers_nobody_is_named() -> None:
    among = speakers(sure=0.65)
    heard(among, 1, 2)
    verdict = among.judge(Voice(between(1, 2), LONG))
    assert verdict.speaker is None
    assert verdict.guess in (0, 1)
    assert verdict.confidence == pytest.approx(0.5, abs=0.1)


def test_without_a_print_nothing_is_said() -> None:
    among = speakers()
    heard(among, 1)
    assert among.judge(None) == Verdict(None, None, 0.0)


def test_there_are_never_more_than_so_many() -> None:
    """Fifty voices: the list is full at the bound, known ones go on, strangers are no one new."""
    among = speakers(most=3)
    assert heard(among, 1, 2, 3) == [0, 1, 2]
    verdicts = [among.judge(voice(seed)) for seed in range(4, 50)]
    assert {verdict.speaker for verdict in verdicts} <= {0, 1, 2, None}
    assert len(among.directions) == 3
    assert heard(among, 1, 2, 3) == [0, 1, 2]


def test_a_minute_of_single_words_gives_no_list_of_speakers() -> None:
    among = speakers()
    noisy = [Voice(direction(seed), 12) for seed in range(80)]
    assert {among.judge(word).speaker for word in noisy} == {None}
    assert among.directions == []


def test_speakers_move_slowly() -> None:
    """A voice that drifts a little each time stays itself; one strange utterance moves little."""
    among = speakers()
    heard(among, 1)
    for share in np.linspace(0.02, 0.4, 20):
        assert among.judge(Voice(between(1, 2, float(share)), LONG)).speaker == 0
    after = among.directions[0].copy()
    among.judge(Voice(between(1, 3, 0.4), LONG))
    assert float(after @ among.directions[0]) > 0.97


def test_a_found_change_speaks_against_who_spoke_before() -> None:
    like_both = Voice(between(1, 2, 0.48), LONG)
    among = speakers()
    heard(among, 1, 2)
    assert among.judge(like_both).guess == 0
    among = speakers()
    heard(among, 1, 2)
    assert among.judge(like_both, not_speaker=0).guess == 1


def test_the_more_are_known_the_less_a_found_change_says() -> None:
    """Where others could have been heard and were not, the change was likely a false one."""
    like_first = Voice(between(1, 9, 0.68), LONG)
    among = speakers()
    heard(among, 1)
    assert among.judge(like_first, not_speaker=0).speaker == 1
    among = speakers()
    heard(among, 1, 2, 3)
    assert among.judge(like_first, not_speaker=0).speaker == 0


def test_enrolled_speakers_keep_their_names_and_are_numbered_when_they_speak() -> None:
    among = speakers(Enrolled("Ada", direction(7)), Enrolled("Bo", direction(8)))
    assert heard(among, 1, 8, 7, 1) == [0, 1, 2, 0]
    assert [among.name(number) for number in range(4)] == [None, "Bo", "Ada", None]


def test_an_enrolled_voice_is_known_at_once() -> None:
    assert speakers(Enrolled("Ada", direction(7))).judge(voice(7, 20)).speaker == 0


@pytest.mark.parametrize(
    "change",
    [
        {"most": 0},
        {"evidence": 0},
        {"memory": 0},
        {"sharpness": 0.0},
        {"calibrated": 0.0},
        {"variance": 1.0},
        {"sure": 0.9, "learn": 0.5},
    ],
)
def test_settings_that_cannot_work_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wanted|must be positive"):
        SpeakerConfig(**change)
