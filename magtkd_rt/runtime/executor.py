"""Runs the session's jobs on few threads, each kind in order, behind bounded queues.

Lanes: `words` has the transcriber to itself, since the sound of an utterance must be fed in
order; `models` has the encoders and the fusion.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from magtkd_rt.core.jobs import (
    EncodeAudio,
    EncodeText,
    EncodeVideo,
    Failed,
    ForgetTranscription,
    Fuse,
    Job,
    JobResult,
    Transcribe,
)
from magtkd_rt.runtime.meter import Meter, Part

Work = Callable[[Job], object]
"""Does one job and returns the value of its result."""

MAX_WORDS_WAITING: Final = 128
"""Jobs of 256 ms of sound that may wait for the transcriber: half a minute behind."""
MAX_MODELS_WAITING: Final = 256
"""Jobs that may wait for the encoders: four for each utterance that the core lets wait."""

_PARTS: Final[dict[type[Job], Part]] = {
    Transcribe: "asr",
    ForgetTranscription: "asr",
    EncodeText: "text",
    EncodeAudio: "audio",
    EncodeVideo: "video",
    Fuse: "fusion",
}


class Executor:
    """Does every job once, or says why not; an exception becomes `Failed`, never a crash.

    Args:
        work: does one job; called by the lane's thread, one call at a time per lane.
        deliver: takes each result, on a thread of this executor or of the caller of `submit`.
        meter: counts the time of each kind of job.
    """

    def __init__(self, work: Work, deliver: Callable[[JobResult], None], meter: Meter) -> None:
        self.counters: Counter[str] = Counter()
        """Jobs that a full queue turned away: `jobs_words`, `jobs_models`."""
        self._deliver = deliver
        self._lanes = {
            "words": _Lane("words", MAX_WORDS_WAITING, work, deliver, meter),
            "models": _Lane("models", MAX_MODELS_WAITING, work, deliver, meter),
        }

    def submit(self, job: Job) -> None:
        """Queue a job. Never waits: where its queue is full the job fails at once."""
        name = "words" if isinstance(job, Transcribe | ForgetTranscription) else "models"
        # To forget costs nothing, and a stream that is not forgotten stays open for ever.
        if not self._lanes[name].put(job, always=isinstance(job, ForgetTranscription)):
            self.counters[f"jobs_{name}"] += 1
            what = "the transcriber" if name == "words" else "the encoders"
            message = f"{what} cannot keep up, {self._lanes[name].bound} jobs are waiting"
            self._deliver(JobResult(job.job_id, Failed(message)))

    def forget(self, utterance_id: str) -> None:
        """Skip what still waits for an utterance that was dropped."""
        for lane in self._lanes.values():
            lane.discard(utterance_id)

    def waiting_ns(self, now_ns: int) -> int:
        """For how long the oldest job that is not done has been waiting or running."""
        return max(lane.waiting_ns(now_ns) for lane in self._lanes.values())

    def close(self) -> None:
        """Leave what waits undone; the threads end after the jobs they are at."""
        for lane in self._lanes.values():
            lane.close()

    def join(self, timeout: float) -> None:
        """Wait for the threads to end, after `close`."""
        for lane in self._lanes.values():
            lane.join(timeout)

    def __enter__(self) -> Self:
        for lane in self._lanes.values():
            lane.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Lane(threading.Thread):
    """One thread that does the jobs of its queue in order."""

    def __init__(
        self,
        name: str,
        bound: int,
        work: Work,
        deliver: Callable[[JobResult], None],
        meter: Meter,
    ) -> None:
        super().__init__(name=f"magtkd-{name}", daemon=True)
        self.bound = bound
        self._work = work
        self._deliver = deliver
        self._meter = meter
        self._queue: deque[tuple[Job, int]] = deque()
        self._changed = threading.Condition()
        self._running_since: int | None = None
        self._closed = False

    def waiting_ns(self, now_ns: int) -> int:
        with self._changed:
            since = self._running_since
            if since is None and self._queue:
                since = self._queue[0][1]
            return 0 if since is None else max(0, now_ns - since)

    def put(self, job: Job, *, always: bool) -> bool:
        with self._changed:
            if len(self._queue) >= self.bound and not always:
                return False
            self._queue.append((job, time.monotonic_ns()))
            self._changed.notify()
            return True

    def discard(self, utterance_id: str) -> None:
        with self._changed:
            kept = [
                (job, since)
                for job, since in self._queue
                if job.utterance_id != utterance_id or isinstance(job, ForgetTranscription)
            ]
            self._queue = deque(kept)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._queue.clear()
            self._changed.notify()

    def run(self) -> None:
        while (job := self._next()) is not None:
            start = time.perf_counter_ns()
            try:
                value = self._work(job)
            except Exception as error:  # a model may raise anything; the session must go on
                value = Failed(one_line(error))
            elapsed = time.perf_counter_ns() - start
            self._meter.add(_PARTS[type(job)], elapsed)
            with self._changed:
                self._running_since = None
            self._deliver(JobResult(job.job_id, value, elapsed))  # type: ignore[arg-type]

    def _next(self) -> Job | None:
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            job, self._running_since = self._queue.popleft()
            return job


def one_line(error: Exception) -> str:
    """An error as one line for people."""
    said = " ".join(str(error).split())
    return said if said else type(error).__name__
