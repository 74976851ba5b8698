"""Signs of a change of speaker, and what they are believed to say. Prints are made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from magtkd_rt.core.media import VOICE_HOP, VOICE_WINDOWS
from magtkd_rt.core.speakers import SpeakerConfig, Speakers, Vector, Voice
from magtkd_rt.core.turns import SIGNS, Change, TurnConfig, TurnFinder

ANNA, BERT, CARL = np.eye(8, dtype=np.float32)[:3]
BETWEEN = ((ANNA + BERT) / np.sqrt(2)).astype(np.float32)


def finder(config: TurnConfig | None = None, *known: Vector) -> TurnFinder:
    speakers = Speakers(SpeakerConfig())
    for voice in known:
        speakers.judge(Voice(voice, 200))
    return TurnFinder(config or TurnConfig(), speakers)


def hear(turns: TurnFinder, voice: Vector, first: int, after: int) -> list[tuple[int, Change]]:
    """Prints of one voice that end in these windows; the changes found, and when."""
    found = []
    for now in range(first, after, VOICE_HOP):
        change = turns.hear(now, voice)
        if change is not None:
            found.append((now, change))
            turns.begin(change.after, changed=True)
    return found


def signs(turns: TurnFinder, voice: Vector) -> dict[str, float]:
    told = turns.signs(voice)
    assert told is not None
    return dict(zip(SIGNS, told.tolist(), strict=True))


def test_a_turn_without_a_clean_print_gives_no_signs() -> None:
    turns = finder()
    turns.begin(0)
    assert hear(turns, ANNA, 4, VOICE_WINDOWS) == []
    assert turns.signs(BERT) is None


def test_signs_compare_with_the_turn_and_with_all_who_are_known() -> None:
    turns = finder(None, ANNA, BERT)
    turns.begin(0)
    hear(turns, ANNA, 4, 100)
    told = signs(turns, BETWEEN)
    half = pytest.approx(np.sqrt(0.5), abs=1e-6)
    assert (told["own"], told["turn"], told["rival"]) == (half, half, half)
    assert told["own_earlier"] == pytest.approx(1.0)
    assert (told["heard"], told["known"]) == (1.0, 0.5)
    assert (told["turn_own"], told["turn_rival"]) == (pytest.approx(1.0), pytest.approx(0.0))


def test_with_nobody_else_there_is_no_rival() -> None:
    turns = finder()
    turns.begin(0)
    hear(turns, ANNA, 4, 100)
    told = signs(turns, BERT)
    assert (told["rival"], told["turn_own"], told["turn_rival"], told["known"]) == (0, 0, 0, 0)


def test_a_steady_voice_is_one_turn() -> None:
    turns = finder(None, ANNA, BERT)
    turns.begin(0)
    assert hear(turns, ANNA, 4, 2000) == []


@pytest.mark.parametrize("known", [(), (ANNA,), (ANNA, BERT)])
def test_another_voice_is_a_change(known: tuple[Vector, ...]) -> None:
    """Prints slide to the new voice within 1.2 s, and it is believed before they are through."""
    turns = finder(None, *known)
    turns.begin(0)
    hear(turns, ANNA, 4, 100)
    for now in range(100, 200, VOICE_HOP):
        share = min(1.0, (now - 96) / VOICE_WINDOWS)
        mixed = (1 - share) * ANNA + share * BERT
        change = turns.hear(now, (mixed / np.linalg.norm(mixed)).astype(np.float32))
        if change is not None:
            break
    assert change is not None
    assert now - 96 < VOICE_WINDOWS
    assert change.first - VOICE_HOP <= 96 <= change.after


def test_the_level_counts_once_the_turn_s_voice_is_known() -> None:
    """Nothing learned: a strange voice is believed only from `voiced` clean prints on."""
    only_level = {"weights": (0.0,) * len(SIGNS), "bias": 0.0}
    for voiced, found in ((3, True), (1000, False)):
        turns = finder(TurnConfig(**only_level, voiced=voiced))  # type: ignore[arg-type]
        turns.begin(0)
        assert bool(hear(turns, ANNA, 4, 100) + hear(turns, CARL, 100, 160)) is found


def test_weights_must_fit_the_signs() -> None:
    with pytest.raises(ValueError, match="one for each sign"):
        TurnConfig(weights=(1.0,))
