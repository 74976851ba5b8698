"""Conversations of made voices: a print is a mix of those who speak in its windows, with noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magtkd_rt import wire
from magtkd_rt.core.media import VOICE_HOP, VOICE_WINDOWS, WINDOW, HeardSound, VoicePrint, seconds

SIZE = 64
NOISE = 0.6
"""Prints of one voice without common sound are alike by 1 / (1 + NOISE**2)."""

LEAN = 0.01
"""Mean of speaker 1's sound, twice that is speaker 2's: so that it tells who it is."""

Part = tuple[int, int | None]
"""How many windows, and who speaks: None is silence."""

DIALOGUE: Sequence[Part] = (
    (20, None), (90, 0), (100, 1), (70, 0), (80, 1), (30, None), (60, 1), (110, 2), (90, 0),
    (40, None),
)  # fmt: skip


def direction(speaker: int) -> NDArray[np.float64]:
    """Where a voice lies; no two are alike."""
    vector = np.random.default_rng(1000 + speaker).standard_normal(SIZE)
    vector /= np.linalg.norm(vector)
    return np.asarray(vector)


def conversation(*parts: Part, seed: int = 0, channel: int = 0) -> HeardSound:
    """Sound of (windows, speaker) parts, with prints as the senses would give them."""
    who = [speaker for count, speaker in parts for _ in range(count)]
    random = np.random.default_rng(seed)
    noise = random.standard_normal((len(who), WINDOW))
    speech = np.array([0.02 if speaker is None else 0.95 for speaker in who], np.float32)
    marks = np.array([[LEAN * (speaker or 0)] for speaker in who])
    samples = (noise * (0.001 + 0.1 * speech[:, None]) + marks).astype(np.float32)
    # Every window adds its own part of a print's noise, so near prints are alike, as real ones are.
    moments = random.standard_normal((len(who), SIZE)) / np.sqrt(SIZE)
    moments *= NOISE * np.sqrt(VOICE_WINDOWS)
    prints = []
    for end in range(VOICE_HOP, len(who) + 1, VOICE_HOP):
        spoken = [n for n in range(max(0, end - VOICE_WINDOWS), end) if who[n] is not None]
        if 3 * len(spoken) < VOICE_WINDOWS or spoken[-1] < end - VOICE_HOP:
            continue
        vector = np.mean([direction(int(who[n] or 0)) + moments[n] for n in spoken], axis=0)
        vector /= np.linalg.norm(vector)
        prints.append(VoicePrint(end * WINDOW, vector.astype(np.float32)))
    return HeardSound(channel, 0, samples.reshape(-1), speech, tuple(prints))


def part(sound: HeardSound, first: int, after: int) -> HeardSound:
    """Windows `first` to `after`, with the prints that end there."""
    return HeardSound(
        sound.channel,
        first * WINDOW,
        sound.samples[first * WINDOW : after * WINDOW],
        sound.speech[first:after],
        tuple(v for v in sound.voices if first * WINDOW < v.end <= after * WINDOW),
    )


def hear(desk: Any, sound: HeardSound, sizes: Sequence[int] = (7,)) -> None:
    first, n = 0, 0
    while first < len(sound.speech):
        after = min(len(sound.speech), first + sizes[n % len(sizes)])
        desk.take(desk.session.hear(part(sound, first, after)))
        first, n = after, n + 1


def told(desk: Any, sound: HeardSound) -> list[tuple[str, float, float]]:
    """Who spoke from when to when, in a session that hears it all."""
    hear(desk, sound)
    desk.take(desk.session.flush())
    desk.check_rules()
    return [(e.speaker, e.start, e.end) for e in desk.of(wire.Emotion)]


def at(window: int) -> float:
    return seconds(window * WINDOW)
