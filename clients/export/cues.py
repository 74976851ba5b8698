"""Utterances as subtitles: short texts, each with a time of its own."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

from magtkd_rt.clients.export.session import Session, Utterance, plain

LINE: Final = 42
"""Characters of a line, as subtitles usually have them."""
LINES: Final = 2
NO_WORDS: Final = "[no words]"

_SHORTEST_MS: Final = 200
_READABLE_MS: Final = 700
"""A cue that is to give way to the next one is seen so long at least."""
_TOGETHER: Final = 2 * LINES
"""So many lines are shown at once where people speak at the same time."""


@dataclass(frozen=True)
class Cue:
    """One subtitle.

    Attributes:
        start: milliseconds.
        end: milliseconds, later than `start`.
        lines: what is shown, without mark-up; `LINES` of them at most.
        utterance: what it belongs to.
        part: 0 for the first cue of an utterance.
    """

    start: int
    end: int
    lines: tuple[str, ...]
    utterance: Utterance
    part: int = 0


def cues_of(session: Session, *, speaker: bool) -> Iterator[Cue]:
    """Yield the cues of a session by their start.

    Those of one utterance follow one another; those of people who speak at the same time overlap.

    Args:
        session: what was said.
        speaker: begin an utterance with its speaker, too, and not only with its label.
    """
    cues = [cue for item in session.utterances for cue in _cues(item, speaker=speaker)]
    yield from sorted(cues, key=lambda cue: (cue.start, cue.end))


def one_at_a_time(cues: Sequence[Cue]) -> list[Cue]:
    """The same cues for players that show one at a time: none begins before the last one's end.

    A cue gives way to the next one once it was seen for a moment. Two that begin at about the
    same time are shown together; where there are even more, they are shown one after the other.
    """
    shown: list[Cue] = []
    for cue in cues:
        last = shown[-1] if shown else None
        if last is None or cue.start >= last.end:
            shown.append(cue)
        elif cue.start - last.start >= _READABLE_MS:
            shown[-1:] = [replace(last, end=cue.start), cue]
        elif len(last.lines) + len(cue.lines) <= _TOGETHER:
            shown[-1] = replace(last, lines=last.lines + cue.lines, end=max(last.end, cue.end))
        else:
            later = min(last.end, last.start + _READABLE_MS)
            end = max(cue.end, later + _SHORTEST_MS)
            shown[-1:] = [replace(last, end=later), replace(cue, start=later, end=end)]
    return shown


def _cues(item: Utterance, *, speaker: bool) -> Iterator[Cue]:
    said = f"{item.speaker} ({item.marked_label}):" if speaker else f"({item.marked_label})"
    lines = _wrap(f"{said} {item.text or NO_WORDS}")
    texts = [tuple(lines[place : place + LINES]) for place in range(0, len(lines), LINES)]
    begins = [0, *accumulate(_letters(*text) for text in texts)]
    times = _by_words(item, begins, _letters(said)) or _by_letters(item, begins)
    for part, (text, (start, end)) in enumerate(zip(texts, pairwise(times), strict=True)):
        yield Cue(start, end, text, item, part)


def _wrap(text: str) -> list[str]:
    """As few lines of `LINE` characters as will do, all about as long; a longer word is cut."""
    words = re.findall(rf"\S{{1,{LINE}}}", text)
    lines = _fill(words, LINE)
    for width in range(LINE - 1, LINE // 2, -1):
        narrower = _fill(words, width)
        if len(narrower) > len(lines):
            break
        lines = narrower
    return lines


def _fill(words: list[str], width: int) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _letters(*texts: str) -> int:
    """How many characters are no space."""
    return sum(len(text) - text.count(" ") for text in texts)


def _by_letters(item: Utterance, begins: list[int]) -> list[int]:
    """When each part of an utterance begins, and when the last one ends: milliseconds.

    Args:
        item: what was said.
        begins: the letters before each part, and all of them.
    """
    start, end = _span(item)
    end = max(end, start + _SHORTEST_MS * (len(begins) - 1))
    return [start + (end - start) * count // begins[-1] for count in begins]


def _by_words(item: Utterance, begins: list[int], before: int) -> list[int]:
    """The same by the times of the words; empty where those do not fit the text.

    Args:
        item: what was said.
        begins: as for `_by_letters`.
        before: the letters of the speaker and the label, before the first word.
    """
    start, end = _span(item)
    ends = list(accumulate(_letters(plain(word.text)) for word in item.words))
    if not ends or ends[-1] != begins[-1] - before:
        return []
    firsts = [bisect_right(ends, letters - before) for letters in begins[1:-1]]
    times = [start, *(round(item.words[first].start * 1000) for first in firsts), end]
    fits = all(later - earlier >= _SHORTEST_MS for earlier, later in pairwise(times))
    return times if fits else []


def _span(item: Utterance) -> tuple[int, int]:
    return round(item.emotion.start * 1000), round(item.emotion.end * 1000)


def timestamp(ms: int, separator: str) -> str:
    """`HH:MM:SS` and the milliseconds after the separator."""
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{separator}{ms:03d}"
