"""Decode every utterance's media once, before training; what cannot be read is listed.

Training then reads arrays: `media/sound/KEY.npy` int16 (n,) at 16 kHz, `media/pictures/KEY.npy`
uint8 (frames, side, side, 3) RGB, or (frames, 48, 48) grey. A KEY changes with the file, the
stretch and the settings.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from magtkd_rt.core.media import Box
from magtkd_rt.errors import InputError
from magtkd_rt.features.faces import (
    DETECTION_SIDE,
    FaceDetector,
    HaarCascade,
    best_detector,
    crop_face,
)
from magtkd_rt.train.corpora.types import Media, Problem, Utterance
from magtkd_rt.train.files import replacing, write_json
from magtkd_rt.train.media import read_pictures, read_sound

MARGIN = 1.3
"""A face is cut out so many times larger than it was found."""


@dataclass(frozen=True)
class SoundWanted:
    """Sound of at most so many seconds."""

    longest: float = 25.0
    kind: Literal["sound"] = "sound"

    def read(self, media: Media) -> NDArray[Any]:
        """int16 (n,) at 16 kHz."""
        return np.round(read_sound(media, self.longest) * 32767).astype(np.int16)


@dataclass(frozen=True)
class PicturesWanted:
    """So many pictures, whole or of the largest face, square; `live` as the runtime cuts it."""

    frames: int = 8
    side: int = 224
    view: Literal["whole", "face", "live"] = "whole"
    kind: Literal["pictures"] = "pictures"

    def read(self, media: Media) -> NDArray[Any]:
        """uint8 (frames, side, side, 3), RGB; `live`: (frames, 48, 48), grey."""
        images = read_pictures(media, self.frames)
        if self.view == "whole":
            return np.stack([_middle(image, self.side) for image in images])
        if self.view == "live":
            return _faces(images, crop_face, media)
        return _faces(images, lambda image, box: _cut_out(image, box, self.side), media)


Wanted = SoundWanted | PicturesWanted


@dataclass(frozen=True)
class Prepared:
    """Where each utterance's array is, None where it has none; and why, where it should have."""

    files: list[Path | None]
    unreadable: list[Problem]


def prepare(
    utterances: Sequence[Utterance],
    wanted: Wanted,
    folder: Path,
    *,
    workers: int = 1,
    bar: Progress | None = None,
) -> Prepared:
    """Decode what is not decoded yet.

    Args:
        utterances: of one split.
        wanted: what of them.
        folder: arrays go into its sub-folder named like the kind.
        workers: files decoded side by side.
        bar: shows how far it is.

    Raises:
        InputError: an array cannot be written.
    """
    place = folder / wanted.kind
    given = [one.sound if wanted.kind == "sound" else one.picture for one in utterances]
    keys = [None if media is None else key_of(media, wanted) for media in given]
    task = None
    if bar is not None:
        task = bar.add_task(f"decode {wanted.kind}", total=len(given), note="")

    def one(media: Media | None, key: str | None) -> tuple[Path | None, str]:
        found: tuple[Path | None, str] = (None, "")
        if media is not None and key is not None:
            found = _decoded(media, wanted, place / f"{key}.npy", place / f"{key}.json")
        if bar is not None and task is not None:
            bar.advance(task)
        return found

    with ThreadPoolExecutor(workers) as pool:  # FFmpeg decodes without the interpreter's lock
        results = list(pool.map(one, given, keys))
    problems = [
        Problem(f"{utterance.name}: {media.path.name}", why)
        for utterance, media, (_, why) in zip(utterances, given, results, strict=True)
        if media is not None and why
    ]
    return Prepared([path for path, _ in results], problems)


def key_of(media: Media, wanted: Wanted) -> str:
    """Twenty hexadecimal digits that change with the file (size and time), stretch and settings."""
    try:
        status = media.path.stat()
        file = (str(media.path.resolve()), status.st_size, status.st_mtime_ns)
    except OSError:
        file = (str(media.path), 0, 0)
    said = repr((file, media.start, media.end, media.half, wanted))
    return hashlib.sha256(said.encode()).hexdigest()[:20]


def _decoded(media: Media, wanted: Wanted, array: Path, reason: Path) -> tuple[Path | None, str]:
    """The array's file, or why there is none; both are remembered."""
    if array.exists():
        return array, ""
    if reason.exists():
        return None, str(json.loads(reason.read_text(encoding="utf-8")))
    try:
        values = wanted.read(media)
    except InputError as error:
        write_json(reason, error.problem)
        return None, error.problem
    with replacing(array) as file:
        np.save(file, values, allow_pickle=False)
    return array, ""


def _resized(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    smaller = width < image.shape[1]
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=way).astype(np.uint8)


def _middle(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The shorter side scaled to `side`, and the square in the middle."""
    height, width = image.shape[:2]
    scale = side / min(height, width)
    scaled = _resized(image, max(side, round(width * scale)), max(side, round(height * scale)))
    top, left = (scaled.shape[0] - side) // 2, (scaled.shape[1] - side) // 2
    return scaled[top : top + side, left : left + side]


_detectors = threading.local()


def _detector() -> FaceDetector:
    """One for each thread; the cascade, which remembers what it saw, for each utterance."""
    if not hasattr(_detectors, "one"):
        _detectors.one = best_detector()
    found: FaceDetector = _detectors.one
    return HaarCascade() if isinstance(found, HaarCascade) else found


def _cut_out(image: NDArray[np.uint8], box: Box, side: int) -> NDArray[np.uint8]:
    """A face with some margin, in colour; what lies outside the picture repeats its edge."""
    height, width = image.shape[:2]
    x, y, w, h = box
    square = max(1, round(MARGIN * max(w * width, h * height)))
    left, top = round((x + w / 2) * width - square / 2), round((y + h / 2) * height - square / 2)
    rows = np.clip(np.arange(top, top + square), 0, height - 1)
    columns = np.clip(np.arange(left, left + square), 0, width - 1)
    return _resized(image[rows][:, columns], side, side)


def _faces(
    images: NDArray[np.uint8],
    cut_out: Callable[[NDArray[np.uint8], Box], NDArray[np.uint8]],
    media: Media,
) -> NDArray[np.uint8]:
    """The largest face of each picture; where none is found, the nearest one in time."""
    detector = _detector()
    crops: dict[int, NDArray[np.uint8]] = {}
    for index, image in enumerate(images):
        height, width = image.shape[:2]
        scale = min(1.0, DETECTION_SIDE / max(height, width))
        small = _resized(image, max(1, round(width * scale)), max(1, round(height * scale)))
        boxes = [box for box, _ in detector.detect(small)]
        if boxes:
            crops[index] = cut_out(image, max(boxes, key=lambda box: box[2] * box[3]))
    if not crops:
        raise InputError(f"{media.path} shows no face", remedy='set view = "whole" in [video]')
    nearest = [min(crops, key=lambda found: abs(found - index)) for index in range(len(images))]
    return np.stack([crops[index] for index in nearest])
