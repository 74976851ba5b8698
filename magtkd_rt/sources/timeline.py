"""The capture times that a sender states: which of them can be true, and what time it is there.

Pure: it knows the present only from what it is told. All times are nanoseconds; a sender's are
on a clock of its own that never goes back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from magtkd_rt.core.media import NANOSECONDS

GAP_NS: Final = NANOSECONDS // 4
"""A stamp so far after the end of the sound before it says that sound is missing; less is jitter
of the sender's stamps."""
OVERLAP_NS: Final = NANOSECONDS // 2
"""A stamp so far before the end of the sound before it cannot be true."""
RESENT_NS: Final = 120 * NANOSECONDS
"""A sender that comes back does not send again what is older than this."""
_SLACK: Final = 0.001
"""A sender's clock may run fast by this share: crystals stay under 0.0002."""
_PULL: Final = 0.005
"""Share of its length by which sound may be moved, to follow the stamps."""


class Untimely(ValueError):
    """A capture time that cannot be accepted.

    Args:
        code: of the protocol: `bad_frame` or `too_fast`.
        problem: one line.
    """

    def __init__(self, code: Literal["bad_frame", "too_fast"], problem: str) -> None:
        self.code: Final = code
        super().__init__(problem)


@dataclass(slots=True)
class Timeline:
    """Judges the capture times of one session, over all of its connections.

    Args:
        ahead_ns: how far media may run ahead of the time that has passed since its first.
    """

    ahead_ns: int
    zero_ns: int | None = None
    """Media zero on the sender's clock: the first capture time; None before it."""
    sound_end_ns: int | None = None
    """Where the sound that was taken ends, on the sender's clock."""
    picture_ns: int | None = None
    """When the last picture that was taken was captured."""
    _run: int = 0
    _first_delay_ns: int = 0  # from the first capture to its arrival, between two clocks
    _last_sound_ns: int | None = None  # of this connection
    _last_picture_ns: int | None = None
    _counted_ns: int | None = field(default=None, repr=False)

    def reconnect(self) -> None:
        """Another connection of the same sender: it may send again what it sent before."""
        self._last_sound_ns = self._last_picture_ns = self._counted_ns = None

    def take_sound(self, begin_ns: int, length_ns: int, now_ns: int) -> int:
        """Accept sound.

        Args:
            begin_ns: capture time of its first sample.
            length_ns: how long it lasts.
            now_ns: when it arrived.

        Returns:
            its run: sound of one run follows without a gap.

        Raises:
            Untimely: the capture time cannot be true; nothing has changed.
        """
        if self._last_sound_ns is not None and begin_ns < self._last_sound_ns:
            back = (self._last_sound_ns - begin_ns) / 1e9
            raise Untimely(
                "bad_frame",
                f"the time of sound goes back by {back:.3f} s; stamp it as it was captured",
            )
        self._check_resent(begin_ns, self.sound_end_ns)
        counted, new_run = begin_ns, True
        if self._counted_ns is not None and begin_ns - self._counted_ns <= GAP_NS:
            off = begin_ns - self._counted_ns
            if off < -OVERLAP_NS:
                problem = (
                    f"{-off / 1e9:.3f} s of sound that was heard already; stamp it as captured"
                )
                raise Untimely("bad_frame", problem)
            most = int(length_ns * _PULL)
            counted, new_run = self._counted_ns + min(most, max(-most, off)), False
        end_ns = max(begin_ns, counted) + length_ns
        self._check_ahead(begin_ns, end_ns, now_ns)
        self._last_sound_ns = begin_ns
        self._counted_ns = counted + length_ns
        self._run += new_run
        self.sound_end_ns = max(self.sound_end_ns or 0, begin_ns + length_ns)
        return self._run

    def take_picture(self, time_ns: int, now_ns: int) -> bool:
        """Accept a picture; returns False for one that was sent before, on another connection.

        Raises:
            Untimely: the capture time cannot be true; nothing has changed.
        """
        if self._last_picture_ns is not None and time_ns <= self._last_picture_ns:
            back = (self._last_picture_ns - time_ns) / 1e9
            problem = f"the time of pictures goes back by {back:.3f} s; stamp them as captured"
            raise Untimely("bad_frame", problem)
        self._check_resent(time_ns, self.picture_ns)
        self._check_ahead(time_ns, time_ns, now_ns)
        self._last_picture_ns = time_ns
        if self.picture_ns is not None and time_ns <= self.picture_ns:
            return False
        self.picture_ns = time_ns
        return True

    def _check_resent(self, time_ns: int, taken_ns: int | None) -> None:
        if taken_ns is not None and time_ns < taken_ns - RESENT_NS:
            problem = "the sender's clock began anew; keep one clock, or begin a new session"
            raise Untimely("bad_frame", problem)

    def _check_ahead(self, begin_ns: int, end_ns: int, now_ns: int) -> None:
        if self.zero_ns is None:
            self.zero_ns = begin_ns
            self._first_delay_ns = now_ns - end_ns
            return
        since_ns = max(0, end_ns - self.zero_ns)
        ahead_ns = self._first_delay_ns - (now_ns - end_ns) - int(since_ns * _SLACK)
        if ahead_ns > self.ahead_ns:
            problem = f"media is {ahead_ns / 1e9:.1f} s ahead; send it in real time"
            raise Untimely("too_fast", problem)


class Present:
    """What time it is for the sender, by the least delay of late: jitter only ever adds to it."""

    _SPAN_NS: Final = 30 * NANOSECONDS  # long enough for a stall, short enough for drift

    def __init__(self) -> None:
        self.longest_ns = 0
        """The longest block of sound: until it is over, none of it can come."""
        self._least: list[int] = []  # delay, of this span and of the one before
        self._span_began_ns = 0

    @property
    def known(self) -> bool:
        """Whether anything has been observed."""
        return bool(self._least)

    def observe(self, captured_ns: int, arrived_ns: int) -> None:
        """Media that was captured by `captured_ns` since media zero arrived at `arrived_ns`."""
        delay_ns = arrived_ns - captured_ns
        if not self._least or arrived_ns - self._span_began_ns > self._SPAN_NS:
            self._least = [delay_ns, *self._least[:1]]
            self._span_began_ns = arrived_ns
        self._least[0] = min(self._least[0], delay_ns)

    def restart(self, captured_ns: int, arrived_ns: int) -> None:
        """The delay has grown for good, as far as is known: it is as it is now."""
        self._least = []
        self.observe(captured_ns, arrived_ns)

    def behind_ns(self, heard_ns: int, now_ns: int) -> int:
        """How far what was heard is behind what could be here by now."""
        if not self._least:
            return 0
        return now_ns - min(self._least) - self.longest_ns - heard_ns
