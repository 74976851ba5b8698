"""Runs the session's jobs on few threads, each kind in order, behind bounded queues.

Lanes: `words` has the transcriber to itself, since the sound of an utterance must be fed in
order; `models` has the encoders and the fusion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from magtkd_rt.core.jobs import (
    Failed,
    ForgetTranscription,
    GaveWay,
    Guess,
    Job,
    JobResult,
    Transcribe,
)
from magtkd_rt.runtime.lane import Lane, Work
from magtkd_rt.runtime.meter import Meter

MAX_WORDS_WAITING: Final = 128
"""Jobs of 256 ms of sound that may wait for the transcriber: half a minute behind."""
MAX_MODELS_WAITING: Final = 256
"""Jobs that may wait for the encoders: four for each utterance that the core lets wait."""


class Executor:
    """Does every job once, or says why not; an exception becomes `Failed`, never a crash.

    Args:
        work: does one job; called by the lane's thread, one call at a time per lane.
        deliver: takes each result, on a thread of this executor or of the caller of `submit`.
        meter: counts the time of each kind of job.
        deadlines: whether what has waited too long gives way; else everything is done however
            late it is.
    """

    def __init__(
        self,
        work: Work,
        deliver: Callable[[JobResult], None],
        meter: Meter,
        *,
        deadlines: bool = False,
    ) -> None:
        self.counters: Counter[str] = Counter()
        """Jobs that a full queue turned away: `jobs_words`, `jobs_models`."""
        self._deliver = deliver
        self._lanes = {
            name: Lane(name, bound, work, deliver, meter, deadlines=deadlines)
            for name, bound in (("words", MAX_WORDS_WAITING), ("models", MAX_MODELS_WAITING))
        }

    def submit(self, job: Job) -> None:
        """Queue a job. Never waits: where its queue is full the job fails at once."""
        words = isinstance(job, Transcribe | Guess | ForgetTranscription)
        name = "words" if words else "models"
        lane = self._lanes[name]
        if isinstance(job, ForgetTranscription):
            for waiting in lane.take_back(job.utterance_id):
                self._deliver(JobResult(waiting.job_id, GaveWay()))
            lane.put(job, always=True)  # a stream that is not forgotten stays open for ever
        elif not lane.put(job):
            if job.draft:
                self._deliver(JobResult(job.job_id, GaveWay()))
                return
            self.counters[f"jobs_{name}"] += 1
            what = "the transcriber" if name == "words" else "the encoders"
            message = f"{what} cannot keep up, {lane.bound} jobs are waiting"
            self._deliver(JobResult(job.job_id, Failed(message)))

    def forget(self, utterance_id: str) -> None:
        """Skip what still waits for an utterance that was dropped."""
        for lane in self._lanes.values():
            lane.take_back(utterance_id)

    def waiting_ns(self, now_ns: int) -> dict[str, int]:
        """By lane, for how long the oldest job that is not done has been waiting or running."""
        return {name: lane.waiting_ns(now_ns) for name, lane in self._lanes.items()}

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
