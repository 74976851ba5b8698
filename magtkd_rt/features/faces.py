"""Find the faces in a picture and cut them out the way the video student was trained.

`crop_face` is the one place where a face becomes model input: training and runtime share it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import Box, Face, SeenFaces, VideoFrame
from magtkd_rt.errors import InputError
from magtkd_rt.features.following import Followed, Follower
from magtkd_rt.features.mouth import mouth_movement
from magtkd_rt.features.yunet import OnnxErrors, cache_dir, fetch_yunet, freeze_shapes

__all__ = [
    "CROP_SIDE",
    "FaceDetector",
    "FaceFinder",
    "HaarCascade",
    "YuNet",
    "best_detector",
    "cache_dir",
    "crop_face",
]

CROP_SIDE: Final = 48

DETECTION_SIDE: Final = 320
"""Pictures are scaled down to this before detection: faces of a conversation stay large enough."""

_CASCADE_SIDE = 160
"""The cascade's time grows with the picture, and it found the same faces at this size."""

_SAME_FACE_OVERLAP = 0.3
"""Of a face that the cascade saw in the last picture with itself."""

_LOOK_AGAIN_NS = 150_000_000
"""A face is where it was found for so long; looking for it is what costs."""

_LOOK_AGAIN_CALM_NS = 500_000_000
"""The same while nobody speaks, when no result depends on it."""

_MOVES_WITHIN_NS = 500_000_000
"""Pictures further apart say nothing of how a mouth moves."""

_NOT_YUNET: Final[tuple[type[Exception], ...]] = (cv2.error, *OnnxErrors)


class FaceDetector(Protocol):
    """Finds all faces in one picture.

    Attributes:
        name: what detects, for the log.
    """

    name: str

    def detect(self, image_rgb: NDArray[np.uint8]) -> list[tuple[Box, float]]:
        """Return boxes, forehead to chin, with scores from 0 to 1.

        Args:
            image_rgb: uint8 (height, width, 3), no side longer than DETECTION_SIDE.
        """
        ...


def crop_face(image_rgb: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Cut a face out as FER2013 shows them: square, tight, grey.

    Args:
        image_rgb: uint8 (height, width, 3).
        box: the face, forehead to chin, as shares of the picture; may stick out of it.

    Returns:
        uint8 (48, 48); what lies outside the picture repeats its edge.
    """
    height, width = image_rgb.shape[:2]
    x, y, w, h = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    side = max(2, round(max(w, h)))
    left, top = round(x + w / 2 - side / 2), round(y + h / 2 - side / 2)
    outside = max(0, -left, -top, left + side - width, top + side - height)
    inside: NDArray[Any] = image_rgb[
        max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)
    ]
    if inside.size == 0:
        raise ValueError(f"the face at {box} lies outside the picture")
    if outside:
        inside = cv2.copyMakeBorder(
            inside,
            top=max(0, -top),
            bottom=max(0, top + side - height),
            left=max(0, -left),
            right=max(0, left + side - width),
            borderType=cv2.BORDER_REPLICATE,
        )
    grey = cv2.cvtColor(inside, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8)


class FaceFinder:
    """Follows the faces through the pictures of a session.

    Args:
        detector: finds the faces; the best available one unless given.
    """

    def __init__(self, detector: FaceDetector | None = None) -> None:
        # One thread: pictures this small gain nothing, and waiting for threads on a busy machine
        # made a picture take 30 times as long.
        cv2.setNumThreads(1)
        self.detector = detector or best_detector()
        self._follower = Follower()
        self._followed: list[Followed] = []
        self._looked_ns = 0
        self._before: VideoFrame | None = None
        self._faces_before: dict[int, Face] = {}  # by track

    def find(self, frame: VideoFrame, *, calm: bool = False) -> SeenFaces:
        """Find the faces, those that were there before under their old numbers.

        A face that was found a moment ago is taken to be at the same place still; with `calm`,
        that no faces are there as well.
        """
        again_ns = _LOOK_AGAIN_CALM_NS if calm else _LOOK_AGAIN_NS
        knows = calm or bool(self._followed)
        if self._before is None or not (knows and 0 <= frame.time_ns - self._looked_ns < again_ns):
            self._looked_ns = frame.time_ns
            found = self.detector.detect(_small(frame.image, DETECTION_SIDE))
            self._followed = self._follower.follow(found, frame.time_ns)
        faces = tuple(self._cut_out(frame, face) for face in self._followed)
        self._before = frame
        self._faces_before = {face.track: face for face in faces}
        return SeenFaces(frame.time_ns, faces)

    def _cut_out(self, frame: VideoFrame, face: Followed) -> Face:
        crop = crop_face(frame.image, face.box)
        before = self._crop_before(frame, face)
        movement = 0.0 if before is None else mouth_movement(before, crop)
        return Face(face.track, crop, face.box, face.score, movement)

    def _crop_before(self, frame: VideoFrame, face: Followed) -> NDArray[np.uint8] | None:
        """The same part of the picture before, if it showed this face: boxes jump, faces do not."""
        before, seen = self._before, self._faces_before.get(face.track)
        if before is None or seen is None or before.image.shape != frame.image.shape:
            return None
        if not 0 < frame.time_ns - before.time_ns <= _MOVES_WITHIN_NS:
            return None
        return seen.crop if seen.box == face.box else crop_face(before.image, face.box)


class YuNet:
    """The YuNet network: finds turned and small faces as well.

    Args:
        model: its ONNX file.
        threshold: scores under this are no faces.

    Raises:
        InputError: the file cannot be opened as YuNet.
    """

    name = "yunet"

    def __init__(self, model: Path, threshold: float = 0.7) -> None:
        try:
            content = np.frombuffer(freeze_shapes(model, DETECTION_SIDE), np.uint8)
            self._net = cv2.FaceDetectorYN.create(
                "onnx", content, np.zeros(0, np.uint8), (DETECTION_SIDE, DETECTION_SIDE), threshold
            )
        except _NOT_YUNET as error:
            raise InputError(
                f"{model} is no YuNet face detector", remedy="unset MAGTKD_YUNET to go without"
            ) from error

    def detect(self, image_rgb: NDArray[np.uint8]) -> list[tuple[Box, float]]:
        """See `FaceDetector.detect`."""
        height, width = image_rgb.shape[:2]
        # One size for all pictures, since a graph's shapes may be frozen.
        square = np.zeros((DETECTION_SIDE, DETECTION_SIDE, 3), np.uint8)
        square[:height, :width] = image_rgb[..., ::-1]  # BGR
        _, rows = self._net.detect(square)
        return [
            (_shares(row[:4], width, height), float(np.clip(row[14], 0, 1)))
            for row in (rows if rows is not None else ())
        ]


class HaarCascade:
    """OpenCV's frontal cascade, the fallback: a new face counts only if eyes are seen in it."""

    name = "haar cascade"

    def __init__(self) -> None:
        folder = Path(cv2.__file__).parent / "data"
        self._faces = cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_alt2.xml"))
        self._eyes = cv2.CascadeClassifier(str(folder / "haarcascade_eye_tree_eyeglasses.xml"))
        self._seen: list[Box] = []

    def detect(self, image_rgb: NDArray[np.uint8]) -> list[tuple[Box, float]]:
        """See `FaceDetector.detect`. The score is always 1: a cascade has no probability."""
        grey = cv2.cvtColor(_small(image_rgb, _CASCADE_SIDE), cv2.COLOR_RGB2GRAY)
        grey = cv2.equalizeHist(grey)
        height, width = grey.shape
        # Most time goes into small faces: none much smaller than those of the last picture count.
        side = max([24, *(round(0.6 * seen[2] * width) for seen in self._seen)])
        faces = []
        for x, y, w, h in self._faces.detectMultiScale(grey, 1.15, 5, minSize=(side, side)):
            box = _shares((x, y, w, h), width, height)
            # A face that was there already may close its eyes.
            known = any(_overlap(box, seen) > _SAME_FACE_OVERLAP for seen in self._seen)
            if known or self._has_eyes(grey[y : y + h * 6 // 10, x : x + w]):
                faces.append(box)
        self._seen = faces
        return [(box, 1.0) for box in faces]

    def _has_eyes(self, upper_half: NDArray[Any]) -> bool:
        enlarged = cv2.resize(upper_half, (120, 72))
        return len(self._eyes.detectMultiScale(enlarged, 1.1, 2, minSize=(16, 16))) > 0


def best_detector(yunet: Path | None = None) -> FaceDetector:
    """YuNet if its file is at hand or can be fetched, else the cascade.

    Args:
        yunet: its file; else the environment's MAGTKD_YUNET, else the cache, else the network.

    Raises:
        InputError: the file that was named does not exist or is no YuNet.
    """
    named = yunet or (Path(os.environ["MAGTKD_YUNET"]) if os.environ.get("MAGTKD_YUNET") else None)
    if named is not None and not named.is_file():
        raise InputError(f"{named} does not exist", remedy="unset MAGTKD_YUNET to go without")
    model = named or fetch_yunet()
    return YuNet(model) if model is not None else HaarCascade()


def _small(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _shares(pixels: Iterable[float], width: int, height: int) -> Box:
    x, y, w, h = (float(value) for value in pixels)
    return x / width, y / height, w / width, h / height


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)
