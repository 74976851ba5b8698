"""Faces on real pictures, with both detectors."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.core.media import Box, SeenFaces, VideoFrame
from magtkd_rt.errors import InputError
from magtkd_rt.features import yunet
from magtkd_rt.features.faces import (
    FaceDetector,
    FaceFinder,
    HaarCascade,
    YuNet,
    best_detector,
    cache_dir,
    crop_face,
)
from magtkd_rt.sources import FileSource


@pytest.fixture(params=["yunet", "cascade"])
def detector(request: pytest.FixtureRequest, shared: Path) -> FaceDetector:
    if request.param == "yunet":
        return YuNet(shared / "models/yunet_n_dynamic.onnx")
    return HaarCascade()


def _watch(path: Path, detector: FaceDetector, fps: float) -> list[SeenFaces]:
    finder = FaceFinder(detector)
    media = FileSource(path, fps=fps).media()
    return [finder.find(item) for item in media if isinstance(item, VideoFrame)]


@pytest.mark.parametrize("name", ["talking_head_1.mp4", "talking_head_2.mp4", "single_face.mp4"])
def test_a_face_is_seen_nearly_always(shared: Path, detector: FaceDetector, name: str) -> None:
    seen = _watch(shared / "media/video" / name, detector, fps=5)
    faces = [face for picture in seen for face in picture.faces]
    assert all(len(picture.faces) <= 1 for picture in seen)
    assert len(faces) >= 0.95 * len(seen) > 10
    assert {face.track for face in faces} == {0}
    for face in faces:
        assert face.crop.shape == (48, 48)
        assert face.crop.dtype == np.uint8
        assert face.crop.std() > 15
        assert 0 < face.score <= 1
        assert 0.1 < face.box[2] < 0.8


def test_no_face_is_made_up(shared: Path, detector: FaceDetector) -> None:
    seen = _watch(shared / "media/video/no_face.mp4", detector, fps=10)
    assert len(seen) == 40
    assert not any(picture.faces for picture in seen)


# The face leaves at 2.4 s in the one recording and enters at 4.0 s in the other.
@pytest.mark.parametrize(
    ("name", "first", "last"), [("face_noface", 0, 2.4), ("noface_face", 4, 9)]
)
def test_the_face_is_seen_while_it_is_there(
    shared: Path, detector: FaceDetector, name: str, first: float, last: float
) -> None:
    seen = _watch(shared / f"media/video/{name}.mov", detector, fps=5)
    for picture in seen:
        there = first - 0.05 <= picture.time_ns / 1e9 < last
        assert len(picture.faces) == there, picture.time_ns / 1e9


def test_both_detectors_cut_alike(shared: Path) -> None:
    path = shared / "media/video/single_face.mp4"
    fine = _watch(path, YuNet(shared / "models/yunet_n_dynamic.onnx"), fps=2)
    coarse = _watch(path, HaarCascade(), fps=2)
    for fine_seen, coarse_seen in zip(fine, coarse, strict=True):
        (one,), (other,) = fine_seen.faces, coarse_seen.faces
        x, y, w, h = np.multiply(one.box, (640, 360, 640, 360))
        other_x, other_y, other_w, other_h = np.multiply(other.box, (640, 360, 640, 360))
        side, other_side = max(w, h), max(other_w, other_h)
        assert abs((x + w / 2) - (other_x + other_w / 2)) < 0.15 * side
        assert abs((y + h / 2) - (other_y + other_h / 2)) < 0.15 * side
        assert 0.75 < other_side / side < 1.33


def test_crop_is_square_grey_and_may_stick_out() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[20:60, 100:140] = (255, 0, 0)
    inside = crop_face(image, (0.5, 0.2, 0.2, 0.4))
    assert (inside == 76).all()  # red in grey
    tall = crop_face(image, (0.55, 0.2, 0.1, 0.4))  # widened to a square about its middle
    np.testing.assert_array_equal(tall, inside)
    outside = crop_face(np.full((50, 50, 3), 9, np.uint8), (-0.2, 0.7, 0.5, 0.5))
    assert (outside == 9).all()
    with pytest.raises(ValueError, match="outside"):
        crop_face(image, (1.5, 0.1, 0.1, 0.1))


class _TwoFaces:
    """Two faces, in another order each time; counts how often it was asked."""

    name = "two faces"

    def __init__(self) -> None:
        self.asked = 0

    def detect(self, image_rgb: np.ndarray) -> list[tuple[Box, float]]:
        self.asked += 1
        faces: list[tuple[Box, float]] = [((0.1, 0.1, 0.3, 0.3), 0.9), ((0.5, 0.1, 0.4, 0.4), 0.8)]
        return faces if self.asked % 2 else faces[::-1]


def test_faces_keep_their_numbers() -> None:
    finder = FaceFinder(_TwoFaces())
    image = np.zeros((64, 64, 3), np.uint8)
    pictures = [finder.find(VideoFrame(200_000_000 * n, image)) for n in range(5)]
    for picture in pictures:
        assert {face.track: face.box[0] for face in picture.faces} == {0: 0.5, 1: 0.1}


def test_a_face_found_a_moment_ago_is_not_looked_for() -> None:
    faces = _TwoFaces()
    finder = FaceFinder(faces)
    image = np.random.default_rng(1).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    first, soon = finder.find(VideoFrame(0, image)), finder.find(VideoFrame(100_000_000, image))
    assert faces.asked == 1
    assert soon.time_ns == 100_000_000
    for one, other in zip(first.faces, soon.faces, strict=True):
        assert (one.track, one.box, one.score) == (other.track, other.box, other.score)
        np.testing.assert_array_equal(one.crop, other.crop)
    finder.find(VideoFrame(200_000_000, image))
    assert faces.asked == 2


def test_only_a_mouth_that_changes_moves() -> None:
    """A head that shifts has no mouth that moves. Track 0 is the right face, the larger one."""
    finder = FaceFinder(_TwoFaces())
    rough = np.random.default_rng(2).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    image = cv2.resize(rough, (320, 320), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    shifted = np.roll(image, (2, -1), (0, 1))
    chewing = shifted.copy()
    chewing[95:125, 60:100] //= 2  # the mouth of the left face
    movements = [
        {face.track: face.movement for face in finder.find(VideoFrame(n * 10**8, picture)).faces}
        for n, picture in enumerate([image, image, shifted, chewing, chewing])
    ]
    assert movements[0] == movements[1] == movements[4] == {0: 0.0, 1: 0.0}
    assert max(movements[2].values()) < 0.03
    assert movements[3][1] > 0.1
    assert movements[3][0] == 0.0


def test_pictures_far_apart_or_of_another_size_say_nothing_of_movement() -> None:
    finder = FaceFinder(_TwoFaces())
    rng = np.random.default_rng(3)
    small = rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)
    large = rng.integers(0, 255, (96, 96, 3)).astype(np.uint8)
    for time_ns, image in ((0, small), (10**8, large), (7 * 10**8, large // 2)):
        assert all(face.movement == 0 for face in finder.find(VideoFrame(time_ns, image)).faces)


def test_named_files_are_taken_as_given(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGTKD_YUNET", str(shared / "models/yunet_n_dynamic.onnx"))
    assert best_detector().name == "yunet"
    with pytest.raises(InputError, match="does not exist"):
        best_detector(tmp_path / "nothing.onnx")
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"no graph at all" * 10)
    with pytest.raises(InputError, match="no YuNet"):
        best_detector(garbage)


def test_only_the_pinned_file_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAGTKD_YUNET", "MAGTKD_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MAGTKD_CACHE", str(tmp_path / "cache"))
    assert cache_dir() == tmp_path / "cache"
    served = tmp_path / "served.onnx"
    served.write_bytes(b"not what was pinned")
    monkeypatch.setattr(yunet, "YUNET_URL", served.as_uri())
    assert best_detector().name == "haar cascade"
    assert not (tmp_path / "cache").exists()
    monkeypatch.setattr(yunet, "YUNET_SHA256", hashlib.sha256(served.read_bytes()).hexdigest())
    path = yunet.fetch_yunet()
    assert path is not None and path.read_bytes() == served.read_bytes()
    served.unlink()
    assert yunet.fetch_yunet() == path  # from the cache
    path.write_bytes(b"damaged")
    monkeypatch.setenv("MAGTKD_OFFLINE", "1")
    assert yunet.fetch_yunet() is None


def test_while_nobody_speaks_faces_are_looked_for_less_often() -> None:
    class Counts:
        name = "counts"
        looks = 0

        def detect(self, image_rgb: NDArray[np.uint8]) -> list[tuple[Box, float]]:
            self.looks += 1
            return []

    detector = Counts()
    finder = FaceFinder(detector)
    image = np.zeros((60, 60, 3), np.uint8)
    for n in range(20):
        finder.find(VideoFrame(n * 10**8, image), calm=True)
    assert detector.looks == 4
    finder.find(VideoFrame(20 * 10**8, image))  # somebody begins to speak
    assert detector.looks == 5
