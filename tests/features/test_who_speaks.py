"""Real people side by side in one picture: the one who is heard is followed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.core.alignment import HeardWindow
from magtkd_rt.core.faces import FaceMemory
from magtkd_rt.core.media import SAMPLE_RATE, WINDOW, SeenFaces, VideoFrame, mean_power
from magtkd_rt.features.faces import FaceDetector, FaceFinder, HaarCascade, YuNet
from magtkd_rt.sources import FileSource
from magtkd_rt.vad import StreamingVad

Image = NDArray[np.uint8]
HEADS = ("talking_head_1.mp4", "talking_head_2.mp4")
PICTURES = 80  # 8 s at 10 a second


@dataclass
class Clip:
    """A recording: pictures cut square, 512 x 512; sound and speech by windows."""

    images: list[Image]
    samples: NDArray[np.float32]
    speech: NDArray[np.float32]


def _clip(path: Path) -> Clip:
    vad, images, heard = StreamingVad(1), [], []
    for item in FileSource(path, fps=10).media():
        if isinstance(item, VideoFrame):
            height, width = item.image.shape[:2]
            side, left = min(height, width), (width - min(height, width)) // 2
            square = item.image[:side, left : left + side]
            images.append(cv2.resize(square, (512, 512), interpolation=cv2.INTER_AREA))
        else:
            heard.append(vad.push(item))
    sound = [part for part in [*heard, vad.flush(0)] if part is not None]
    return Clip(
        [image.astype(np.uint8) for image in images],
        np.concatenate([part.samples for part in sound]).reshape(-1, WINDOW),
        np.concatenate([part.speech for part in sound]),
    )


@pytest.fixture(scope="module")
def clips(shared: Path) -> dict[str, Clip]:
    folder = shared / "media/video"
    return {name: _clip(folder / name) for name in (*HEADS, "noface_face.mov")}


@pytest.fixture(params=["yunet", "cascade"])
def detector(request: pytest.FixtureRequest, shared: Path) -> FaceDetector:
    if request.param == "yunet":
        return YuNet(shared / "models/yunet_n_dynamic.onnx")
    return HaarCascade()


def _watch(left: list[Image], right: list[Image], detector: FaceDetector) -> list[SeenFaces]:
    finder = FaceFinder(detector)
    both = [np.hstack(pair) for pair in zip(left, right, strict=True)]
    return [finder.find(VideoFrame(n * 10**8, image)) for n, image in enumerate(both)]


def _right_choices(seen: list[SeenFaces], sound: Clip, *, left: bool, seconds: float) -> list[bool]:
    """For stretches of so many seconds, every quarter of one, that are mostly speech."""
    memory = FaceMemory(1000)
    for picture in seen:
        memory.see(picture)
    for n, (samples, speech) in enumerate(zip(sound.samples, sound.speech, strict=True)):
        memory.hear(HeardWindow(0, n * WINDOW, samples, float(speech), mean_power(samples)))
    right = []
    for start in np.arange(0, PICTURES / 10 - seconds, 0.25):
        first, after = (int(at * SAMPLE_RATE) // WINDOW for at in (start, start + seconds))
        if np.mean(sound.speech[first:after]) > 0.5:
            chosen = memory.choose(0, first * WINDOW, after * WINDOW, 8)
            assert chosen is not None
            assert chosen.others == 1
            right.append((chosen.box[0] + chosen.box[2] / 2 < 0.5) == left)
    assert len(right) > 10
    return right


@pytest.mark.parametrize("talks", HEADS)
@pytest.mark.parametrize("other", ["still", "quiet"])
def test_who_talks_is_followed_not_who_is_silent(
    clips: dict[str, Clip], detector: FaceDetector, talks: str, other: str
) -> None:
    talking = clips[talks]
    if other == "still":
        (other_head,) = set(HEADS) - {talks}
        silent = [clips[other_head].images[0]] * PICTURES
    else:  # a living face that says nothing, there from 4.0 s on, forth and back
        there = clips["noface_face.mov"].images[42:]
        silent = [*there, *there[::-1], *there, *there[::-1]][:PICTURES]
    for left in (True, False):
        pair = (talking.images, silent) if left else (silent, talking.images)
        seen = _watch(*pair, detector)
        for seconds in (2.0, 4.0):
            assert all(_right_choices(seen, talking, left=left, seconds=seconds))


def test_of_two_who_talk_the_one_who_is_heard_is_followed(
    clips: dict[str, Clip], detector: FaceDetector
) -> None:
    """Both mouths move all the time. Measured: 2 s YuNet 91 %, cascade 83 %; 4 s 100 %."""
    one, two = (clips[name] for name in HEADS)
    seen = _watch(one.images, two.images, detector)
    for seconds, wanted in ((2.0, 0.75), (4.0, 0.95)):
        choices = [
            choice
            for sound, left in ((one, True), (two, False))
            for choice in _right_choices(seen, sound, left=left, seconds=seconds)
        ]
        assert np.mean(choices) >= wanted
