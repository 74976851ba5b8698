"""The signs of words that nobody said."""

from __future__ import annotations

import pytest

from magtkd_rt.asr import phantoms
from magtkd_rt.asr.phantoms import Run
from magtkd_rt.core.jobs import Word


def words(text: str, each_s: float = 0.3, confidence: float = 0.8) -> list[Word]:
    """Words of equal length in a row."""
    step = round(each_s * 16000)
    return [
        Word(part, at * step, (at + 1) * step, confidence) for at, part in enumerate(text.split())
    ]


def test_whispers_own_rule_needs_both_signs() -> None:
    assert phantoms.silent(0.9, -1.5)
    assert not phantoms.silent(0.9, -0.3)
    assert not phantoms.silent(0.3, -1.5)


def test_text_that_compresses_well_repeats_itself() -> None:
    assert phantoms.compressible("and so on " * 20)
    assert not phantoms.compressible("the horizon seems extremely distant")
    assert not phantoms.compressible("no no no")
    assert not phantoms.compressible("")


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("no no no", Run(1, 3, 0)),
        ("no no", None),
        ("oh my god oh my god oh my god", Run(3, 3, 0)),
        ("and well come on come on come on then", Run(2, 3, 2)),
        ("a b c d a b c d a b c d", Run(4, 3, 0)),
        ("a b c d e a b c d e a b c d e", None),
        ("go go go go and we went we went we went", Run(2, 3, 5)),
        ("", None),
    ],
)
def test_the_longest_run(text: str, run: Run | None) -> None:
    assert phantoms.longest_run(text.split()) == run


def test_people_repeat_themselves_in_time_and_decoders_do_not() -> None:
    assert not phantoms.looped(words("No, no. No!", each_s=0.2))
    assert not phantoms.looped(words("Come on, come on, come on!", each_s=0.18))
    assert phantoms.looped(words("no no no", each_s=0.05))
    assert phantoms.looped(words("we said so so so so", each_s=0.1))
    assert phantoms.looped(words("so " * 10))
    assert phantoms.looped(words("I know " * 6))
    assert not phantoms.looped(words("I know " * 5))


def test_nobody_speaks_so_fast() -> None:
    sentence = "and so my fellow americans ask not what your country"
    assert not phantoms.hurried(words(sentence, each_s=0.14))
    assert phantoms.hurried(words(sentence, each_s=0.1))
    assert not phantoms.hurried(words("that is it", each_s=0.1))  # too few to judge
    assert phantoms.hurried(words("four words at once", each_s=0.0))


def test_improbable_words_without_length_are_anomalous() -> None:
    assert phantoms.anomalous(words("subtitles by somebody", confidence=0.1))
    assert phantoms.anomalous(words("subtitles by somebody", each_s=0.02))
    assert phantoms.anomalous(words("well", each_s=4.0))
    assert not phantoms.anomalous(words("subtitles by somebody"))
    assert not phantoms.anomalous([*words("a b c"), *words("d", confidence=0.01)])
    assert not phantoms.anomalous([])


def test_stock_phrases_are_known_however_they_are_written() -> None:
    for text in ("Thank you.", " Thanks for watching!", "Subtitles by the Amara.org community"):
        assert phantoms.is_stock_phrase(text), text
    for text in ("Thank you, Anna.", "", "Why are you watching?"):
        assert not phantoms.is_stock_phrase(text), text
    assert all(phantoms.normalised(phrase) == phrase for phrase in phantoms.STOCK_PHRASES)


def test_the_reason_is_named() -> None:
    assert phantoms.doubt("and so on " * 20, []) == "repetition"
    assert phantoms.doubt("no no no", words("no no no", each_s=0.05)) == "repetition"
    assert phantoms.doubt("four words at once", words("four words at once", 0.01)) == "implausible"
    assert phantoms.doubt("Thank you.", words("Thank you.")) == "stock_phrase"
    assert phantoms.doubt("no no no", words("no no no")) is None
