"""Puts media of several sources in one order: windows of all channels, faces beside speech."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import WINDOW, HeardSound, SeenFace, samples_to_ns


@dataclass(frozen=True, slots=True)
class HeardWindow:
    """One window of one channel: `samples` is float32 (WINDOW,), `voice` what ends with it."""

    channel: int
    start: int
    samples: NDArray[np.float32]
    speech: float
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
            voice = voices.get(start + WINDOW)
            queue.append(
                HeardWindow(sound.channel, start, windows[n], float(sound.speech[n]), voice)
            )
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


class FaceTrack:
    """The faces seen lately, kept for utterances that are not over yet.

    Args:
        capacity: faces kept at most; the oldest gives way.
    """

    def __init__(self, capacity: int) -> None:
        self._faces: deque[SeenFace] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self._faces)

    def add(self, face: SeenFace) -> bool:
        """Keep a face, if one was seen; returns whether an older one had to give way."""
        if face.crop is None:
            return False
        full = len(self._faces) == self._faces.maxlen
        self._faces.append(face)
        return full

    def forget_before(self, sample: int) -> None:
        """No utterance needs faces before this sample any more."""
        limit = samples_to_ns(sample)
        while self._faces and self._faces[0].time_ns < limit:
            self._faces.popleft()

    def choose(self, start: int, end: int, count: int) -> NDArray[np.uint8] | None:
        """At most `count` faces spread evenly over those of samples `start` to `end`.

        Returns:
            uint8 (n, 48, 48) in order of time, 1 <= n <= count, or None if no face was seen.
        """
        first, after = samples_to_ns(start), samples_to_ns(end)
        seen = [face for face in self._faces if first <= face.time_ns < after]
        seen.sort(key=lambda face: face.time_ns)
        crops = [seen[n].crop for n in spread(len(seen), count)]
        return np.stack([crop for crop in crops if crop is not None]) if crops else None


def spread(available: int, count: int) -> list[int]:
    """`count` of the numbers below `available`: the middles of equal parts; all if there are few.

    >>> spread(16, 4)
    [2, 6, 10, 14]
    """
    if available <= count:
        return list(range(available))
    return [(2 * n + 1) * available // (2 * count) for n in range(count)]
