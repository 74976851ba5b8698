"""What the segmenter says of an utterance, from its opening to its close."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import AudioChunk
from magtkd_rt.core.speakers import Voice


@dataclass(frozen=True, slots=True)
class Opened:
    """An utterance of `channel` began at sample `start`; `changed` if another speaker began it."""

    channel: int
    start: int
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Grown:
    """Sound that belongs to the open utterance, gapless and in order.

    Only a change of speaker that is found after a pause can show that it did not: see `Closed`.
    With `paused` a pause follows, and the sound may be empty. `ahead` is what was heard after it;
    the utterance may yet end before that.
    """

    sound: AudioChunk
    paused: bool = False
    ahead: AudioChunk | None = None


@dataclass(frozen=True, slots=True)
class SoFar:
    """What the open utterance holds at this moment, now and then while it goes on.

    Attributes:
        sound: from its start on.
        paused: nothing was said for a while: if nothing more is, `Closed` will hold this sound.
        speech_windows: how many of its windows were speech.
        mean_speech: mean speech probability of those.
    """

    sound: AudioChunk
    paused: bool
    speech_windows: int
    mean_speech: float


@dataclass(frozen=True, slots=True)
class Closed:
    """The open utterance is over.

    Attributes:
        sound: all of it, from its start to its end.
        rest: the part of it after the last `Grown`; empty where that was all of it.
        again: it ends before the end of the last `Grown`, and `rest` is all of it.
        last_speech: sample after its last window of speech.
        voiced: bool (n,), which of its windows were speech.
        speech_windows: how many of them.
        mean_speech: mean speech probability of those.
        split: whether it was cut because it grew too long.
        voice: what it sounded like, where voices count.
    """

    sound: AudioChunk
    rest: AudioChunk
    last_speech: int
    voiced: NDArray[np.bool_]
    speech_windows: int
    mean_speech: float
    split: bool
    again: bool = False
    voice: Voice | None = None


Step = Opened | Grown | SoFar | Closed
