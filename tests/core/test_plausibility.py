"""Whether an utterance was speech at all, by its sound and its words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from magtkd_rt.core.jobs import Doubt, Transcribed, Word
from magtkd_rt.core.media import WINDOW
from magtkd_rt.core.plausibility import Clarity, clarity, share_in_speech, without_phantoms
from magtkd_rt.core.plausibility import why_no_speech as why

START = 100 * WINDOW


def word(first: float, after: float) -> Word:
    """A word in windows of the utterance."""
    return Word("word", START + round(first * WINDOW), START + round(after * WINDOW), 0.9)


def said(*words: Word, doubt: Doubt | None = None) -> Transcribed:
    text = " ".join(word.text for word in words)
    return Transcribed(text, words, 0.9, language="en", final=True, doubt=doubt)


@pytest.mark.parametrize(
    ("windows", "mean", "wanted"),
    [(11, 0.9, "weak"), (12, 0.59, "weak"), (12, 0.6, "unsure"), (50, 0.75, "clear")],
)
def test_the_clarity_of_a_sound(windows: int, mean: float, wanted: str) -> None:
    assert clarity(windows, mean, few=12, weak=0.6, clear=0.75) == wanted


def test_words_lie_in_speech_or_not() -> None:
    voiced = np.zeros(60, np.bool_)
    voiced[10:20] = voiced[40:50] = True
    assert share_in_speech([], START, voiced) == 1
    assert share_in_speech([word(10, 15), word(15, 20), word(42, 50)], START, voiced) == 1
    assert share_in_speech([word(7, 9), word(21, 23)], START, voiced) == 1  # times are not exact
    assert share_in_speech([word(24, 36)], START, voiced) == 0
    assert share_in_speech([word(12, 18), word(24, 36)], START, voiced) == 0.5
    assert share_in_speech([word(5, 55)], START, voiced) == 1  # half of it is speech
    assert share_in_speech([word(30, 30)], START, voiced) == 0  # without any length
    # Whisper fills its 30 s: after the sound, and before it, there is no speech.
    assert share_in_speech([word(70, 90), word(400, 420)], START, voiced) == 0
    assert share_in_speech([word(-30, -20)], START, voiced) == 0


def test_words_outside_speech_are_none() -> None:
    voiced = np.zeros(60, np.bool_)
    voiced[10:20] = True
    held = said(word(10, 15), word(15, 20), word(30, 40))
    assert without_phantoms(held, START, voiced) is held
    emptied = without_phantoms(said(word(10, 15), word(30, 40), word(40, 50)), START, voiced)
    assert (emptied.text, emptied.words, emptied.confidence) == ("", (), 0)
    assert emptied.doubt == "outside_speech"
    untimed = Transcribed("hello", None, 0.9, language="en", final=True)
    assert without_phantoms(untimed, START, voiced) is untimed


@pytest.mark.parametrize(
    ("sound", "text", "doubt", "trusted", "wanted"),
    [
        ("weak", "yes", None, True, None),
        ("weak", "yes", None, False, "hallucination"),
        ("weak", "thank you", "stock_phrase", True, "hallucination"),
        ("weak", "", None, False, "no_speech"),
        ("weak", "", "no_speech", False, "no_speech"),
        ("weak", "", "outside_speech", False, "no_speech"),
        ("weak", "", "repetition", False, "hallucination"),
        ("unsure", "yes", None, False, None),
        ("unsure", "thank you", "stock_phrase", True, None),
        ("unsure", "", None, False, "no_speech"),
        ("unsure", "", "implausible", False, "hallucination"),
        ("clear", "", "no_speech", False, None),
        ("clear", "", "repetition", False, None),
    ],
)
def test_the_less_clear_the_sound_the_more_the_words_must_bear_out(
    sound: Clarity, text: str, doubt: Doubt | None, trusted: bool, wanted: str | None
) -> None:
    words = said(*[Word(part, 0, 1, 0.9) for part in text.split()], doubt=doubt)
    assert why(sound, 12, words, trusted=trusted) == wanted


def test_a_transcriber_that_did_not_listen_says_nothing_against_speech() -> None:
    nothing: dict[str, Any] = {"trusted": False, "transcribed": False}
    assert why("unsure", 12, said(), **nothing) is None
    assert why("weak", 12, said(), **nothing) == "no_speech"


def test_few_words_in_much_speech_are_singing_unless_the_sound_is_clear() -> None:
    one, two = said(word(0, 40)), said(word(0, 20), word(20, 40))
    assert why("unsure", 40, one, trusted=True) == "hallucination"
    assert why("weak", 40, one, trusted=True) == "hallucination"
    assert why("clear", 40, one, trusted=True) is None
    assert why("unsure", 30, two, trusted=False) is None
    untimed = Transcribed("well I never", None, 0.9, language="en", final=True)
    assert why("unsure", 40, untimed, trusted=False) is None
