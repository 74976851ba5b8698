"""One thread that does jobs in order, those that somebody needs before those that may give way."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from magtkd_rt.core.jobs import (
    EncodeAudio,
    EncodeText,
    EncodeVideo,
    Failed,
    ForgetTranscription,
    Fuse,
    GaveWay,
    Guess,
    Identify,
    Job,
    JobResult,
    Transcribe,
)
from magtkd_rt.runtime.meter import Meter, Part

Work = Callable[[Job], object]
"""Does one job and returns the value of its result."""

DRAFTS_WITHIN_NS: Final = 1_000_000_000
"""A draft's job that has waited longer is left out: a newer draft is on its way."""
WORDS_WITHIN_NS: Final = 5_000_000_000
"""Sound that has waited longer for the transcriber costs its utterance the words, not the result:
with a transcriber that cannot keep up everything after it would be late for good."""

_PARTS: Final[dict[type[Job], Part]] = {
    Transcribe: "asr",
    Guess: "asr",
    ForgetTranscription: "asr",
    EncodeText: "text",
    EncodeAudio: "audio",
    EncodeVideo: "video",
    Identify: "identity",
    Fuse: "fusion",
}
_Waiting = tuple[Job, int]
"""A job, and since when it waits."""


class Lane(threading.Thread):
    """Does the jobs of its queues, one at a time; every job gets one result.

    Args:
        name: for the thread.
        bound: jobs that may wait.
        work: does one job.
        deliver: takes each result.
        meter: counts the time of each kind of job.
        deadlines: whether jobs that have waited too long are left out.
    """

    def __init__(
        self,
        name: str,
        bound: int,
        work: Work,
        deliver: Callable[[JobResult], None],
        meter: Meter,
        *,
        deadlines: bool,
    ) -> None:
        super().__init__(name=f"magtkd-{name}", daemon=True)
        self.bound = bound
        self._work = work
        self._deliver = deliver
        self._meter = meter
        self._deadlines = deadlines
        self._needed: deque[_Waiting] = deque()
        self._drafts: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._running_since: int | None = None
        self._closed = False

    def waiting_ns(self, now_ns: int) -> int:
        """For how long the oldest job that is needed, or the running one, has not been done."""
        with self._changed:
            since = self._running_since
            if since is None and self._needed:
                since = self._needed[0][1]
            return 0 if since is None else max(0, now_ns - since)

    def put(self, job: Job, *, always: bool = False) -> bool:
        """Queue a job; returns whether there was room, which is not asked for with `always`."""
        with self._changed:
            if len(self._needed) + len(self._drafts) >= self.bound and not always:
                return False
            queue = self._drafts if job.draft else self._needed
            queue.append((job, time.monotonic_ns()))
            self._changed.notify()
            return True

    def take_back(self, utterance_id: str) -> list[Job]:
        """Remove what waits for an utterance, but for what ends its transcription."""
        with self._changed:
            taken: list[Job] = []
            for queue in (self._needed, self._drafts):
                for waiting in list(queue):
                    job = waiting[0]
                    ends = isinstance(job, ForgetTranscription)
                    if job.utterance_id == utterance_id and not ends:
                        queue.remove(waiting)
                        taken.append(job)
            return taken

    def close(self) -> None:
        """Leave what waits undone; the thread ends after the job it is at."""
        with self._changed:
            self._closed = True
            self._needed.clear()
            self._drafts.clear()
            self._changed.notify()

    def run(self) -> None:
        """Do jobs until `close`."""
        while (waiting := self._next()) is not None:
            job, since = waiting
            if self._too_late(job, since):
                with self._changed:
                    self._running_since = None
                self._deliver(JobResult(job.job_id, GaveWay()))
                continue
            start = time.perf_counter_ns()
            try:
                with self._meter.measure(_PARTS[type(job)]):
                    value = self._work(job)
            except Exception as error:  # a model may raise anything; the session must go on
                value = Failed(one_line(error))
            elapsed = time.perf_counter_ns() - start
            with self._changed:
                self._running_since = None
            self._deliver(JobResult(job.job_id, value, elapsed))  # type: ignore[arg-type]

    def _next(self) -> _Waiting | None:
        with self._changed:
            while not self._needed and not self._drafts and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            waiting = (self._needed or self._drafts).popleft()
            self._running_since = waiting[1]
            return waiting

    def _too_late(self, job: Job, since: int) -> bool:
        if not self._deadlines:
            return False
        waited = time.monotonic_ns() - since
        if job.draft:
            return waited > DRAFTS_WITHIN_NS
        return isinstance(job, Transcribe) and waited > WORDS_WITHIN_NS


def one_line(error: Exception) -> str:
    """An error as one line for people."""
    said = " ".join(str(error).split())
    return said if said else type(error).__name__
