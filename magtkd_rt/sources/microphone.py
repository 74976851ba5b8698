"""A microphone as a device that is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.media import NANOSECONDS
from magtkd_rt.errors import InputError
from magtkd_rt.sources.inbox import Inbox, SoundBlock
from magtkd_rt.sources.keeper import DeviceLost
from magtkd_rt.sources.portaudio import AudioSystem, MicrophoneInfo

PATIENCE_SECONDS: Final = 2.0
"""A stream that gives nothing for so long is lost."""
MOST_CHANNELS: Final = 16
"""Devices that claim more are mixers in software, which take any number: two are asked of them."""
_LOOK_SECONDS: Final = 0.1


class Microphone:
    """One microphone, found by name or number; when it is lost and returns, by its name.

    Args:
        wanted: name, a part of one, or an index; empty for the default.
        inbox: gets the sound.
        audio: PortAudio.
        every_channel: hear all channels by themselves; else they are mixed later.
        patience: seconds without sound after which it is lost.

    Raises:
        InputError: there is none, or none or several of that name.
    """

    kind: Final = "microphone"

    def __init__(
        self,
        wanted: str,
        inbox: Inbox,
        audio: AudioSystem,
        *,
        every_channel: bool = False,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        found = find_microphone(audio.microphones(), wanted)
        self.name = found.name
        self.channels = _channels(found) if every_channel else 1
        """Channels of the sound that are to be kept apart."""
        self._wanted = found.name if wanted else ""
        self._inbox = inbox
        self._audio = audio
        self._patience = patience
        self._runs = 0

    def run(self, stopped: threading.Event, here: Callable[[], None]) -> None:
        """Hear until `stopped` is set; see `Device`."""
        if self._runs:
            self._audio.rescan()
        self._runs += 1
        run = self._runs
        try:
            found = find_microphone(self._audio.microphones(), self._wanted)
        except InputError as error:
            raise DeviceLost("it is gone", remedy="plug it in again") from error
        self.name = found.name
        last_ns = time.monotonic_ns()

        def hear(sound: NDArray[np.float32], age: float, overflowed: bool) -> None:
            nonlocal last_ns
            last_ns = time.monotonic_ns()
            begin_ns = last_ns - round(age * NANOSECONDS)
            block = SoundBlock(sound, found.rate, begin_ns, run)
            self._inbox.put_sound(block, overflowed=overflowed)

        opened_ns = last_ns
        stream = self._audio.open(found, _channels(found), hear)
        try:
            while not stopped.wait(_LOOK_SECONDS):
                if last_ns > opened_ns:
                    here()
                silent = (time.monotonic_ns() - last_ns) / NANOSECONDS
                if not stream.active or silent > self._patience:
                    why = f"no sound for {silent:.0f} s" if stream.active else "it stopped"
                    raise DeviceLost(f"it is lost ({why})", remedy="check its plug and its switch")
        finally:
            stream.close()


def find_microphone(microphones: list[MicrophoneInfo], wanted: str) -> MicrophoneInfo:
    """Choose one by index, by name, or the default where `wanted` is empty.

    Raises:
        InputError: there is none, or none or several of that name.
    """
    if not microphones:
        raise InputError(
            "no microphone was found",
            remedy="plug one in, or hear a recording with --input FILE, "
            "or only see with --no-mic; `magtkd devices` lists what is there",
        )
    remedy = "`magtkd devices` lists what is there"
    if not wanted:
        return next((one for one in microphones if one.default), microphones[0])
    if wanted.isdecimal():
        found = [one for one in microphones if one.index == int(wanted)]
    else:
        found = [one for one in microphones if one.name == wanted] or [
            one for one in microphones if wanted.casefold() in one.name.casefold()
        ]
    if not found:
        raise InputError(f"there is no microphone {wanted!r}", remedy=remedy)
    if len({one.name for one in found}) > 1:
        names = ", ".join(f"{one.index} {one.name!r}" for one in found)
        raise InputError(
            f"several microphones are called {wanted!r}: {names}", remedy="give one's number"
        )
    return found[0]


def _channels(microphone: MicrophoneInfo) -> int:
    return microphone.channels if microphone.channels <= MOST_CHANNELS else 2
