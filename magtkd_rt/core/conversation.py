"""Who has spoken, and what was said lately."""

from __future__ import annotations

from collections import deque

from magtkd_rt.core.jobs import Turn


class Conversation:
    """Speakers by first appearance, and a rolling window of turns.

    Args:
        turns: how many turns are remembered.
        channels_are_speakers: each channel is a speaker of its own; else all is one speaker.
    """

    def __init__(self, turns: int, *, channels_are_speakers: bool) -> None:
        self._turns: deque[Turn] = deque(maxlen=turns)
        self._channels_are_speakers = channels_are_speakers
        self._speakers: dict[int, int] = {}

    def speaker(self, channel: int) -> int:
        """Number of the speaker heard on a channel, from 0."""
        key = channel if self._channels_are_speakers else 0
        return self._speakers.setdefault(key, len(self._speakers))

    def say(self, speaker: int, text: str) -> tuple[Turn, ...]:
        """Add a turn; returns the window, oldest first, that turn last."""
        self._turns.append(Turn(speaker, text))
        return tuple(self._turns)

    def would_say(self, speaker: int, text: str) -> tuple[Turn, ...]:
        """The window as `say` would return it; nothing is added."""
        room = self._turns.maxlen or 0
        return (*self._turns, Turn(speaker, text))[-room:]


def speaker_name(speaker: int | None) -> str:
    """The speaker's name on the wire: S1, S2, ...; S? where it is not sure who spoke."""
    return "S?" if speaker is None else f"S{speaker + 1}"
