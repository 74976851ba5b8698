"""Two threads that bring media to the event loop: one reads the source, one has the senses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from magtkd_rt.core.media import AudioChunk
from magtkd_rt.errors import InputError, MagtkdError
from magtkd_rt.runtime.handover import Handover
from magtkd_rt.runtime.intake import Arrived, Intake
from magtkd_rt.runtime.lane import one_line
from magtkd_rt.runtime.meter import Meter
from magtkd_rt.runtime.senses import Percept, Senses
from magtkd_rt.sources import ArrivingSource, Clock, Media, Source, paced

T = TypeVar("T")


class StoppableClock(Clock, Protocol):
    """A clock on which nobody waits any more once it was stopped."""

    def stop(self) -> None:
        """Let nobody wait any more."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Perceived:
    """Media after the senses; without `arrived` it is what the senses held back to the end."""

    percept: Percept | None
    arrived: Arrived | None = None


class MediaPump:
    """Reads a source to its end, keeping the order of the media.

    Args:
        source: is read once, and closed by `close`.
        senses: perceive every item.
        clock: paces the source and says when media arrived.
        fast: read as fast as `get` is called; else each item at its own time, and what finds no
            room is dropped.
        meter: counts the time that reading takes.
    """

    def __init__(
        self, source: Source, senses: Senses, clock: StoppableClock, *, fast: bool, meter: Meter
    ) -> None:
        self.errors: list[MagtkdError] = []
        """What ended the media before its time."""
        self.least_gap_ns = 0
        """Pictures that follow the last one sooner are left out, for lack of time."""
        self._source = source
        self._senses = senses
        self._clock = clock
        self._fast = fast
        self._meter = meter
        self._intake = Intake(may_wait=fast)
        self._stopping = False
        self._left_out = 0
        self._last_picture_ns: int | None = None
        self._handover: Handover[Perceived] = Handover(asyncio.get_running_loop())
        self._threads = [
            threading.Thread(target=self._read, name="magtkd-source", daemon=True),
            threading.Thread(target=self._perceive, name="magtkd-senses", daemon=True),
        ]

    @property
    def dropped(self) -> Mapping[str, int]:
        """What found no room or was left out, by kind."""
        left_out = {"pictures_left_out": self._left_out} if self._left_out else {}
        return {**self._intake.counters, **left_out}

    def start(self) -> None:
        """Begin to read; on the event loop."""
        for thread in self._threads:
            thread.start()

    async def get(self) -> Perceived | None:
        """Wait for the next item; None after the last one."""
        return await self._handover.get()

    def stop(self) -> None:
        """Read nothing more; what was read can still be got."""
        self._stopping = True
        self._clock.stop()
        self._source.close()

    def close(self) -> None:
        """Stop, and give up what was read."""
        self.stop()
        self._intake.close()
        self._handover.close()

    def join(self, timeout: float) -> None:
        """Wait for the threads to end, after `close`."""
        for thread in self._threads:
            thread.join(timeout)

    def _read(self) -> None:
        try:
            for arrived in self._arriving():
                if self._stopping:
                    break
                self._intake.put(arrived)
        except MagtkdError as error:
            self.errors.append(error)
        except Exception as error:  # a decoder may raise anything
            self._fail("the source failed", error, "try it again, or convert it")
        finally:
            self._intake.close()

    def _arriving(self) -> Iterator[Arrived]:
        if isinstance(self._source, ArrivingSource) and not self._fast:
            return (Arrived(item, at) for item, at in self._metered(self._source.arriving()))
        media = self._metered(self._source.media())
        if self._fast:
            return (Arrived(item, self._clock.now_ns()) for item in media)
        return (Arrived(item, due_ns) for item, due_ns in paced(media, self._clock))

    def _metered(self, items: Iterator[T]) -> Iterator[T]:
        while True:
            with self._meter.measure("source"):
                item = next(items, None)
            if item is None:
                return
            yield item

    def _perceive(self) -> None:
        try:
            while (arrived := self._intake.get()) is not None:
                percept = None
                if not self._leaves_out(arrived.item):
                    percept = self._senses.perceive(arrived.item)
                if not self._handover.put(Perceived(percept, arrived)):
                    return
            for rest in self._senses.flush():
                self._handover.put(Perceived(rest))
        except Exception as error:  # a model may raise anything
            self._fail("the speech detector failed", error, "check the installation")
        finally:
            self._intake.close()
            self._handover.close()

    def _leaves_out(self, item: Media) -> bool:
        if isinstance(item, AudioChunk):
            return False
        last, gap = self._last_picture_ns, self.least_gap_ns
        if gap and last is not None and 0 <= item.time_ns - last < gap:
            self._left_out += 1
            return True
        self._last_picture_ns = item.time_ns
        return False

    def _fail(self, what: str, error: Exception, remedy: str) -> None:
        problem = f"{what} ({one_line(error)}); what came before was recognised"
        self.errors.append(InputError(problem, remedy=remedy))
