"""Cuts the sound of one channel into utterances, from its speech probabilities.

Four states in two bits: nothing, a candidate (some speech, too little to announce), an open
utterance in speech, an open utterance in a pause. Window numbers count from media zero; samples
appear only at the edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import WINDOW, AudioChunk, mean_power
from magtkd_rt.core.steps import Closed, Grown, Opened, SoFar, Step

_SMOOTH = 2  # windows either side of a cut that are judged: 128 ms tell a pause from a plosive
_PASSED = 4  # windows after which a place was the quietest around
_CLEARLY = 0.5  # what a place has to be quieter than usual
_QUIETEST = 1 / 20  # share of places as quiet as one that will do, at the limit
_CANDIDATE_PAUSE = 2  # windows: the closure of a stop consonant right after the onset
_DECIBELS_PER_PROBABILITY = 40.0  # how the two signs of quiet are weighed against each other


@dataclass(frozen=True, slots=True)
class SegmenterConfig:
    """When speech begins, pauses and ends. Lengths are in windows of 32 ms.

    Attributes:
        enter: speech probability from which a window counts as speech.
        leave: probability under which running speech becomes a pause.
        min_speech: windows of speech before an utterance is announced; less is a click, and so
            are several with more pause than speech among them.
        hangover: windows of pause after which an utterance is over.
        long_hangover: the same for an utterance longer than `long_from`: a shorter breath does.
        long_from: see `long_hangover`.
        preroll: windows kept before the first window of speech.
        tail: windows kept after the last window of speech.
        longest: windows after which an utterance is split, everything included.
        split_search: a split is looked for from this many windows before that.
        split_within: it lies at most this many windows back, so that a result is soon known.
        group: windows that are handed to the transcriber at a time.
        first_look: windows of speech before the first `SoFar`.
        look_every: windows from one `SoFar` to the next while speech goes on.
        pause_look: windows of pause after which a `SoFar` tells what the utterance will have been.
    """

    enter: float = 0.5
    leave: float = 0.35
    min_speech: int = 8
    hangover: int = 16
    long_hangover: int = 8
    long_from: int = 156
    preroll: int = 5
    tail: int = 5
    longest: int = 312
    split_search: int = 125
    split_within: int = 24
    group: int = 8
    first_look: int = 22
    look_every: int = 31
    pause_look: int = 6

    def __post_init__(self) -> None:
        if not 0 < self.leave <= self.enter <= 1:
            raise ValueError("0 < leave <= enter <= 1 is wanted")
        if min(self.min_speech, self.hangover, self.long_hangover, self.group) < 1:
            raise ValueError("min_speech, hangover, long_hangover and group must be 1 or more")
        if self.preroll < 0 or not 0 <= self.tail <= min(self.hangover, self.long_hangover):
            raise ValueError("preroll and tail must not be negative, nor tail beyond the hang-over")
        if not 2 * _SMOOTH < self.split_within <= self.split_search <= self.longest // 2:
            raise ValueError(
                f"split_within must be above {2 * _SMOOTH}, at most split_search, that at most "
                "half of longest"
            )
        if self.first_look < self.min_speech or self.look_every < 1 or self.pause_look < self.tail:
            raise ValueError(
                "first_look, look_every and pause_look must be from min_speech, 1, tail"
            )


class Segmenter:
    """The utterances of one channel.

    Memory is one ring of `longest` windows and a few; nothing grows with the session.
    """

    def __init__(self, config: SegmenterConfig, channel: int) -> None:
        self._config = config
        self._channel = channel
        self._size = config.longest + config.preroll + 2 * _SMOOTH
        self._sound = np.zeros((self._size, WINDOW), np.float32)
        self._probability = np.zeros(self._size, np.float64)
        self._voiced = np.zeros(self._size, np.bool_)
        self._quiet = np.zeros(self._size, np.float64)
        self._loud = np.zeros(self._size, np.float64)  # `_loudness` of places for a split
        self._next = 0
        self._floor = 0  # no utterance may begin before this window
        self._in_speech = False
        self._start: int | None = None  # of the candidate or open utterance
        self._open = False
        self._first_speech = 0  # first window of speech since _start
        self._speech = 0  # windows of speech since _start
        self._last_speech = 0  # window after the last one of speech
        self._fed = 0
        self._next_look = 0  # no SoFar before this window, but for pauses
        self._cut: int | None = None  # quietest place for a split of late
        self._settled: int | None = None  # no cut from outside comes before this window

    @property
    def position(self) -> int:
        """Sample at which the next window is expected."""
        return self._next * WINDOW

    @property
    def earliest(self) -> int:
        """No utterance that is still to be closed begins before this sample."""
        if self._start is not None:
            return self._start * WINDOW
        return max(self._floor, self._next - self._config.preroll) * WINDOW

    @property
    def busy(self) -> bool:
        """Whether an utterance is open or may be about to open."""
        return self._start is not None

    def push(
        self, samples: NDArray[np.float32], probability: float, power: float | None = None
    ) -> list[Step]:
        """Take the next window, float32 (WINDOW,), and its speech probability.

        Where its `mean_power` is known already it is not computed again.
        """
        config, window = self._config, self._next
        self._store(samples, probability, mean_power(samples) if power is None else power)
        if self._voiced[window % self._size]:
            if self._start is None:
                self._begin(max(self._floor, window - config.preroll))
                self._first_speech = window
            self._speech += 1
            self._last_speech = window + 1
        if self._start is None:
            return []
        steps: list[Step] = []
        if not self._open and self._speech >= config.min_speech:
            self._open = True
            steps.append(Opened(self._channel, self._start * WINDOW))
        self._judge_cut()
        length = self._next - self._start
        hangover = config.long_hangover if length > config.long_from else config.hangover
        if self._next - self._last_speech >= hangover or self._only_clicks():
            steps += self._finish()
        elif length >= config.longest or self._quiet_enough():
            steps += self._split()
        else:
            steps += self._grow()
            steps += self._look()
        return steps

    def settle(self, window: int) -> None:
        """`cut` will not be asked for a place before this window; sound after it is held back.

        Never called, nothing is held back. Nor is what comes before a pause.
        """
        self._settled = window

    def cut(self, first: int, after: int) -> list[Step]:
        """End the open utterance at the quietest of windows `first` to `after`, begin the next.

        Nothing happens where one of the two would hold less speech than an utterance needs.
        """
        if not self._open:
            return []
        first = max(first, self._start_window + self._config.min_speech)
        after = min(after, self._last_speech - self._config.min_speech)
        places = [n for n in range(first, after) if self._enough_speech(n)]
        if not places:
            return []
        return self._cut_at(min(places, key=self._loudness), split=False)

    def silence_until(self, position: int) -> list[Step]:
        """Take the sound up to sample `position` (a multiple of WINDOW) as silent."""
        steps: list[Step] = []
        silent = np.zeros(WINDOW, np.float32)
        while self._next * WINDOW < position and self.busy:
            steps += self.push(silent, 0.0)
        if self._next * WINDOW < position:
            self._next = self._floor = position // WINDOW
            self._in_speech = False
        return steps

    def flush(self) -> list[Step]:
        """No more sound comes: close what is open."""
        return self._finish() if self._start is not None else []

    def _store(self, samples: NDArray[np.float32], probability: float, power: float) -> None:
        slot = self._next % self._size
        self._sound[slot] = samples
        decibels = 10 * np.log10(power + 1e-10)
        self._probability[slot] = probability
        self._quiet[slot] = probability + decibels / _DECIBELS_PER_PROBABILITY
        threshold = self._config.leave if self._in_speech else self._config.enter
        self._in_speech = self._voiced[slot] = probability >= threshold
        self._next += 1

    def _begin(self, start: int) -> None:
        self._start = self._fed = start
        self._open = False
        self._speech = 0
        self._next_look = 0
        self._cut = None

    def _only_clicks(self) -> bool:
        """Whether a candidate has turned out to be more pause than speech."""
        pause = self._next - self._first_speech - self._speech
        return not self._open and pause > self._speech + _CANDIDATE_PAUSE

    def _first_cut(self) -> int:
        """First window at which the utterance may be split."""
        return self._start_window + self._config.longest - self._config.split_search

    def _judge_cut(self) -> None:
        """Judge the newest place that can be, and find the quietest for a split of late."""
        place = self._next - _SMOOTH
        self._loud[place % self._size] = self._loudness(place)
        first = max(self._first_cut(), self._next - self._config.split_within)
        if first <= place:
            lately = self._loud[self._slots(first, place + 1)]
            self._cut = place - int(np.argmin(lately[::-1]))

    def _quiet_enough(self) -> bool:
        """Whether to split already: the nearer the limit, the more will do.

        A place is compared with those before the search: first with the quietest of them, in the
        end with the quietest twentieth. While the voice rests, it may yet be the utterance's end.
        """
        cut = self._cut
        if cut is None or self._next - cut < _PASSED or self._last_speech < self._next:
            return False
        first = self._first_cut()
        before = self._loud[self._slots(self._start_window + self._config.preroll, first)]
        searched = (self._next - first) / self._config.split_search
        quietest, usual = np.quantile(before, (searched * _QUIETEST, 0.5))
        return bool(self._loud[cut % self._size] < min(quietest, usual - _CLEARLY))

    def _grow(self) -> list[Step]:
        """Hand out sound that neither a split nor an end can take away any more."""
        if not self._open:
            return []
        sure = self._sure()
        if self._settled is not None:
            sure = min(sure, self._settled)
        steps: list[Step] = []
        while sure - self._fed > self._config.group:
            steps.append(self._grown(self._fed + self._config.group))
        return steps

    def _sure(self) -> int:
        """The window before which neither a split nor an end can take anything away any more."""
        sure = min(self._next, self._last_speech + self._config.tail)
        first_cut = self._first_cut()
        if self._next >= first_cut:
            sure = min(sure, first_cut if self._cut is None else self._cut)
        return sure

    def _grown(self, after: int, *, paused: bool = False) -> Grown:
        first, self._fed = self._fed, after
        heard = max(after, min(self._next, self._last_speech + self._config.tail))
        ahead = None if paused else self._chunk(after, heard)
        return Grown(self._chunk(first, after), paused, ahead)

    def _look(self) -> list[Step]:
        """See whether it is time to tell what there is so far."""
        if not self._open:
            return []
        pause = self._next - self._last_speech
        if pause == self._config.pause_look:
            end = self._last_speech + self._config.tail
            grown = self._grown(max(self._fed, self._sure()), paused=True)
            return [grown, self._so_far(end, paused=True)]
        if pause or self._speech < self._config.first_look or self._next < self._next_look:
            return []
        self._next_look = self._next + self._config.look_every
        return [self._so_far(self._next, paused=False)]

    def _so_far(self, end: int, *, paused: bool) -> SoFar:
        count, mean = self._speech_until(end)
        return SoFar(self._chunk(self._start_window, end), paused, count, mean)

    def _finish(self) -> list[Step]:
        """End at the last speech and its tail; a candidate was a click and vanishes."""
        end = min(self._next, self._last_speech + self._config.tail)
        steps: list[Step] = []
        if self._open:
            steps.append(self._closed(end, split=False))
            self._floor = end
        self._start, self._open = None, False
        return steps

    def _split(self) -> list[Step]:
        cut = self._cut
        if not self._open or cut is None or cut >= self._last_speech:
            return self._finish()
        return self._cut_at(cut, split=True)

    def _cut_at(self, cut: int, *, split: bool) -> list[Step]:
        newest_speech = self._last_speech
        self._last_speech = cut
        steps: list[Step] = [self._closed(cut, split=split)]
        self._floor = cut
        self._begin(cut)
        self._last_speech = newest_speech
        voiced = self._voiced[self._slots(cut, self._next)]
        self._first_speech = cut + int(np.argmax(voiced))
        self._speech = int(np.count_nonzero(voiced))
        if self._speech >= self._config.min_speech:
            self._open = True
            steps.append(Opened(self._channel, cut * WINDOW))
            steps += self._grow()
        return steps

    def _loudness(self, cut: int) -> float:
        """How much like speech, and how loud, the sound around a place is."""
        around = self._slots(cut - _SMOOTH, min(cut + _SMOOTH, self._next))
        return float(np.mean(self._quiet[around]))

    def _enough_speech(self, cut: int) -> bool:
        """Whether there is an utterance's worth of speech on either side of a place."""
        before = np.count_nonzero(self._voiced[self._slots(self._start_window, cut)])
        after = np.count_nonzero(self._voiced[self._slots(cut, self._next)])
        return bool(min(before, after) >= self._config.min_speech)

    @property
    def _start_window(self) -> int:
        assert self._start is not None
        return self._start

    def _closed(self, end: int, *, split: bool) -> Closed:
        count, mean = self._speech_until(end)
        again = end < self._fed
        return Closed(
            sound=self._chunk(self._start_window, end),
            rest=self._chunk(self._start_window if again else self._fed, end),
            last_speech=min(self._last_speech, end) * WINDOW,
            voiced=self._voiced[self._slots(self._start_window, end)],
            speech_windows=count,
            mean_speech=mean,
            split=split,
            again=again,
        )

    def _speech_until(self, end: int) -> tuple[int, float]:
        """How many of the utterance's windows before `end` are speech, and how surely."""
        slots = self._slots(self._start_window, end)
        voiced = self._voiced[slots]
        count = int(np.count_nonzero(voiced))
        return count, float(np.mean(self._probability[slots][voiced])) if count else 0.0

    def _chunk(self, start: int, end: int) -> AudioChunk:
        samples = self._sound[self._slots(start, end)].reshape(-1)
        samples.flags.writeable = False
        return AudioChunk(self._channel, start * WINDOW, samples)

    def _slots(self, start: int, end: int) -> NDArray[np.int64]:
        return np.arange(start, end) % self._size
