"""Live sessions run to their end, and a transcriber that tells what it was fed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sessions import make_setup

from magtkd_rt import wire
from magtkd_rt.core.jobs import Transcribed
from magtkd_rt.core.media import NANOSECONDS, VideoFrame
from magtkd_rt.runtime.clock import MonotonicClock, VirtualClock
from magtkd_rt.runtime.lane import Work
from magtkd_rt.runtime.live import LiveSession, Setup
from magtkd_rt.sources import Media, MemorySource


class Stream:
    """Hears one word each quarter second; closes are counted by the transcriber."""

    def __init__(self, owner: Repeats) -> None:
        self._owner = owner
        self._words: list[str] = []
        self._start: int | None = None

    def feed(self, chunk, ahead=None) -> Transcribed | None:  # type: ignore[no-untyped-def]
        self._start = chunk.start if self._start is None else self._start
        self._words.append(f"word{chunk.start}")
        return self._said(final=False)

    def pause(self) -> None:
        pass

    def guess(self) -> None:
        pass

    def finish(self) -> Transcribed:
        self._owner.open_streams -= 1
        return self._said(final=True)

    def close(self) -> None:
        self._owner.open_streams -= 1

    def _said(self, *, final: bool) -> Transcribed:
        return Transcribed(" ".join(self._words), None, 0.9, "en", final)


class Repeats:
    """A transcriber whose words are the positions of what it was fed."""

    name = "repeats"
    guesses_while_speaking = False

    def __init__(self) -> None:
        self.open_streams = 0

    def open(self, utterance_id: str) -> Stream:
        self.open_streams += 1
        return Stream(self)

    def close(self) -> None:
        pass


def bright_pictures(*seconds: float) -> list[Media]:
    image = np.full((60, 60, 3), 200, np.uint8)
    return [VideoFrame(round(second * NANOSECONDS), image) for second in seconds]


async def events_of(
    media: Sequence[Media],
    work: Work,
    *,
    fast: bool = True,
    setup: Setup | None = None,
    clock: VirtualClock | MonotonicClock | None = None,
) -> list[wire.Event]:
    events: list[wire.Event] = []
    source = MemorySource(media)
    session = LiveSession(
        source, setup or make_setup(work), clock=clock or VirtualClock(), fast=fast
    )
    await session.run([events.append])
    return events


def finals(events: list[wire.Event]) -> list[wire.Emotion]:
    return [e for e in events if isinstance(e, wire.Emotion) and e.stage == "final"]
