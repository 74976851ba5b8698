"""What two hypotheses agree on."""

from __future__ import annotations

from magtkd_rt.asr.agreement import agreed
from magtkd_rt.core.jobs import Doubt, Transcribed, Word


def hypothesis(text: str, doubt: Doubt | None = None) -> Transcribed:
    words = tuple(Word(w, at * 100, at * 100 + 90, 0.1 * at) for at, w in enumerate(text.split()))
    return Transcribed(text, words, 0.7, language="en", final=True, doubt=doubt)


def test_the_common_beginning_counts() -> None:
    one = hypothesis("ask not what you")
    other = hypothesis("Ask not, what your country")
    both = agreed(one, other)
    assert both.text == "Ask not, what"
    assert both.words == (other.words or ())[:3]
    assert both.confidence == sum((0.0, 0.1, 0.2)) / 3
    assert not both.final
    assert both.language == "en"


def test_nothing_is_agreed_on_with_nothing() -> None:
    words = hypothesis("ask not")
    for nothing in (
        agreed(None, words),
        agreed(hypothesis(""), words),
        agreed(words, hypothesis("")),
    ):
        assert (nothing.text, nothing.words, nothing.confidence) == ("", (), 0)
    assert agreed(words, hypothesis("and so")).text == ""
    assert agreed(words, words).text == "ask not"
    assert agreed(words, hypothesis("", doubt="no_speech")).doubt is None


def test_words_that_are_not_parted_by_spaces() -> None:
    words = tuple(Word(part, at, at + 1, 0.9) for at, part in enumerate(("ご", "視聴", "あり")))
    one = Transcribed("ご視聴あり", words, 0.9, language="ja", final=True)
    other = Transcribed("ご視聴", words[:2], 0.9, language="ja", final=True)
    assert agreed(other, one).text == "ご視聴"
