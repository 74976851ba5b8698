"""Each check, on machines that are in order and on such that are not."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.config import LiveConfig, ServerConfig
from magtkd_rt.doctor import Finding, examine
from magtkd_rt.doctor.checks import checks_for
from magtkd_rt.doctor.gpu import check_gpu, driver_version, installed_builds
from magtkd_rt.doctor.installation import check_imports, check_python, check_versions
from magtkd_rt.doctor.picture import check_camera
from magtkd_rt.doctor.place import check_folder, check_port
from magtkd_rt.doctor.sound import (
    check_microphone,
    check_permissions,
    check_sound_server,
    judge_level,
)
from magtkd_rt.doctor.trained import check_bundle, check_faces, check_speech, check_words
from magtkd_rt.errors import BundleError, ExtraMissing, InputError, ServerError
from magtkd_rt.sources.fakes import FakeAudio, FakeCapture
from magtkd_rt.sources.portaudio import MicrophoneInfo

DESK = MicrophoneInfo(2, "Desk microphone", 1, 16_000, default=True)


def levels(findings: list[Finding]) -> list[str]:
    return [finding.level for finding in findings]


@pytest.fixture(autouse=True)
def nothing_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MAGTKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MAGTKD_OFFLINE", "1")
    monkeypatch.delenv("MAGTKD_YUNET", raising=False)


# The installation


def test_python() -> None:
    assert levels(check_python()) == ["ok"]
    (old,) = check_python((3, 10, 4))
    assert old.level == "error" and "3.11" in old.remedy


def test_packages_here_are_in_order() -> None:
    assert levels(check_versions()) == ["ok"]


@pytest.mark.parametrize(
    ("installed", "level", "words"),
    [
        ({"av": "18.1.0", "pose": "4.14.0.94"}, "ok", "2 required"),
        ({"av": "18.1.0"}, "error", "missing: pose"),
        ({"av": "13.9", "pose": "4.14.0.94"}, "error", "av 13.9, not >=14"),
        ({"av": "18.1.0", "pose": "5.0"}, "error", "pose 5.0, not >=4.10,<5"),
        ({"av": "18.2.0", "pose": "4.14.0.94"}, "warning", "av 18.2.0, tested was 18.1.0"),
    ],
)
def test_packages(tmp_path: Path, installed: dict[str, str], level: str, words: str) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("# tested\nav==18.1.0\n")
    required = ["av>=14", "pose>=4.10,<5", "torch>=2; extra == 'train'"]
    (found,) = check_versions(required, installed, constraints)
    assert found.level == level and words in found.found
    assert bool(found.remedy) == (level != "ok")


def test_imports() -> None:
    assert levels(check_imports()) == ["ok"]


@pytest.mark.parametrize("fault", ["raise ImportError('no such symbol')", "import os; os.abort()"])
def test_a_module_that_cannot_be_imported_or_crashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    (tmp_path / "faulty.py").write_text(fault)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (found,) = check_imports(("json", "faulty", "numpy"))
    assert found.level == "error" and found.found.startswith("faulty: ")


# Sound


def played(audio: FakeAudio, sound: NDArray[np.float32]) -> list[Finding]:
    """What the doctor says while this is heard."""

    def feed() -> None:
        while not audio.opened:
            time.sleep(0.005)
        for first in range(0, len(sound), 320):
            audio.feed(sound[first : first + 320, np.newaxis])

    feeding = threading.Thread(target=feed)
    feeding.start()
    found = check_microphone(open_audio=lambda: audio, seconds=0.5)
    feeding.join()
    assert not audio.opened[0].open, "it is closed again"
    return found


@pytest.mark.parametrize(
    ("amplitude", "level", "words"),
    [
        (0.1, "ok", "-23 dBFS, peak -20 dBFS"),
        (0.0, "warning", "silent"),
        (0.0002, "warning", "-77 dBFS"),
        (3.0, "warning", "clipping"),
    ],
)
def test_the_level_of_a_microphone(amplitude: float, level: str, words: str) -> None:
    wave = amplitude * np.sin(np.arange(32_000) * 0.3)
    portaudio, microphone = played(FakeAudio(DESK), np.clip(wave, -1, 1).astype(np.float32))
    assert portaudio.level == "ok"
    assert microphone.level == level and words in microphone.found
    assert "Desk microphone" in microphone.found


def test_the_level_counts_after_the_crack_of_opening() -> None:
    quiet = np.full(32_000, 0.01, np.float32)
    quiet[:2000] = 1.0
    assert played(FakeAudio(DESK), quiet)[1].level == "ok"


def test_a_microphone_that_gives_nothing() -> None:
    begin = time.monotonic()
    found = check_microphone(open_audio=lambda: FakeAudio(DESK), seconds=0.1)
    assert found[1].level == "error" and "no sound" in found[1].found
    assert time.monotonic() - begin < 4


def test_no_microphone_and_a_busy_one() -> None:
    (_, none) = check_microphone(open_audio=FakeAudio)
    assert none.level == "error" and "--input FILE" in none.remedy
    audio = FakeAudio(DESK)
    audio.busy = True
    (_, busy) = check_microphone(open_audio=lambda: audio)
    assert busy.level == "error" and "busy" in busy.found and "--input FILE" in busy.remedy


def test_without_portaudio() -> None:
    def missing() -> FakeAudio:
        raise ExtraMissing("PortAudio's library", remedy="sudo apt-get install libportaudio2")

    (found,) = check_microphone(open_audio=missing)
    assert found.level == "error" and "apt-get" in found.remedy


def test_without_listening_nothing_is_opened() -> None:
    audio = FakeAudio(DESK)
    assert levels(check_microphone(open_audio=lambda: audio, record=False)) == ["ok", "ok"]
    assert audio.opened == []


def test_digital_silence_has_a_level() -> None:
    assert "-120 dBFS" in judge_level("it", np.zeros((100, 1), np.float32)).found


@pytest.mark.parametrize(
    ("said", "level", "words"),
    [
        ("Server Name: pulse\nDefault Source: alsa_input.desk\nMute: no\n", "ok", "alsa_input"),
        ("Server Name: pulse\nDefault Source: alsa_input.desk\nMute: yes\n", "warning", "muted"),
        ("Server Name: pulse\nDefault Source: \n", "warning", "no source"),
    ],
)
def test_the_sound_server(said: str, level: str, words: str) -> None:
    (found,) = check_sound_server(lambda: said)
    assert found.level == level and words in found.found


def test_no_sound_server() -> None:
    def refuses() -> str:
        raise subprocess.CalledProcessError(1, "pactl")

    assert levels(check_sound_server(refuses)) == ["ok"]


@pytest.mark.skipif(sys.platform != "linux", reason="groups of Linux")
def test_permissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "snd").mkdir()
    (tmp_path / "snd" / "pcmC0D0c").touch()
    (tmp_path / "video0").touch()
    assert levels(check_permissions(tmp_path)) == ["ok", "ok"]
    monkeypatch.setattr("os.access", lambda *_: False)  # root may everything
    sound, video = check_permissions(tmp_path)
    assert (sound.level, video.level) == ("warning", "warning")
    assert "audio" in sound.remedy and "video" in video.remedy


# Pictures


def _giving(capture: FakeCapture) -> Callable[[str], FakeCapture]:
    return lambda _: capture


def seen(tmp_path: Path, *, brightness: int = 100, moves: bool = True) -> Finding:
    random = np.random.default_rng(0)

    def picture() -> NDArray[np.uint8]:
        time.sleep(0.01)
        image = np.full((48, 64, 3), brightness, np.uint8)
        return image + random.integers(0, 3, image.shape, np.uint8) if moves else image

    (tmp_path / "video0").touch()
    capture = FakeCapture(picture)
    (found,) = check_camera("0", open_capture=lambda _: capture, seconds=0.1, devices=tmp_path)
    assert capture.released.is_set()
    return found


def test_cameras(tmp_path: Path) -> None:
    good = seen(tmp_path)
    assert good.level == "ok" and "64 x 48" in good.found
    black = seen(tmp_path, brightness=0)
    assert black.level == "warning" and "black" in black.found
    frozen = seen(tmp_path, moves=False)
    assert frozen.level == "warning" and "all the same" in frozen.found


def test_cameras_that_give_nothing(tmp_path: Path) -> None:
    (none,) = check_camera("0", devices=tmp_path)
    assert none.level == "warning" and "--no-camera" in none.remedy
    (tmp_path / "video0").touch()
    closed, blind = FakeCapture(lambda: None, opened=False), FakeCapture(lambda: None)
    for capture in (closed, blind):
        (found,) = check_camera("0", open_capture=_giving(capture), devices=tmp_path)
        assert found.level == "warning" and found.remedy


def test_a_film_as_a_camera(shared: Path) -> None:
    (found,) = check_camera(str(shared / "media/video/talking_head_1.mp4"))
    assert found.level == "ok" and "512 x 512" in found.found


# GPU


def gpu(
    driver: tuple[int, int] | None, *missing: str, **builds: tuple[int, int] | None
) -> list[Finding]:
    named = {name.replace("_", "-"): version for name, version in builds.items()}
    return check_gpu(lambda: driver, named, lambda library: library not in missing)


def test_no_gpu_is_fine() -> None:
    (found,) = gpu(None, torch=(13, 0), onnxruntime=None, ctranslate2=None)
    assert found.level == "ok" and "on the processor" in found.found


def test_what_fits_the_driver() -> None:
    assert levels(gpu((12, 4), torch=(12, 8), onnxruntime=None, ctranslate2=None)) == ["ok"] * 3


def test_what_is_too_new_for_the_driver() -> None:
    _, torch, ort = gpu((12, 4), torch=(13, 0), onnxruntime_gpu=(13, 0))
    assert torch.level == "warning"
    assert "--index-url https://download.pytorch.org/whl/cu124" in torch.remedy
    assert ort.level == "warning" and "CUDA 12" in ort.remedy


def test_libraries_that_ctranslate2_cannot_open() -> None:
    found = gpu((12, 4), "libcudnn.so.9", ctranslate2=None)[-1]
    assert found.level == "warning"
    assert found.found.startswith("libcudnn.so.9 cannot") and "nvidia-cudnn-cu12" in found.remedy


def test_two_onnxruntimes() -> None:
    found = gpu(None, onnxruntime=None, onnxruntime_gpu=(12, 8))[0]
    assert found.level == "warning" and "overwrite" in found.found


def test_what_is_installed_here_is_read() -> None:
    builds = installed_builds()
    assert {"onnxruntime", "ctranslate2"} <= set(builds)
    torch = pytest.importorskip("torch")
    wanted = torch.version.cuda
    assert builds["torch"] == (tuple(map(int, wanted.split(".")[:2])) if wanted else None)
    assert (driver_version() or (9, 1)) > (9, 0)


# Models


def test_bundles(tiny_bundle: Bundle, tmp_path: Path) -> None:
    assert levels(check_bundle(str(tiny_bundle.directory))) == ["ok", "ok"]
    copy = Path(shutil.copytree(tiny_bundle.directory, tmp_path / "copy"))
    (copy / "audio.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match="wrong hash for audio.onnx"):
        check_bundle(str(copy))


def test_words_without_whisper() -> None:
    whisper, pocketsphinx = check_words("auto", "")
    assert (whisper.level, pocketsphinx.level) == ("warning", "ok")
    assert whisper.remedy == "magtkd models pull base"
    (needed,) = check_words("whisper", "small")
    assert needed.level == "error" and needed.remedy == "magtkd models pull small"
    assert levels(check_words("none", "")) == ["ok"]


def test_words_by_weights_that_are_damaged(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"no weights")
    (found,) = check_words("whisper", str(tmp_path))
    assert found.level == "error" and "cannot be loaded" in found.found


def test_faces_and_speech(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    (found,) = check_faces()
    assert found.level == "warning" and found.remedy == "magtkd models pull yunet"
    monkeypatch.setenv("MAGTKD_YUNET", str(shared / "models" / "yunet_n_dynamic.onnx"))
    assert levels(check_faces()) == ["ok"]
    monkeypatch.setenv("MAGTKD_YUNET", str(tmp_path / "none.onnx"))
    with pytest.raises(InputError):
        check_faces()
    assert levels(check_speech()) == ["ok"]


# The place


def test_ports() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServerError, match="already in use"):
            check_port(ServerConfig(port=taken.getsockname()[1]))
    assert levels(check_port(ServerConfig(port=0))) == ["ok"]


def test_folders(tmp_path: Path) -> None:
    assert levels(check_folder(tmp_path / "new" / "talks")) == ["ok"]
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    assert levels(check_folder(tmp_path / "file" / "talks")) == ["error"]


def test_the_settings_say_what_is_looked_at(tmp_path: Path) -> None:
    assert {"microphone", "camera", "port"} <= set(checks_for(LiveConfig()))
    without = LiveConfig(no_mic=True, no_camera=True, server=False, record=tmp_path)
    assert not {"microphone", "camera", "port", "faces"} & set(checks_for(without))
    assert "recordings" in checks_for(without)
    assert "camera" not in checks_for(LiveConfig(), open_devices=False)
    some = {"port": checks_for(LiveConfig(port=0))["port"]}
    assert levels(list(dict(examine(some))["port"])) == ["ok"]
