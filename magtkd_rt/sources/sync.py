"""How far sound and pictures are apart, as far as it can be known without a clapperboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from magtkd_rt.core.media import NANOSECONDS, SAMPLE_RATE
from magtkd_rt.sources._sound import SAMPLE_NS
from magtkd_rt.sources.base import Notice
from magtkd_rt.sources.soundline import SoundLine

FIRST_NS: Final = 10 * NANOSECONDS
"""When it is told for the first time: by then delays are settled."""
EVERY_NS: Final = 600 * NANOSECONDS
_WEIGHT: Final = 0.05


class Sync:
    """Measures how long sound and pictures take to get here, and how the sound's clock strays.

    Args:
        line: the sound; None where there is none.
        tell: takes a notice `sync`, the first after FIRST_NS, then every EVERY_NS. There is one
            only where both sound and picture came.
    """

    def __init__(self, line: SoundLine | None, tell: Callable[[Notice], None]) -> None:
        self._line = line
        self._tell = tell
        self._first_sound_ns: int | None = None
        self._first_picture_ns: int | None = None
        self._sound_delay_ms = 0.0
        self._picture_delay_ms = 0.0
        self._due_ns = FIRST_NS

    def heard(self, now_ns: int) -> None:
        """The line took sound at this instant."""
        assert self._line is not None
        delay_ms = (now_ns - self._line.end * SAMPLE_NS) / 1e6
        if self._first_sound_ns is None:
            self._first_sound_ns = self._line.end * SAMPLE_NS
            self._sound_delay_ms = delay_ms
        self._sound_delay_ms += _WEIGHT * (delay_ms - self._sound_delay_ms)
        self._look(now_ns)

    def saw(self, taken_ns: int, now_ns: int) -> None:
        """A picture came at this instant that was taken at `taken_ns`."""
        delay_ms = (now_ns - taken_ns) / 1e6
        if self._first_picture_ns is None:
            self._first_picture_ns = taken_ns
            self._picture_delay_ms = delay_ms
        self._picture_delay_ms += _WEIGHT * (delay_ms - self._picture_delay_ms)
        self._look(now_ns)

    def _look(self, now_ns: int) -> None:
        if now_ns < self._due_ns or self._line is None:
            return
        if self._first_sound_ns is None or self._first_picture_ns is None:
            return
        self._due_ns = now_ns + EVERY_NS
        first_ms = (self._first_picture_ns - self._first_sound_ns) / 1e6
        slipped_ms = self._line.slipped * 1e3 / SAMPLE_RATE
        off_ms = self._line.error * 1e3 / SAMPLE_RATE
        message = (
            f"sound and picture are on one clock: the sound is {off_ms:+.1f} ms off it, after it "
            f"was moved by {slipped_ms:+.1f} ms in {now_ns / 1e9:.0f} s; sound arrives "
            f"{self._sound_delay_ms:.0f} ms and a picture {self._picture_delay_ms:.0f} ms after "
            "the time that its driver states; the first picture came "
            f"{first_ms:+.0f} ms after the first sound"
        )
        self._tell(Notice("info", "sync", message))
