"""PortAudio, as far as it is needed: which microphones there are, and streams of their sound."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.errors import ExtraMissing, InputError
from magtkd_rt.sources.keeper import DeviceLost

BLOCK_SECONDS: Final = 0.02
USUAL_RATES: Final = (8_000, 16_000, 44_100, 48_000, 96_000)

OnSound = Callable[[NDArray[np.float32], float, bool], None]
"""Takes float32 (n, channels) to keep, seconds since its first sample was heard, and whether
the driver lost sound before it. On PortAudio's thread: must not wait."""


@dataclass(frozen=True, slots=True)
class MicrophoneInfo:
    """A microphone that PortAudio knows.

    Attributes:
        index: changes when devices come and go.
        name: as the driver says it.
        channels: at most.
        rate: its own samples a second.
        default: whether it is taken where none is named.
    """

    index: int
    name: str
    channels: int
    rate: int
    default: bool


class SoundStream(Protocol):
    """An open microphone."""

    @property
    def active(self) -> bool:
        """Whether it still runs, as far as the driver knows."""
        ...

    def close(self) -> None:
        """Close it, whatever state it is in."""
        ...


class AudioSystem(Protocol):
    """What is needed of PortAudio; `FakeAudio` is the public fake."""

    def microphones(self) -> list[MicrophoneInfo]:
        """Those that were there at the last `rescan`."""
        ...

    def rates(self, microphone: MicrophoneInfo) -> list[int]:
        """Which of the usual rates it can be opened with."""
        ...

    def rescan(self) -> None:
        """Look which devices there are now; no stream may be open."""
        ...

    def open(self, microphone: MicrophoneInfo, channels: int, on_sound: OnSound) -> SoundStream:
        """Start a stream at the microphone's own rate.

        Raises:
            DeviceLost: it cannot be opened.
        """
        ...


class PortAudio:
    """PortAudio through sounddevice.

    Raises:
        ExtraMissing: sounddevice, or the library that it needs, is not installed.
        InputError: the library fails to start.
    """

    def __init__(self) -> None:
        try:
            import sounddevice
        except ImportError as error:
            raise ExtraMissing("sounddevice", remedy="pip install sounddevice") from error
        except OSError as error:
            raise ExtraMissing("PortAudio's library", remedy=_install_portaudio()) from error
        except Exception as error:  # sounddevice.PortAudioError, which could not be imported
            raise InputError(
                f"PortAudio does not start ({error})", remedy="check the sound system"
            ) from error
        self._sd: Any = sounddevice

    def microphones(self) -> list[MicrophoneInfo]:
        """Those that were there at the last `rescan`."""
        default = self._sd.default.device[0]
        if default < 0:  # PortAudio's default of the first host API that has one
            hosts = (api["default_input_device"] for api in self._sd.query_hostapis())
            default = next((index for index in hosts if index >= 0), -1)
        return [
            MicrophoneInfo(
                index=index,
                name=device["name"],
                channels=device["max_input_channels"],
                rate=round(device["default_samplerate"]),
                default=index == default,
            )
            for index, device in enumerate(self._sd.query_devices())
            if device["max_input_channels"] > 0
        ]

    def rates(self, microphone: MicrophoneInfo) -> list[int]:
        """Which of the usual rates it can be opened with."""
        return [rate for rate in USUAL_RATES if self._takes(microphone.index, rate)]

    def _takes(self, index: int, rate: int) -> bool:
        try:
            self._sd.check_input_settings(device=index, channels=1, samplerate=rate)
        except (self._sd.PortAudioError, ValueError):
            return False
        return True

    def rescan(self) -> None:
        """Look which devices there are now; no stream may be open."""
        # PortAudio looks once, when it starts; sounddevice has no public name for starting anew.
        self._sd._terminate()
        self._sd._initialize()

    def open(self, microphone: MicrophoneInfo, channels: int, on_sound: OnSound) -> SoundStream:
        """Start a stream at the microphone's own rate.

        Raises:
            DeviceLost: it cannot be opened.
        """
        rate = microphone.rate

        stream: Any = None
        delay: float | None = None

        def callback(sound: Any, frames: int, time: Any, status: Any) -> None:
            nonlocal delay
            lasts = frames / rate
            if delay is None:
                # Both on the stream's own clock, whatever that is. Asked once only: through
                # PulseAudio it changes from 200 to 17 ms while the sound flows evenly.
                stated = time.currentTime - time.inputBufferAdcTime - lasts
                delay = min(max(stated, 0.0), stream.latency)
            on_sound(sound.copy(), lasts + delay, bool(status.input_overflow))

        try:
            stream = self._sd.InputStream(
                device=microphone.index,
                samplerate=rate,
                channels=channels,
                dtype="float32",
                blocksize=round(rate * BLOCK_SECONDS),
                callback=callback,
            )
            stream.start()
        except (self._sd.PortAudioError, ValueError) as error:
            if stream is not None:
                stream.close(ignore_errors=True)
            raise DeviceLost(
                f"it cannot be opened ({_first(error)})",
                remedy="close what else uses it, and allow this user to record (group audio)",
            ) from error
        return _Stream(stream)


class _Stream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    @property
    def active(self) -> bool:
        return bool(self._stream.active)

    def close(self) -> None:
        self._stream.abort(ignore_errors=True)
        self._stream.close(ignore_errors=True)


def _install_portaudio() -> str:
    if sys.platform == "linux":
        return "on Debian or Ubuntu: sudo apt-get install libportaudio2"
    return "pip install --force-reinstall sounddevice brings it"


def _first(error: Exception) -> str:
    """The message alone, of PortAudio's errors that carry numbers as well."""
    return str(error.args[0] if error.args else error)
