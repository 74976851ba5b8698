"""Keeps a device: opens it, notices when it is lost, and takes it back when it returns."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from magtkd_rt.sources.base import Notice

STEADY_SECONDS: Final = 10.0
"""A device that was there for so long is tried again at once when it is lost."""


class DeviceLost(Exception):
    """A device cannot be opened, or gives nothing any more.

    Args:
        problem: what was found.
        remedy: what the reader can do about it.
        code: of the status event; that of a lost device unless something else is known.
    """

    def __init__(self, problem: str, *, remedy: str, code: str = "device_lost") -> None:
        self.problem = problem
        self.remedy = remedy
        self.code = code
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long to wait before a device is tried again: twice as long each time.

    Attributes:
        first: seconds before the first new try.
        longest: seconds, at most.
        jitter: share by which a pause is longer or shorter at random.
    """

    first: float = 0.5
    longest: float = 30.0
    jitter: float = 0.2

    def before(self, attempt: int) -> float:
        """Seconds before new try number `attempt`, from 0."""
        pause = min(self.longest, self.first * 2.0 ** min(attempt, 32))
        return pause * random.uniform(1 - self.jitter, 1 + self.jitter)


class Device(Protocol):
    """What a keeper keeps."""

    name: str

    @property
    def kind(self) -> str:
        """`microphone` or `camera`."""
        ...

    def run(self, stopped: threading.Event, here: Callable[[], None]) -> None:
        """Open the device and hand over what it brings, until `stopped` is set.

        Args:
            stopped: ends it, within a fraction of a second where the driver lets it.
            here: to be called whenever the device brought something.

        Raises:
            DeviceLost: it cannot be opened, or gives nothing any more.
        """
        ...


class Keeper:
    """Runs a device on a thread of its own. Where `run` returns it is finished for good.

    Args:
        device: what to keep.
        tell: takes what is to be told, on the keeper's thread.
        pauses: between two tries.
    """

    def __init__(self, device: Device, tell: Callable[[Notice], None], pauses: Pauses) -> None:
        self.finished = False
        """Whether the device came to its end, as a file does."""
        self._device = device
        self._tell = tell
        self._pauses = pauses
        self._stopped = threading.Event()
        self._lost = ""  # code that was told, while it is lost
        self._here_since: float | None = None
        self._thread = threading.Thread(
            target=self._keep, name=f"magtkd-{device.kind}", daemon=True
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End soon; does not wait."""
        self._stopped.set()

    def join(self, timeout: float) -> None:
        """Wait for the end after `stop`, if it was started."""
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _keep(self) -> None:
        attempt = 0
        while not self._stopped.is_set():
            self._here_since = None
            try:
                self._device.run(self._stopped, self._here)
                self.finished = True
                return
            except DeviceLost as lost:
                problem = lost
            except Exception as error:  # a driver's binding may raise anything
                said = " ".join(str(error).split()) or type(error).__name__
                problem = DeviceLost(said, remedy="unplug it and plug it in again")
            steady = self._here_since is not None
            if steady and time.monotonic() - (self._here_since or 0.0) >= STEADY_SECONDS:
                attempt = 0
            self._say_lost(problem)
            self._stopped.wait(self._pauses.before(attempt))
            attempt += 1

    def _say_lost(self, lost: DeviceLost) -> None:
        if self._stopped.is_set() or self._lost == lost.code:
            return
        self._lost = lost.code
        device = f"the {self._device.kind} {self._device.name}"
        message = f"{device}: {lost.problem}; {lost.remedy}; it is tried again until it is back"
        self._tell(Notice("warning", lost.code, message))

    def _here(self) -> None:
        if self._here_since is not None:
            return
        self._here_since = time.monotonic()
        if self._lost:
            self._lost = ""
            device = f"the {self._device.kind} {self._device.name}"
            self._tell(Notice("info", "device_back", f"{device} is back"))
