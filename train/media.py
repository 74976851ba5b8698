"""Sound and pictures of an utterance as training takes them: 16 kHz, RGB, cut to its stretch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import NANOSECONDS, SAMPLE_RATE
from magtkd_rt.errors import InputError
from magtkd_rt.sources._decode import StreamReader, stamp_ns
from magtkd_rt.sources._pictures import RgbConverter
from magtkd_rt.sources._sound import audio_chunks
from magtkd_rt.train.corpora.types import Media

LONGEST_SOUND: Final = 25.0
"""Seconds of an utterance that are heard at most, the first."""

LONGEST_PICTURES: Final = 300.0
"""Seconds of an utterance that are looked at most: bounds the work on hostile files."""

_KEPT: Final = 8
"""So many times the pictures wanted are kept at most, to choose evenly among."""


def read_sound(media: Media, longest: float = LONGEST_SOUND) -> NDArray[np.float32]:
    """The stretch's sound: float32 (n,), 16 kHz, mono, -1 to 1, n at least 1.

    Raises:
        InputError: the file cannot be opened, or there is no sound in the stretch.
    """
    problems: list[str] = []
    reader = StreamReader(media.path, "audio", problems.append)
    try:
        first = round(media.start * SAMPLE_RATE)
        reader.seek(max(0, first - SAMPLE_RATE) * NANOSECONDS // SAMPLE_RATE)
        last = first + round(longest * SAMPLE_RATE)
        if media.end is not None:
            last = min(last, round(media.end * SAMPLE_RATE))
        pieces, zero = [], None
        for chunk in audio_chunks(reader.frames(), False, problems.append):
            if zero is None and media.start == 0:
                zero = chunk.start  # a whole file may begin at any stamp
            begin = chunk.start - (zero or 0)
            if begin >= last:
                break
            if begin + len(chunk.samples) > first:
                pieces.append(chunk.samples[max(0, first - begin) : last - begin])
    finally:
        reader.close()
    if not pieces:
        raise _unreadable(media, "sound", problems)
    return np.concatenate(pieces)


def read_pictures(media: Media, count: int = 8) -> NDArray[np.uint8]:
    """Pictures spread evenly over the stretch: uint8 (count, height, width, 3), RGB.

    Where there are fewer than `count`, some come twice.

    Raises:
        InputError: the file cannot be opened, or there is no picture in the stretch.
    """
    problems: list[str] = []
    reader = StreamReader(media.path, "video", problems.append)
    try:
        # Decoded frames are kept without converting them, and of a long stretch only every
        # second, fourth ... one: it is decoded once, and memory stays bounded.
        kept: list[Any] = []
        every, seen = 1, 0
        for index, frame in enumerate(_stretch(reader, media)):
            if index % every == 0:
                kept.append(frame)
            seen = index + 1
            if len(kept) > _KEPT * count:
                kept = kept[::2]
                every *= 2
        if not kept:
            raise _unreadable(media, "picture", problems)
        middles = [((i + 0.5) * seen / count - 0.5) / every for i in range(count)]
        chosen = [kept[min(max(round(at), 0), len(kept) - 1)] for at in middles]
        converter = RgbConverter()
        images = [_half(converter.rgb(frame), media.half) for frame in chosen]
    finally:
        reader.close()
    if len({image.shape for image in images}) > 1:
        raise InputError(f"{media.path} changes its size on the way", remedy="encode it anew")
    return np.stack(images)


def _stretch(reader: StreamReader, media: Media) -> Iterator[Any]:
    """The decoded frames whose stamps lie in the stretch."""
    start = round(media.start * NANOSECONDS)
    reader.seek(start)
    end = start + round(LONGEST_PICTURES * NANOSECONDS)
    if media.end is not None:
        end = min(end, round(media.end * NANOSECONDS))
    rate = float(getattr(reader.stream, "average_rate", None) or 25)
    zero: int | None = None
    for index, frame in enumerate(reader.frames()):
        stamp = stamp_ns(frame)
        time_ns = round(index * NANOSECONDS / rate) if stamp is None else stamp
        if zero is None:
            zero = time_ns if start == 0 else 0  # a whole file may begin at any stamp
        if time_ns - zero >= end:
            return
        if time_ns - zero >= start:
            yield frame


def _half(image: NDArray[np.uint8], half: str) -> NDArray[np.uint8]:
    middle = image.shape[1] // 2
    return image[:, :middle] if half == "left" else image[:, middle:] if half else image


def _unreadable(media: Media, what: str, problems: list[str]) -> InputError:
    stretch = "" if media.end is None else f" from {media.start:g} to {media.end:g} s"
    why = f" ({problems[0]})" if problems else ""
    return InputError(
        f"{media.path} holds no {what}{stretch} that can be decoded{why}",
        remedy="get the file anew",
    )


def whole_length(path: Path) -> dict[str, Any]:
    """Decode everything in a file, and say what there was.

    Returns:
        `sound` and `picture`, seconds of each that could be decoded; `problems`, what was damaged.

    Raises:
        InputError: it cannot be opened.
    """
    problems: list[str] = []
    lengths = {}
    for kind, name in (("audio", "sound"), ("video", "picture")):
        reader = StreamReader(path, kind, problems.append)  # type: ignore[arg-type]
        try:
            lengths[name] = sum(_seconds(frame) for frame in reader.frames())
        finally:
            reader.close()
    return {**lengths, "problems": problems}


def _seconds(frame: Any) -> float:
    if hasattr(frame, "samples"):
        return float(frame.samples / frame.sample_rate)
    return float((frame.duration or 0) * (frame.time_base or 0))
