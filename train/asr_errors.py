"""Spoil clean text the way a speech recogniser does.

Words are dropped, cut off at an end, or swapped for words of similar sound; case and
punctuation, which recognisers such as pocketsphinx do not give, are removed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from random import Random

import pocketsphinx

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


@lru_cache(maxsize=1)
def _pronunciations() -> dict[str, tuple[str, ...]]:
    """CMU dictionary as pocketsphinx ships it: word -> phones."""
    path = Path(pocketsphinx.get_model_path()) / "en-us" / "cmudict-en-us.dict"
    words = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *phones = line.split()
        if "(" not in word:
            words[word] = tuple(phones)
    return words


class RecogniserErrors:
    """Spoils text; a word is swapped only for one of `vocabulary` that differs by about a phone."""

    def __init__(self, vocabulary: set[str]) -> None:
        known = _pronunciations()
        self._phones = {word: known[word] for word in sorted(vocabulary) if word in known}
        self._near: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for word, phones in self._phones.items():
            for key in _one_phone_away(phones):
                self._near[key].append(word)

    @classmethod
    def of(cls, texts: list[str]) -> RecogniserErrors:
        """Take the vocabulary from texts."""
        return cls({word for text in texts for word in _WORD.findall(plain(text))})

    def similar(self, word: str, random: Random) -> str:
        """A word that sounds like `word`, or `word` where the vocabulary has none."""
        phones = self._phones.get(word)
        if phones is None:
            return word
        others = {w for key in _one_phone_away(phones) for w in self._near[key]} - {word}
        return random.choice(sorted(others)) if others else word

    def spoil(self, text: str, rate: float, random: Random) -> str:
        """Plain words of `text`, about `rate` of them wrong. May come out empty."""
        words = _WORD.findall(plain(text))
        spoiled = []
        for word in words:
            if random.random() >= rate:
                spoiled.append(word)
            elif random.random() < 0.6:
                spoiled.append(self.similar(word, random))
            # otherwise the word is dropped
        if spoiled and random.random() < rate / 2:
            keep = random.randint(1, len(spoiled))
            spoiled = spoiled[:keep] if random.random() < 0.5 else spoiled[-keep:]
        return " ".join(spoiled)


def plain(text: str) -> str:
    """Lower case, straight quotes: the form recognisers give, punctuation still there."""
    return text.lower().replace("’", "'")


def _one_phone_away(phones: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Keys two words share if they differ by one phone: the word with any one phone left out."""
    return {phones} | {phones[:i] + phones[i + 1 :] for i in range(len(phones)) if len(phones) > 1}
