"""A microphone: found, heard, overflowing, lost and found again."""

from __future__ import annotations

import builtins
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from magtkd_rt.errors import ExtraMissing, InputError
from magtkd_rt.sources import Notice
from magtkd_rt.sources.fakes import FakeAudio
from magtkd_rt.sources.inbox import MAX_SOUND_SECONDS, Inbox, SoundBlock
from magtkd_rt.sources.keeper import Keeper, Pauses
from magtkd_rt.sources.microphone import Microphone, find_microphone
from magtkd_rt.sources.portaudio import MicrophoneInfo, PortAudio

BUILT_IN = MicrophoneInfo(0, "Built-in", 2, 48_000, default=True)
HEADSET = MicrophoneInfo(3, "USB Headset", 1, 44_100, default=False)
MIXER = MicrophoneInfo(7, "pulse", 32, 44_100, default=False)
QUICK = Pauses(first=0.01, longest=0.02, jitter=0.0)

SOME = np.full((960, 2), 0.25, np.float32)


def eventually(true: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


@contextmanager
def hearing(microphone: Microphone) -> Iterator[list[Notice]]:
    told: list[Notice] = []
    keeper = Keeper(microphone, told.append, QUICK)
    keeper.start()
    try:
        yield told
    finally:
        keeper.stop()
        keeper.join(5)


def sound(inbox: Inbox) -> SoundBlock:
    block = inbox.get(5)
    assert isinstance(block, SoundBlock)
    return block


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("", BUILT_IN), ("3", HEADSET), ("usb head", HEADSET), ("Built-in", BUILT_IN)],
)
def test_found_by_name_and_number(wanted: str, found: MicrophoneInfo) -> None:
    assert find_microphone([BUILT_IN, HEADSET, MIXER], wanted) == found


@pytest.mark.parametrize(
    ("there", "wanted", "words"),
    [
        ([], "", "no microphone was found.*--input FILE.*magtkd devices"),
        ([BUILT_IN], "9", "no microphone '9'.*magtkd devices"),
        ([BUILT_IN], "Studio", "no microphone 'Studio'"),
        ([BUILT_IN, HEADSET], "b", "several.*0 'Built-in', 3 'USB Headset'"),
    ],
)
def test_not_found(there: list[MicrophoneInfo], wanted: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_microphone(there, wanted)


def test_blocks_are_stamped_when_they_began() -> None:
    audio, inbox = FakeAudio(BUILT_IN), Inbox()
    with hearing(Microphone("", inbox, audio)):
        eventually(lambda: audio.feed(SOME, age=0.5))
        now_ns = time.monotonic_ns()
        block = sound(inbox)
    assert block.samples.shape == (960, 2) and block.rate == 48_000
    assert (now_ns - block.begin_ns) / 1e9 == pytest.approx(0.5, abs=0.1)
    assert not audio.opened[0].open


def test_a_mixer_in_software_is_asked_for_two_channels() -> None:
    audio = FakeAudio(MIXER)
    microphone = Microphone("", Inbox(), audio, every_channel=True)
    assert microphone.channels == 2
    with hearing(microphone):
        eventually(lambda: audio.opened)
    assert audio.opened[0].channels == 2


def test_overflows_are_counted() -> None:
    audio, inbox = FakeAudio(BUILT_IN), Inbox()
    with hearing(Microphone("", inbox, audio)):
        eventually(lambda: audio.feed(SOME))
        audio.feed(SOME, overflowed=True)
        assert inbox.dropped == {"microphone_overflows": 1}
        for _ in range(400):  # 8 s of sound that nobody takes
            audio.feed(SOME)
        waiting = 0.0
        while (block := inbox.get(0)) is not None:
            assert isinstance(block, SoundBlock)
            waiting += block.seconds
    assert waiting <= MAX_SOUND_SECONDS
    assert inbox.dropped["microphone_samples"] == pytest.approx(3.04 * 48_000, abs=2_000)


def test_unplugged_and_plugged_in_elsewhere() -> None:
    audio, inbox = FakeAudio(BUILT_IN, HEADSET), Inbox()
    with hearing(Microphone("USB Headset", inbox, audio)) as told:
        eventually(lambda: audio.feed(SOME[:, :1]))
        sound(inbox)
        audio.unplug()
        eventually(lambda: told)
        assert told[0].code == "device_lost" and "USB Headset" in told[0].message
        assert not audio.opened[0].open
        moved = MicrophoneInfo(5, "USB Headset", 1, 16_000, default=False)
        audio.plugged = [BUILT_IN, moved]
        eventually(lambda: audio.feed(SOME[:, :1]) and len(told) == 2)
        assert told[1].code == "device_back"
        assert sound(inbox).rate == 16_000


def test_a_stream_that_says_nothing_is_lost() -> None:
    audio, inbox = FakeAudio(BUILT_IN), Inbox()
    with hearing(Microphone("", inbox, audio, patience=0.2)) as told:
        eventually(lambda: audio.feed(SOME))
        eventually(lambda: told)
        assert "no sound for" in told[0].message
        eventually(lambda: len(audio.opened) > 1)
        eventually(lambda: audio.feed(SOME) and len(told) >= 2)
        assert told[1].code == "device_back"


def test_a_microphone_that_is_taken_is_tried_again() -> None:
    audio, inbox = FakeAudio(BUILT_IN), Inbox()
    audio.busy = True
    with hearing(Microphone("", inbox, audio)) as told:
        eventually(lambda: told)
        assert "cannot be opened" in told[0].message and "close what else" in told[0].message
        audio.busy = False
        eventually(lambda: audio.feed(SOME) and len(told) == 2)


def test_a_missing_library_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    really = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return really(name, *rest)  # type: ignore[arg-type]

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(ExtraMissing, match="PortAudio.*apt-get install libportaudio2"):
        PortAudio()


def test_the_callback_does_not_wait_for_the_reader() -> None:
    inbox = Inbox()
    block = SoundBlock(SOME, 48_000, 0, 1)
    start = time.monotonic()
    for _ in range(1000):
        inbox.put_sound(block, overflowed=False)
    assert time.monotonic() - start < 1
    inbox.close()
    assert inbox.get(10) is None
