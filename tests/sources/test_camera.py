"""A camera: pictures in time, taken, frozen, ended; a stream over HTTP; a file played as one."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.core.media import VideoFrame
from magtkd_rt.errors import InputError
from magtkd_rt.sources import Notice
from magtkd_rt.sources.camera import Camera
from magtkd_rt.sources.cameras import list_cameras
from magtkd_rt.sources.fakes import FakeCapture
from magtkd_rt.sources.inbox import Inbox
from magtkd_rt.sources.keeper import Keeper, Pauses

QUICK = Pauses(first=0.01, longest=0.05, jitter=0.0)


def eventually(true: Callable[[], object], seconds: float = 8.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


@contextmanager
def seeing(camera: Camera) -> Iterator[SimpleNamespace]:
    told: list[Notice] = []
    keeper = Keeper(camera, told.append, QUICK)
    keeper.start()
    try:
        yield SimpleNamespace(told=told, keeper=keeper)
    finally:
        keeper.stop()
        keeper.join(8)


class Sensor:
    """Pictures at 50 a second, each a little different, unless it hangs or breaks."""

    def __init__(self) -> None:
        self.hangs = False
        self.broken = False
        self._count = 0

    def __call__(self) -> NDArray[np.uint8] | None:
        time.sleep(0.02)
        if self.broken:
            return None
        self._count += not self.hangs
        image = np.zeros((48, 64, 3), np.uint8)
        image[..., 0] = 200  # blue, in OpenCV's order
        image[..., 1] = self._count % 256
        return image


def picture(inbox: Inbox) -> VideoFrame:
    frame = inbox.get(5)
    assert isinstance(frame, VideoFrame)
    return frame


def test_pictures_are_rgb_and_stamped_now() -> None:
    inbox = Inbox()
    with seeing(Camera("0", inbox, 10, open_capture=lambda _: FakeCapture(Sensor()))):
        frame = picture(inbox)
        age = time.monotonic_ns() - frame.time_ns
    assert frame.image.shape == (48, 64, 3) and tuple(frame.image[0, 0, [0, 2]]) == (0, 200)
    assert 0 <= age < 1e9


def test_no_more_pictures_than_asked_for() -> None:
    inbox = Inbox()
    with seeing(Camera("0", inbox, 10, open_capture=lambda _: FakeCapture(Sensor()))):
        times = [picture(inbox).time_ns / 1e9 for _ in range(12)]
    assert np.diff(times).mean() > 0.08
    assert (np.diff(times) > 0).all()


def test_large_pictures_are_scaled_down() -> None:
    inbox = Inbox()
    large = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), np.uint8)

    def slow() -> NDArray[np.uint8]:
        time.sleep(0.05)
        return large

    with seeing(Camera("0", inbox, 30, open_capture=lambda _: FakeCapture(slow))):
        assert picture(inbox).image.shape == (720, 1280, 3)


def test_the_newest_picture_wins() -> None:
    inbox = Inbox()
    with seeing(Camera("0", inbox, 50, open_capture=lambda _: FakeCapture(Sensor()))):
        eventually(lambda: inbox.dropped["camera_pictures"] >= 5)
        first = picture(inbox)
        second = picture(inbox)
    assert time.monotonic_ns() - first.time_ns < 1e9
    assert second.time_ns > first.time_ns


def test_a_camera_that_breaks_and_returns() -> None:
    sensor, inbox = Sensor(), Inbox()
    captures: list[FakeCapture] = []

    def open_capture(_: str) -> FakeCapture:
        captures.append(FakeCapture(sensor, opened=not sensor.broken))
        return captures[-1]

    with seeing(Camera("0", inbox, 50, open_capture=open_capture)) as seen:
        picture(inbox)
        sensor.broken = True
        eventually(lambda: seen.told)
        assert seen.told[0].code == "device_lost"
        assert "no pictures any more" in seen.told[0].message
        eventually(lambda: len(captures) > 3)
        sensor.broken = False
        eventually(lambda: len(seen.told) == 2)
        assert seen.told[1].code == "device_back"
    assert all(capture.released.is_set() for capture in captures)


def test_a_camera_that_is_not_there_is_tried_again() -> None:
    inbox = Inbox()
    with seeing(Camera("77", inbox, 10)) as seen:  # OpenCV itself
        eventually(lambda: seen.told)
        assert "no /dev/video77" in seen.told[0].message and "plug it in" in seen.told[0].message
        time.sleep(0.2)
        assert len(seen.told) == 1


def test_a_taken_camera_says_so() -> None:
    closed = FakeCapture(Sensor(), opened=False)
    camera = Camera("/dev/null", Inbox(), 10, open_capture=lambda _: closed)
    with seeing(camera) as seen:
        eventually(lambda: seen.told)
        assert "close what else uses it" in seen.told[0].message


def test_a_frozen_camera_is_lost_until_its_picture_changes() -> None:
    sensor, inbox = Sensor(), Inbox()
    opened = 0

    def open_capture(_: str) -> FakeCapture:
        nonlocal opened
        opened += 1
        return FakeCapture(sensor)

    camera = Camera("0", inbox, 50, open_capture=open_capture, frozen_after=0.2)
    with seeing(camera) as seen:
        eventually(lambda: inbox.get(1))
        sensor.hangs = True
        eventually(lambda: seen.told)
        assert [notice.code for notice in seen.told] == ["camera_frozen"]
        assert "same picture for 0.2 s" in seen.told[0].message
        while inbox.get(0) is not None:
            pass
        eventually(lambda: opened >= 3)
        assert inbox.get(0.1) is None, "a picture it hangs on is no picture"
        assert len(seen.told) == 1
        sensor.hangs = False
        assert picture(inbox)
        eventually(lambda: len(seen.told) == 2)
        assert seen.told[1].code == "device_back"


@pytest.mark.parametrize("where", ["no-such-file.mp4", "front door", "http://[::1"])
def test_what_is_no_camera(where: str) -> None:
    with pytest.raises(InputError, match="no camera|no address"):
        Camera(where, Inbox(), 10)


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("no video")
    with pytest.raises(InputError, match="notes.mp4 cannot be read as video; "):
        Camera(str(text), Inbox(), 10)


def test_passwords_are_not_shown() -> None:
    assert Camera("rtsp://me:secret@door/1?key=x", Inbox(), 10).name == "rtsp://door/1"


def test_a_video_file_is_played_as_fast_as_it_was_recorded(
    tmp_path: Path, recordings: SimpleNamespace
) -> None:
    movie = recordings.write_movie(
        tmp_path / "talk.mp4", pictures_at=[n / 25 for n in range(25)], size=(64, 48)
    )
    inbox, frames = Inbox(), []
    start = time.monotonic()
    with seeing(Camera(str(movie), inbox, 10)) as seen:
        while not seen.keeper.finished:
            frame = inbox.get(0.05)
            if frame is not None:
                frames.append(frame)
    assert time.monotonic() - start > 0.8
    assert 4 <= len(frames) <= 12
    assert isinstance(frames[0], VideoFrame)
    assert frames[0].image[24, 10, 0] > 200  # left is red
    assert seen.told == []


class Motion(http.server.BaseHTTPRequestHandler):
    """An MJPEG stream as cheap network cameras give it; ends after `pictures`."""

    pictures = 10**6

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        image = np.zeros((48, 64, 3), np.uint8)
        try:
            for number in range(self.pictures):
                image[:] = (number * 3 % 256, 40, 220)
                jpeg = cv2.imencode(".jpg", image)[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                time.sleep(0.02)
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def motion() -> Iterator[tuple[str, type[Motion]]]:
    class Handler(Motion):
        pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/video.mjpg", Handler
    server.shutdown()
    server.server_close()


def test_a_stream_over_http(motion: tuple[str, type[Motion]]) -> None:
    address, handler = motion
    handler.pictures = 60
    inbox = Inbox()
    with seeing(Camera(address, inbox, 25)) as seen:
        frame = picture(inbox)
        assert frame.image.shape == (48, 64, 3) and frame.image[..., 0].mean() > 180  # red
        eventually(lambda: [notice.code for notice in seen.told] == ["device_lost", "device_back"])
        assert "check the address" in seen.told[0].message


def test_an_address_that_does_not_answer() -> None:
    with seeing(Camera("http://127.0.0.1:9/video", Inbox(), 10)) as seen:
        eventually(lambda: seen.told)
        assert "does not answer" in seen.told[0].message


def test_cameras_are_listed_as_linux_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, index, called in (("video10", "0", "Second"), ("video2", "0", "First"),
                                ("video3", "1", "First's metadata")):  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "index").write_text(index)
        (tmp_path / name / "name").write_text(called + "\n")
    monkeypatch.setattr("sys.platform", "linux")
    found = list_cameras(tmp_path)
    assert [(camera.index, camera.name) for camera in found] == [(2, "First"), (10, "Second")]
