"""One channel of sound: an utterance ends by a pause, its length, or a change of speaker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import VOICE_HOP, WINDOW, HeardSound
from magtkd_rt.core.segmenter import Segmenter
from magtkd_rt.core.speakers import Speakers, Vector, Verdict
from magtkd_rt.core.steps import Closed, Opened, Step
from magtkd_rt.core.turns import TurnFinder


class Channel:
    """A segmenter and, where voices count, a finder of turns beside it.

    Args:
        segmenter: of the channel.
        turns: of the channel; None where voices do not count.
    """

    def __init__(self, segmenter: Segmenter, turns: TurnFinder | None) -> None:
        self._segmenter = segmenter
        self._turns = turns
        self._split = False  # the utterance that opens next goes on with the turn of the last
        if turns is not None:
            segmenter.settle(0)

    @property
    def position(self) -> int:
        """Sample at which the next window is expected."""
        return self._segmenter.position

    @property
    def earliest(self) -> int:
        """No utterance that is still to be closed begins before this sample."""
        return self._segmenter.earliest

    @property
    def busy(self) -> bool:
        """Whether an utterance is open or may be about to open."""
        return self._segmenter.busy

    def push(
        self,
        samples: NDArray[np.float32],
        probability: float,
        voice: Vector | None,
        power: float | None = None,
    ) -> list[Step]:
        """Take the next window as `Segmenter.push` does, and the print that ends with it."""
        steps = self._follow(self._segmenter.push(samples, probability, power))
        window = self._segmenter.position // WINDOW
        if self._turns is None or window % VOICE_HOP:
            return steps
        change = self._turns.hear(window, voice)
        if change is not None:
            cut = self._segmenter.cut(change.first, change.after)
            if cut:
                steps += self._follow(cut, changed=True)
            else:  # what came before was too short for an utterance: the turn is the later voice's
                self._turns.begin(change.after, changed=True)
        self._segmenter.settle(self._turns.settled)
        return steps

    def silence_until(self, position: int) -> list[Step]:
        """Take the sound up to sample `position` (a multiple of WINDOW) as silent."""
        return self._follow(self._segmenter.silence_until(position))

    def flush(self) -> list[Step]:
        """No more sound comes: close what is open."""
        return self._follow(self._segmenter.flush())

    def _follow(self, steps: list[Step], *, changed: bool = False) -> list[Step]:
        """Tell the finder of turns what the segmenter did, and the steps whose voice it was."""
        if self._turns is None:
            return steps
        return [self._follow_step(step, self._turns, changed) for step in steps]

    def _follow_step(self, step: Step, turns: TurnFinder, changed: bool) -> Step:
        if isinstance(step, Closed):
            self._split = step.split
            voice = turns.voice(step.sound.start // WINDOW, step.sound.end // WINDOW)
            if voice is not None:  # a print may hold more pause than speech
                voice = replace(voice, windows=min(voice.windows, step.speech_windows))
            return replace(step, voice=voice)
        if isinstance(step, Opened):
            if not self._split:
                turns.begin(step.start // WINDOW, changed=changed)
            self._split = False
            return replace(step, changed=changed)
        return step


def heard_alone(
    channel: Channel, sounds: Iterable[HeardSound], speakers: Speakers
) -> Iterator[tuple[Closed, bool, Verdict]]:
    """Push all sound of a channel.

    Yields:
        each utterance that is over, whether a change began it, and whose it is by its prints.
    """
    changed, before = False, None
    for step in _steps(channel, sounds):
        if isinstance(step, Opened):
            changed = step.changed
        elif isinstance(step, Closed):
            verdict = speakers.judge(step.voice, not_speaker=before if changed else None)
            before = verdict.guess
            yield step, changed, verdict


def _steps(channel: Channel, sounds: Iterable[HeardSound]) -> Iterator[Step]:
    for heard in sounds:
        prints = {voice.end: voice.vector for voice in heard.voices}
        yield from channel.silence_until(heard.start)
        for number, samples in enumerate(heard.samples.reshape(-1, WINDOW)):
            end = heard.start + (number + 1) * WINDOW
            yield from channel.push(samples, float(heard.speech[number]), prints.get(end))
    yield from channel.flush()
