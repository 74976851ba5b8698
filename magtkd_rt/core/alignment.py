"""Puts the sound of several channels in one order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import WINDOW, HeardSound, mean_power


@dataclass(frozen=True, slots=True)
class HeardWindow:
    """One window of one channel.

    Attributes:
        channel: which channel, from 0.
        start: index of the first sample.
        samples: float32 (WINDOW,).
        speech: the probability of speech.
        power: see `mean_power`.
        voice: the print that ends with it, if there is one.
    """

    channel: int
    start: int
    samples: NDArray[np.float32]
    speech: float
    power: float
    voice: NDArray[np.float32] | None = None


class WindowMerge:
    """Orders the windows of all channels by time, so that it does not matter who came first.

    A window waits until every channel has come as far; but for no longer than `patience`
    samples of the channel that is furthest, so that a dead channel cannot hold up the others.

    Args:
        channels: channels that are expected from the beginning; more may appear.
        patience: samples.
    """

    def __init__(self, channels: int, patience: int) -> None:
        self._patience = patience
        self._waiting: dict[int, deque[HeardWindow]] = {c: deque() for c in range(channels)}
        self._reached: dict[int, int] = dict.fromkeys(range(channels), 0)

    def add(self, sound: HeardSound) -> int:
        """Take sound; returns how many windows came too late, since that time was heard before."""
        queue = self._waiting.setdefault(sound.channel, deque())
        reached = self._reached.get(sound.channel, 0)
        count = len(sound.speech)
        late = min(count, max(0, reached - sound.start) // WINDOW)
        windows = sound.samples.reshape(count, WINDOW)
        voices = {voice.end: voice.vector for voice in sound.voices}
        for n in range(late, count):
            start = sound.start + n * WINDOW
            samples, voice = windows[n], voices.get(start + WINDOW)
            speech, power = float(sound.speech[n]), mean_power(samples)
            queue.append(HeardWindow(sound.channel, start, samples, speech, power, voice))
        self._reached[sound.channel] = max(reached, sound.start + count * WINDOW)
        return late

    def ready(self) -> Iterator[HeardWindow]:
        """Windows whose turn has come, in order of time, then channel."""
        while (window := self._first()) is not None:
            waits_for_others = any(
                not queue and (self._reached[channel], channel) < (window.start, window.channel)
                for channel, queue in self._waiting.items()
            )
            if waits_for_others and self.furthest - window.start <= self._patience:
                return
            yield self._waiting[window.channel].popleft()

    def until(self, position: int) -> Iterator[HeardWindow]:
        """Windows before sample `position`, in order, without waiting for other channels."""
        while (window := self._first()) is not None and window.start < position:
            yield self._waiting[window.channel].popleft()

    def rest(self) -> Iterator[HeardWindow]:
        """All windows that still wait, in order."""
        while (window := self._first()) is not None:
            yield self._waiting[window.channel].popleft()

    @property
    def furthest(self) -> int:
        """Sample after the newest sound of any channel."""
        return max(self._reached.values())

    def reached(self, channel: int) -> int:
        """Sample after the newest sound of a channel."""
        return self._reached[channel]

    def reach(self, channel: int, position: int) -> None:
        """Sound of this channel before sample `position` would come too late from now on."""
        self._reached[channel] = max(self._reached[channel], position)

    def _first(self) -> HeardWindow | None:
        heads = [queue[0] for queue in self._waiting.values() if queue]
        return min(heads, key=lambda window: (window.start, window.channel), default=None)
