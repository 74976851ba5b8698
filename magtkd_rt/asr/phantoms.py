"""Words that nobody said: a recogniser's signs of having made them up.

Pure functions on what a recogniser returned. Whether words lie where there was speech is judged
in `magtkd_rt.core.plausibility`, which knows where that was.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from magtkd_rt.core.jobs import Doubt, Word
from magtkd_rt.core.media import SAMPLE_RATE

_NO_SPEECH = 0.6
_LOW_LOGPROB = -1.0
_COMPRESSION = 2.4
"""Whisper's own limits (Radford et al. 2022, section 4.5)."""

_LONGEST_PHRASE = 4
_REPEATED = 3
_REPEATED_WORD = 10
_REPEATED_PHRASE = 6
_SHORTEST_WORD = round(0.12 * SAMPLE_RATE)
"""Samples that a person who repeats a word needs for it: "no no no" takes about 0.2 s each."""

_WORDS_PER_SECOND = 8.0
_WORDS_FOR_PACE = 4

_UNLIKELY = 0.15
_BRIEF_S, _BRIEF_WEIGHT = 0.133, 15.0
_LONG_S = 2.0

STOCK_PHRASES: Final = frozenset(
    {
        "you",
        "thank you",
        "thank you very much",
        "thank you for watching",
        "thanks for watching",
        "thank you so much for watching",
        "please subscribe",
        "please subscribe to my channel",
        "like and subscribe",
        "see you next time",
        "see you in the next video",
        "bye",
        "bye bye",
        "subtitles by the amara org community",
        "untertitel der amara org community",
        "untertitelung des zdf",
        "untertitel im auftrag des zdf für funk",
        "vielen dank fürs zuschauen",
        "sous titres réalisés par la communauté d amara org",
        "merci d avoir regardé cette vidéo",
        "subtítulos realizados por la comunidad de amara org",
        "gracias por ver el video",
        "sottotitoli creati dalla comunità amara org",
        "продолжение следует",
        "субтитры сделал dimatorzok",
        "ご視聴ありがとうございました",
        "請不吝點贊訂閱轉發打賞支持明鏡與點點欄目",
    }
)
"""What Whisper, which learnt from subtitles, says in silence and noise; normalised."""


@dataclass(frozen=True, slots=True)
class Run:
    """A phrase said several times in a row.

    Attributes:
        size: words of the phrase.
        count: how often it is said.
        first: index of its first word.
    """

    size: int
    count: int
    first: int

    @property
    def words(self) -> int:
        """Words of all repetitions together."""
        return self.size * self.count


def normalised(text: str) -> str:
    """Lower case, without punctuation, single spaces: what counts as the same text."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def silent(no_speech: float, logprob: float) -> bool:
    """Whether Whisper takes a segment for silence and does not believe in its words.

    Args:
        no_speech: probability of the token that says so.
        logprob: mean log-probability of the tokens.
    """
    return no_speech > _NO_SPEECH and logprob < _LOW_LOGPROB


def compressible(text: str) -> bool:
    """Whether a text repeats itself so much that zlib makes it much shorter, as Whisper judges."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) > _COMPRESSION if raw else False


def longest_run(words: Sequence[str]) -> Run | None:
    """The phrase of 1 to 4 words that is said most often in a row, at least three times.

    Args:
        words: normalised.
    """
    best: Run | None = None
    for size in range(1, _LONGEST_PHRASE + 1):
        first = 0
        while first + size * _REPEATED <= len(words):
            count = 1
            phrase = words[first : first + size]
            while words[first + count * size : first + (count + 1) * size] == phrase:
                count += 1
            run = Run(size, count, first)
            if count >= _REPEATED and (best is None or run.words > best.words):
                best = run
            first += 1 if count < _REPEATED else run.words
    return best


def looped(words: Sequence[Word]) -> bool:
    """Whether words repeat as a decoder does that is caught in a loop, not as a person does.

    A person says "no no no", which takes its time. A loop goes on, or its repetitions have no
    time: they are crowded where there was hardly any sound.
    """
    run = longest_run([normalised(word.text) for word in words])
    if run is None:
        return False
    most = _REPEATED_WORD if run.size == 1 else _REPEATED_PHRASE
    if run.count >= most:
        return True
    said = words[run.first : run.first + run.words]
    return said[-1].end - said[0].start < run.words * _SHORTEST_WORD


def hurried(words: Sequence[Word]) -> bool:
    """Whether there are more words than anybody could say in their time."""
    if len(words) < _WORDS_FOR_PACE:
        return False
    length = (words[-1].end - words[0].start) / SAMPLE_RATE
    return len(words) > length * _WORDS_PER_SECOND


def anomalous(words: Sequence[Word]) -> bool:
    """Whether the words are improbable, too brief or too long, all of them taken together.

    The score and its limit are those by which OpenAI's Whisper skips hallucinations
    (`word_anomaly_score` and `is_segment_anomaly` in its transcribe.py).
    """
    return bool(words) and sum(map(_anomaly, words)) + 0.01 >= len(words)


def is_stock_phrase(text: str) -> bool:
    """Whether a text is only what Whisper says in silence; people say it too, so never alone."""
    return normalised(text) in STOCK_PHRASES


def doubt(text: str, words: Sequence[Word]) -> Doubt | None:
    """Why a text may be made up, or None where nothing says so.

    Args:
        text: of an utterance.
        words: the same with times; empty where those are not known.
    """
    if compressible(text) or looped(words):
        return "repetition"
    if hurried(words) or anomalous(words):
        return "implausible"
    return "stock_phrase" if is_stock_phrase(text) else None


def _anomaly(word: Word) -> float:
    length = (word.end - word.start) / SAMPLE_RATE
    improbable = 1.0 if word.confidence < _UNLIKELY else 0.0
    return improbable + max(0.0, _BRIEF_S - length) * _BRIEF_WEIGHT + max(0.0, length - _LONG_S)
