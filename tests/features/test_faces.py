"""Faces on real pictures, with both detectors."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from magtkd_rt.core.media import SeenFace, VideoFrame
from magtkd_rt.errors import InputError
from magtkd_rt.features import yunet
from magtkd_rt.features.faces import (
    Box,
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


def _watch(path: Path, detector: FaceDetector, fps: float) -> list[SeenFace]:
    finder = FaceFinder(detector)
    media = FileSource(path, fps=fps).media()
    return [finder.find(item) for item in media if isinstance(item, VideoFrame)]


@pytest.mark.parametrize("name", ["talking_head_1.mp4", "talking_head_2.mp4", "single_face.mp4"])
def test_a_face_is_seen_nearly_always(shared: Path, detector: FaceDetector, name: str) -> None:
    seen = _watch(shared / "media/video" / name, detector, fps=5)
    faces = [face for face in seen if face.crop is not None]
    assert len(faces) >= 0.95 * len(seen) > 10
    for face in faces:
        assert face.crop is not None and face.box is not None
        assert face.crop.shape == (48, 48)
        assert face.crop.dtype == np.uint8
        assert face.crop.std() > 15
        assert 0 < face.score <= 1
        assert 0.1 < face.box[2] < 0.8


def test_no_face_is_made_up(shared: Path, detector: FaceDetector) -> None:
    seen = _watch(shared / "media/video/no_face.mp4", detector, fps=10)
    assert len(seen) == 40
    assert all(face.crop is None and face.box is None and face.score == 0 for face in seen)


# The face leaves at 2.4 s in the one recording and enters at 4.0 s in the other.
@pytest.mark.parametrize(
    ("name", "first", "last"), [("face_noface", 0, 2.4), ("noface_face", 4, 9)]
)
def test_the_face_is_seen_while_it_is_there(
    shared: Path, detector: FaceDetector, name: str, first: float, last: float
) -> None:
    seen = _watch(shared / f"media/video/{name}.mov", detector, fps=5)
    for face in seen:
        there = first - 0.05 <= face.time_ns / 1e9 < last
        assert (face.crop is not None) == there, face.time_ns / 1e9


def test_both_detectors_cut_alike(shared: Path) -> None:
    path = shared / "media/video/single_face.mp4"
    fine = _watch(path, YuNet(shared / "models/yunet_n_dynamic.onnx"), fps=2)
    coarse = _watch(path, HaarCascade(), fps=2)
    for one, other in zip(fine, coarse, strict=True):
        assert one.box is not None and other.box is not None
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


class _Faces:
    """Two faces: the other one becomes a little larger than the first."""

    name = "two faces"

    def __init__(self) -> None:
        self.turn = 0

    def detect(self, image_rgb: np.ndarray) -> list[tuple[Box, float]]:
        self.turn += 1
        left: Box = (0.1, 0.1, 0.3, 0.3)
        side = 0.2 if self.turn == 1 else 0.35 if self.turn < 4 else 0.45
        return [(left, 0.9), ((0.5, 0.1, side, side), 0.9)]


def test_it_follows_one_face_until_another_is_much_larger() -> None:
    finder = FaceFinder(_Faces())
    image = np.zeros((64, 64, 3), np.uint8)
    frames = [VideoFrame(200_000_000 * n, image) for n in range(5)]
    lefts = [(seen.box or (0.0,))[0] for seen in map(finder.find, frames)]
    assert lefts == [0.1, 0.1, 0.1, 0.5, 0.5]


def test_a_face_found_a_moment_ago_is_not_looked_for() -> None:
    faces = _Faces()
    finder = FaceFinder(faces)
    image = np.random.default_rng(1).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    first, soon = finder.find(VideoFrame(0, image)), finder.find(VideoFrame(100_000_000, image))
    assert faces.turn == 1
    assert (soon.time_ns, soon.box, soon.score) == (100_000_000, first.box, first.score)
    assert first.crop is not None and soon.crop is not None
    np.testing.assert_array_equal(first.crop, soon.crop)
    finder.find(VideoFrame(200_000_000, image))
    assert faces.turn == 2


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
