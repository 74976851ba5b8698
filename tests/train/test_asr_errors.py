"""Spoiled words are spoiled as asked, and only in the ways that they say."""

from __future__ import annotations

from pathlib import Path
from random import Random

import jiwer
import pocketsphinx
import pytest
from rapidfuzz.distance import Levenshtein

from magtkd_rt.train.asr_errors import RecogniserErrors

TEXTS = [
    "I can see the sea from here, and the sun is shining on my son's new boat!",
    "Which witch would write the right letter to the wrong man?",
    "You know, there’s no way that they're leaving their coats over there.",
    "What do you mean he bought the whole thing and then ate it all by himself",
    "Two of them went to the store too late, so we had nothing left for tea.",
]


@pytest.fixture(scope="module")
def errors() -> RecogniserErrors:
    return RecogniserErrors.of(TEXTS)


@pytest.fixture(scope="module")
def phones() -> dict[str, list[str]]:
    """The pronouncing dictionary, read once more."""
    path = Path(pocketsphinx.get_model_path()) / "en-us" / "cmudict-en-us.dict"
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {word: sounds for word, *sounds in lines}


def test_no_errors_leave_the_plain_words(errors: RecogniserErrors) -> None:
    assert errors.spoil("Which WITCH? There’s one -- here!", 0.0, Random(1)) == (
        "which witch there's one here"
    )


def test_nothing_comes_of_nothing(errors: RecogniserErrors) -> None:
    for empty in ("", "   ", "?!", "42"):
        assert errors.spoil(empty, 0.5, Random(1)) == ""
    assert RecogniserErrors.of([]).spoil("hello there", 0.0, Random(1)) == "hello there"


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_about_as_many_words_are_wrong_as_asked(errors: RecogniserErrors, rate: float) -> None:
    random = Random(3)
    meant = [errors.spoil(text, 0.0, random) for text in TEXTS] * 60
    heard = [errors.spoil(text, rate, random) for text in TEXTS * 60]
    # Some words have no similar one, and stay; some lines are cut off on top.
    assert 0.6 * rate < jiwer.wer(meant, heard) < 1.5 * rate


def test_words_are_swapped_for_similar_sounding_ones(
    errors: RecogniserErrors, phones: dict[str, list[str]]
) -> None:
    vocabulary = sorted(
        {word for text in TEXTS for word in errors.spoil(text, 0, Random(0)).split()}
    )
    random, swapped = Random(5), 0
    for word in vocabulary * 10:
        other = errors.similar(word, random)
        assert other in vocabulary
        if other != word:
            swapped += 1
            # One phone left out of each makes them the same.
            assert Levenshtein.distance(phones[word], phones[other]) <= 2
            assert abs(len(phones[word]) - len(phones[other])) <= 1
    assert swapped > 100
    assert {errors.similar("which", random) for _ in range(200)} >= {"witch"}


def test_unknown_words_stay(errors: RecogniserErrors) -> None:
    assert errors.similar("qwertzuiop", Random(1)) == "qwertzuiop"


def test_words_stay_in_order_and_lines_are_cut_at_an_end(errors: RecogniserErrors) -> None:
    """Every word heard stands for one that was said, in order: dropped, swapped or cut."""
    random = Random(8)
    cut = 0
    for _ in range(300):
        meant = errors.spoil(TEXTS[0], 0.0, random).split()
        heard = errors.spoil(TEXTS[0], 0.3, random).split()
        assert len(heard) <= len(meant)
        cut += len(heard) <= len(meant) // 2
    assert 0 < cut < 150


def test_the_same_seed_gives_the_same(errors: RecogniserErrors) -> None:
    def spoiled(seed: int) -> list[str]:
        random = Random(seed)
        return [errors.spoil(text, 0.4, random) for text in TEXTS]

    assert spoiled(1) == spoiled(1)
    assert spoiled(1) != spoiled(2)
