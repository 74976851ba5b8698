"""What leaves the core: events with their numbers, jobs with theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from magtkd_rt import wire
from magtkd_rt.core.jobs import Job
from magtkd_rt.core.media import seconds


@dataclass(frozen=True, slots=True)
class Output:
    """What one input led to, in order: events for the subscribers, jobs for the executor.

    `last_sound` has for the number of each emotion among the events the sample after the last
    sound that it speaks for: from its arrival on, latency counts.
    """

    events: tuple[wire.Event, ...] = ()
    jobs: tuple[Job, ...] = ()
    last_sound: Mapping[int, int] = field(default_factory=dict)


class Outbox:
    """Numbers and collects events and jobs until they are drained.

    Attributes:
        now: media time of the latest media taken, in samples; it never goes back.
    """

    def __init__(self, session_id: str) -> None:
        self.now = 0
        self._session_id = session_id
        self._seq = 0
        self._job_id = 0
        self._events: list[wire.Event] = []
        self._jobs: list[Job] = []
        self._last_sound: dict[int, int] = {}

    def reach(self, now: int) -> None:
        """Media of this time, in samples, was taken."""
        self.now = max(self.now, now)

    def stamp(self) -> dict[str, Any]:
        """The fields that every event has; each stamp must be used for one event."""
        self._seq += 1
        return {"seq": self._seq, "session_id": self._session_id, "t": seconds(self.now)}

    def emit(self, event: wire.Event) -> None:
        """Send an event that carries the latest stamp."""
        self._events.append(event)

    def emit_emotion(self, event: wire.Emotion, last_sound: int) -> None:
        """Send a result; what it speaks for ended at that sample."""
        self.emit(event)
        self._last_sound[event.seq] = last_sound

    def status(
        self,
        level: Literal["info", "warning", "error"],
        code: str,
        message: str,
        lag_ms: float = 0.0,
        dropped: Mapping[str, int] | None = None,
    ) -> None:
        """Send a `status` event."""
        self.emit(
            wire.Status(
                **self.stamp(),
                level=level,
                code=code,
                message=message,
                lag_ms=lag_ms,
                dropped=dict(dropped or {}),
            )
        )

    def new_job_id(self) -> int:
        """The next job's number, from 1."""
        self._job_id += 1
        return self._job_id

    def ask(self, job: Job) -> None:
        """Send a job."""
        self._jobs.append(job)

    def drain(self) -> Output:
        """Everything since the last time."""
        output = Output(tuple(self._events), tuple(self._jobs), self._last_sound)
        self._events.clear()
        self._jobs.clear()
        self._last_sound = {}
        return output
