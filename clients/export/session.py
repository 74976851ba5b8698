"""What an export knows of a session: each utterance with its last valid result."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from magtkd_rt import wire
from magtkd_rt.labels import LABELS

MODALITIES: Final[tuple[wire.ModalityName, ...]] = ("text", "audio", "video")

_FORBIDDEN: Final = {
    # Surrogates and noncharacters, which UTF-8 or XML cannot hold.
    **dict.fromkeys([*range(0xD800, 0xE000), 0xFFFE, 0xFFFF], "\ufffd"),
    # What would turn round the text that stands after it.
    **dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], ""),
    **{code: " " for code in range(0xA0) if unicodedata.category(chr(code)) == "Cc"},
}


def plain(text: str) -> str:
    """Text of others as one line that every format can hold: no control characters."""
    return " ".join(text.translate(_FORBIDDEN).split())


@dataclass(frozen=True)
class Utterance:
    """One utterance.

    Attributes:
        emotion: its last result; a provisional one only where the file ends before the final one.
        words: its words with their times, seconds; empty where there are none.
    """

    emotion: wire.Emotion
    words: Sequence[wire.WireWord] = ()

    @property
    def provisional(self) -> bool:
        """The file ends before its final result."""
        return self.emotion.stage == "provisional"

    @property
    def revised(self) -> bool:
        """What followed changed it."""
        return self.emotion.stage == "revised"

    @cached_property
    def text(self) -> str:
        """Its words in one line; may be empty."""
        return plain(self.emotion.text)

    @cached_property
    def speaker(self) -> str:
        """Who spoke; `S?` where nobody knows."""
        return plain(self.emotion.speaker) or "S?"

    @cached_property
    def label(self) -> str:
        """The expression's name."""
        return plain(self.emotion.label) or "?"

    @cached_property
    def marked_label(self) -> str:
        """The label, with a question mark where the confidence is too low, and what it is."""
        mark = "?" if self.emotion.abstained else ""
        return f"{self.label}{mark}{', provisional' if self.provisional else ''}"


@dataclass(frozen=True)
class Session:
    """One session as its events tell it.

    Attributes:
        session_id: its name.
        started: its first event; None where the file begins later.
        ended: its last event; None where the file was cut short.
        utterances: those with a result, by their beginning.
        dropped: those that ended without one.
        unfinished: how many began, and neither ended nor got a provisional result by then.
        statuses: what the system said of itself.
        missing: events between the first and the last that the file does not hold.
    """

    session_id: str
    started: wire.SessionStarted | None
    ended: wire.SessionEnded | None
    utterances: Sequence[Utterance]
    dropped: Sequence[wire.UtteranceDropped]
    unfinished: int
    statuses: Sequence[wire.Status]
    missing: int

    @property
    def cut_short(self) -> bool:
        """The file ends before the session does."""
        return self.ended is None

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The names of the expressions in the bundle's order; the usual ones if none are told."""
        names = list(self.started.labels) if self.started else []
        seen = {name for item in self.utterances for name in item.emotion.probabilities}
        seen |= {item.emotion.label for item in self.utterances}
        known = [name for name in LABELS if name in seen and name not in names]
        others = sorted(seen.difference(names, known))
        return tuple(dict.fromkeys([*names, *known, *others])) or LABELS

    @cached_property
    def speakers(self) -> tuple[str, ...]:
        """Who spoke, by first appearance."""
        return tuple(dict.fromkeys(item.speaker for item in self.utterances))

    @cached_property
    def duration(self) -> float:
        """Seconds that are known of."""
        ends = [item.emotion.end for item in self.utterances]
        return max([*ends, self.ended.t if self.ended else 0.0, 0.0])
