"""Sound that is no speech, made from a seed: what a room, a desk and a loudspeaker give.

Each maker takes a random generator and a length in seconds and returns float64 (n,) at 16 kHz
with a peak of 1. `at_level` and `clipped` make it louder, quieter and worse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

RATE = 16_000

Sound = NDArray[np.float64]
Random = np.random.Generator
Maker = Callable[[Random, float], Sound]


def at_level(sound: Sound, decibels: float) -> Sound:
    """The sound with its peak at so many decibels under full scale."""
    return sound * 10 ** (decibels / 20)


def clipped(sound: Sound, decibels: float = 20.0) -> Sound:
    """The sound so many decibels too loud, cut off at full scale."""
    return np.clip(sound * 10 ** (decibels / 20), -1.0, 1.0)


def with_steps(random: Random, sound: Sound) -> Sound:
    """The sound with its level jumping by up to 30 dB every half to two seconds."""
    sound, start = sound.copy(), 0
    while start < len(sound):
        end = start + round(random.uniform(0.5, 2.0) * RATE)
        sound[start:end] *= 10 ** (-random.uniform(0, 30) / 20)
        start = end
    return sound


def silence(random: Random, length: float) -> Sound:
    """Digital silence."""
    return np.zeros(round(length * RATE))


def white(random: Random, length: float) -> Sound:
    """Noise of equal power at all frequencies."""
    return _coloured(random, length, 0.0)


def pink(random: Random, length: float) -> Sound:
    """Noise that falls by 3 dB an octave."""
    return _coloured(random, length, 1.0)


def brown(random: Random, length: float) -> Sound:
    """Noise that falls by 6 dB an octave: rumble, wind."""
    return _coloured(random, length, 2.0)


def hum(random: Random, length: float) -> Sound:
    """Mains at 50 or 60 Hz with its harmonics, and a little hiss."""
    base = random.choice([50.0, 60.0])
    time = _time(length)
    tones = [
        random.uniform(0.1, 1) / n * np.sin(2 * np.pi * (base * n * time + random.random()))
        for n in range(1, 9)
    ]
    return _peak(np.sum(tones, axis=0) + 0.01 * random.standard_normal(len(time)))


def fan(random: Random, length: float) -> Sound:
    """Air noise that swells slowly, with the tones of the blades."""
    time = _time(length)
    air = _filtered(_coloured(random, length, 1.0), [(random.uniform(300, 900), 500.0)])
    swell = 1 + 0.3 * np.sin(2 * np.pi * random.uniform(0.1, 0.7) * time)
    blades = random.uniform(60, 160) * (time + 0.01 * np.sin(2 * np.pi * 0.2 * time))
    tones = [np.sin(2 * np.pi * n * blades) / n for n in range(1, 7)]
    return _peak(_peak(air) * swell + random.uniform(0.05, 0.5) * _peak(np.sum(tones, axis=0)))


def keyboard(random: Random, length: float) -> Sound:
    """Keys struck 3 to 10 times a second in bursts, each a press and a release."""
    sound, at = silence(random, length), 0.2
    while at < length:
        rate = random.uniform(3, 10)
        for _ in range(int(random.integers(4, 30))):
            press = _click(random, [random.uniform(1500, 5000), random.uniform(300, 900)])
            _add(sound, at, press * random.uniform(0.4, 1))
            release = _click(random, [random.uniform(2500, 6000)])
            _add(sound, at + random.uniform(0.05, 0.09), release * random.uniform(0.1, 0.4))
            at += random.uniform(0.7, 1.3) / rate
        at += random.uniform(0.3, 2.0)
    return _peak(sound)


def coughs(random: Random, length: float) -> Sound:
    """Coughs one to three at a time: a burst of breath through a throat, then less of it."""
    sound, at = silence(random, length), 0.5
    while at < length:
        throat = _formants(random, [(650, 300), (1250, 400), (2600, 600)])
        for _ in range(int(random.integers(1, 4))):
            _add(sound, at, _cough(random, throat))
            at += random.uniform(0.35, 0.6)
        at += random.uniform(1.0, 3.0)
    return _peak(sound)


def doors(random: Random, length: float) -> Sound:
    """Doors that slam: a blow, a low boom and a rattle."""
    sound, at = silence(random, length), 0.5
    while at < length:
        time = _time(0.8)
        boom = np.exp(-9 * time) * np.sin(2 * np.pi * random.uniform(50, 110) * time)
        blow = np.exp(-60 * time) * random.standard_normal(len(time))
        rattle = np.exp(-12 * time) * _filtered(random.standard_normal(len(time)), [(900, 300)])
        _add(sound, at, boom + 0.7 * blow + 0.5 * _peak(rattle))
        at += random.uniform(0.8, 4.0)
    return _peak(sound)


def applause(random: Random, length: float) -> Sound:
    """Many hands that clap, each at its own pace and from its own place."""
    sound = silence(random, length)
    for _ in range(int(random.integers(8, 40))):
        at, pace, near = random.uniform(0, 1), random.uniform(0.2, 0.35), random.uniform(0.2, 1)
        place = [random.uniform(700, 1600), random.uniform(1800, 3000)]
        while at < length:
            _add(sound, at, near * _click(random, place, decay=90))
            at += pace * random.uniform(0.85, 1.15)
    return _peak(sound)


def chords(random: Random, length: float) -> Sound:
    """Plucked chords over a bass and a beat."""
    sound, at, beat = silence(random, length), 0.0, random.uniform(0.3, 0.6)
    roots = random.permutation([110.0, 130.8, 146.8, 164.8, 98.0, 87.3])
    count = 0
    while at < length:
        root = roots[count // 4 % len(roots)]
        time = _time(min(beat * 2, 1.0))
        third = random.choice([1.2, 1.25])
        for note in (root, 2 * root, 2 * root * third, 3 * root):
            tone = sum(np.sin(2 * np.pi * note * n * time) / n**1.3 for n in range(1, 9))
            _add(sound, at, 0.3 * np.exp(-4 * time) * tone)
        drum = random.standard_normal(len(time)) * np.exp(-40 * time)
        kick = np.sin(2 * np.pi * (120 * np.exp(-30 * time) + 45) * time) * np.exp(-12 * time)
        _add(sound, at, kick if count % 2 == 0 else 0.6 * drum)
        _add(sound, at + beat / 2, 0.2 * drum)
        at += beat
        count += 1
    return _peak(sound)


def melody(random: Random, length: float) -> Sound:
    """A fiddle in the range of a voice: harmonics, vibrato, slides from note to note."""
    body = _formants(random, [(300, 80), (500, 120), (1100, 250), (2700, 500)])
    return _peak(_filtered(_tune(random, length, low=55, high=76), body))


def organ(random: Random, length: float) -> Sound:
    """Held chords with a slow tremolo."""
    sound, at = silence(random, length), 0.0
    while at < length:
        held = random.uniform(1.0, 3.0)
        time = _time(held)
        fade = np.minimum(1, np.minimum(time, held - time) / 0.05)
        fade *= 1 + 0.2 * np.sin(2 * np.pi * 6 * time)
        root = 110 * 2 ** (random.integers(0, 12) / 12)
        for interval in (0, 4, 7, 12):
            note = root * 2 ** (interval / 12)
            for n, loud in ((1, 1.0), (2, 0.7), (3, 0.4), (4, 0.3), (8, 0.1)):
                _add(sound, at, fade * loud * np.sin(2 * np.pi * note * n * time))
        at += held
    return _peak(sound)


def beeps(random: Random, length: float) -> Sound:
    """Telephones, alarms and a siren."""
    sound, at = silence(random, length), 0.3
    while at < length:
        time = _time(random.uniform(0.1, 0.8))
        low, high = random.uniform(400, 1200), random.uniform(1200, 2400)
        kind = random.integers(3)
        if kind == 0:
            tone = np.sin(2 * np.pi * low * time)
        elif kind == 1:
            tone = np.sin(2 * np.pi * low * time) + np.sin(2 * np.pi * high * time)
        else:
            sweep = low + (high - low) * (0.5 - 0.5 * np.cos(2 * np.pi * 2 * time))
            tone = np.sin(2 * np.pi * np.cumsum(sweep) / RATE)
        for _ in range(int(random.integers(1, 5))):
            _add(sound, at, tone)
            at += len(time) / RATE + 0.1
        at += random.uniform(0.5, 2.0)
    return _peak(sound)


def sung_vowels(random: Random, length: float) -> Sound:
    """A voice made of a buzz and formants that sings vowels without words: nearly speech."""
    tune = _tune(random, length, low=45, high=64)
    sound, at = silence(random, length), 0.0
    vowels = [(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480)]
    while at < length:
        held = random.uniform(0.5, 1.5)
        part = tune[round(at * RATE) : round((at + held) * RATE)]
        vowel = [(f, 60 + 0.05 * f) for f in vowels[int(random.integers(len(vowels)))]]
        if len(part) > RATE // 20:
            _add(sound, at, _filtered(part, vowel))
        at += held
    return _peak(sound)


EVERYDAY: dict[str, Maker] = {
    maker.__name__: maker
    for maker in (
        silence,
        white,
        pink,
        brown,
        hum,
        fan,
        keyboard,
        coughs,
        doors,
        applause,
        beeps,
        chords,
        organ,
        melody,
    )
}
"""All but `sung_vowels`, by name."""


def _time(length: float) -> Sound:
    return np.arange(round(length * RATE)) / RATE


def _peak(sound: Sound) -> Sound:
    return sound / max(1e-9, float(np.abs(sound).max(initial=0)))


def _add(sound: Sound, at: float, part: Sound) -> None:
    """Add a part from a time on; what lies beyond the end is lost."""
    start = round(at * RATE)
    room = sound[start : start + len(part)]
    room += part[: len(room)]


def _coloured(random: Random, length: float, slope: float) -> Sound:
    count = round(length * RATE)
    spectrum = np.fft.rfft(random.standard_normal(count))
    frequency = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 20.0)
    return _peak(np.fft.irfft(spectrum * frequency ** (-slope / 2), count))


def _filtered(sound: Sound, resonances: Sequence[tuple[float, float]]) -> Sound:
    """The sound through resonances, each (frequency, width) in Hz, side by side."""
    frequency = np.fft.rfftfreq(len(sound), 1 / RATE)
    gain = np.full(len(frequency), 0.01)
    for centre, width in resonances:
        gain = gain + 1 / (1 + ((frequency - centre) / (width / 2)) ** 2)
    return np.asarray(np.fft.irfft(np.fft.rfft(sound) * gain, len(sound)))


def _formants(random: Random, middle: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    size = random.uniform(0.85, 1.2)  # of the body or head
    return [(size * frequency, width) for frequency, width in middle]


def _click(random: Random, resonances: Sequence[float], decay: float = 250.0) -> Sound:
    time = _time(0.06)
    ring = [np.sin(2 * np.pi * f * time) * np.exp(-decay * time) for f in resonances]
    hiss = random.standard_normal(len(time)) * np.exp(-decay * 2 * time)
    return _peak(np.sum(ring, axis=0) + hiss)


def _cough(random: Random, throat: Sequence[tuple[float, float]]) -> Sound:
    time = _time(random.uniform(0.25, 0.45))
    rise = np.minimum(1, time / 0.01)
    breath = random.standard_normal(len(time)) * rise * np.exp(-11 * time)
    pitch = np.cumsum(random.uniform(180, 320) * np.exp(-1.5 * time)) / RATE
    voice = sum(np.sin(2 * np.pi * n * pitch) / n for n in range(1, 12))
    voiced = 0.4 * random.random() * voice * np.exp(-14 * time) * rise
    return _peak(_filtered(breath + voiced, throat)) * random.uniform(0.5, 1)


def _tune(random: Random, length: float, *, low: int, high: int) -> Sound:
    """A buzz of falling harmonics that follows a tune; `low` to `high` are MIDI notes."""
    count = round(length * RATE)
    pitch, loud, at = np.zeros(count), np.zeros(count), 0
    note = (low + high) // 2
    while at < count:
        held = round(random.choice([0.2, 0.4, 0.4, 0.8, 1.6]) * RATE)
        note = int(np.clip(note + random.choice([-5, -3, -2, -1, 0, 1, 2, 3, 5]), low, high))
        pitch[at : at + held] = 440 * 2 ** ((note - 69) / 12)
        loud[at : at + held] = 0.0 if random.random() < 0.12 else random.uniform(0.5, 1)
        at += held
    glide = np.hanning(1600) / np.hanning(1600).sum()
    pitch, loud = np.convolve(pitch, glide, "same"), np.convolve(loud, glide, "same")
    vibrato = 1 + 0.012 * np.sin(2 * np.pi * 5.5 * _time(length))
    phase = 2 * np.pi * np.cumsum(pitch * vibrato) / RATE
    buzz = sum(np.sin(n * phase) / n for n in range(1, 25))
    return np.asarray(buzz * loud)
