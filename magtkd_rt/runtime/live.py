"""A session on real threads and a real clock: media in, events out to the sinks.

    source's thread -> Intake -> senses' thread -> Handover -> event loop: core.Session
                                                                 |  events -> sinks
                                                                 |  jobs -> Executor's threads

Sound and pictures reach the core in the order of the media, and jobs are done in the core's
order, so results do not depend on how fast anything was.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from magtkd_rt import wire
from magtkd_rt.core import Output, Session, SessionConfig, SessionInfo
from magtkd_rt.core.encoding import Limits
from magtkd_rt.core.jobs import JobResult
from magtkd_rt.core.media import NANOSECONDS, SAMPLE_RATE, AudioChunk, HeardSound, SeenFaces
from magtkd_rt.errors import MagtkdError
from magtkd_rt.runtime.arrivals import Arrivals
from magtkd_rt.runtime.executor import Executor
from magtkd_rt.runtime.giving_way import (
    DRAFTS,
    LARGE_ASR,
    PICTURES,
    SENSES,
    GivingWay,
    Part,
    Sacrifice,
)
from magtkd_rt.runtime.lane import Work
from magtkd_rt.runtime.meter import Meter
from magtkd_rt.runtime.pump import MediaPump, Perceived, StoppableClock
from magtkd_rt.runtime.senses import Senses
from magtkd_rt.runtime.status import Report, Watchdog
from magtkd_rt.sources import Source

Sink = Callable[[wire.Event], None]
"""Takes every event, in order, on the event loop; must not wait."""

MAX_JOBS_AHEAD: Final = 8
"""Jobs that may be undone before a recording that is heard fast is held back."""
TELL_SECONDS: Final = 0.5
"""A source that brings nothing is asked so often what there is to tell."""
SPARSE_NS: Final = 500_000_000
"""From one picture to the next, while most of them give way."""
JOIN_SECONDS: Final = 5.0
"""How long a model may go on after the end with what nobody waits for."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a session is made of.

    Attributes:
        session_id: unique among the sessions of a server.
        config: how the core decides.
        info: what the first event says.
        senses: speech detector and face finder.
        work: does the core's jobs.
        notes: what is to be told once the session has begun.
        meter: counts what every part costs.
        spare_asr: lets a smaller transcriber take new utterances (True), or the usual one again;
            None where there is no smaller one.
        troubles: what failed of the engine since it was opened, one line each; it grows.
        close: frees what was opened for the session alone; called once, when nothing is at work.
    """

    session_id: str
    config: SessionConfig
    info: SessionInfo
    senses: Senses
    work: Work
    notes: tuple[Report, ...] = ()
    meter: Meter = field(default_factory=Meter)
    spare_asr: Callable[[bool], None] | None = None
    troubles: Sequence[str] = ()
    close: Callable[[], None] = lambda: None


class LiveSession:
    """Runs one session to its end. Made and used on an event loop.

    Args:
        source: what is heard and seen; closed at the end.
        setup: of what the session is made.
        clock: paces the source and measures lag.
        fast: hear as fast as the machine can; else each item at its own time.
    """

    def __init__(
        self,
        source: Source,
        setup: Setup,
        *,
        clock: StoppableClock,
        fast: bool,
    ) -> None:
        self._source = source
        self._setup = setup
        self._sinks: list[Sink] = []
        self._clock = clock
        self._fast = fast
        self._loop = asyncio.get_running_loop()
        self._session = Session(setup.config, setup.session_id)
        self._pump = MediaPump(source, setup.senses, clock, fast=fast, meter=setup.meter)
        self._executor = Executor(setup.work, self._deliver, setup.meter, deadlines=not fast)
        self._giving_way = GivingWay(_order(setup))
        self._jobs: dict[int, str] = {}  # those that are out, and of which utterance
        self._progress = asyncio.Event()
        self._arrivals = Arrivals()
        self._watchdog = Watchdog()
        self._longest_chunk = 0
        self._media_lag_ns = 0
        self._problems_told = [0, 0]
        self._troubles_told = 0
        self._sink_errors: list[MagtkdError] = []
        self._reason = "end of input"
        self._ended = False

    async def run(self, sinks: Sequence[Sink]) -> None:
        """Hear everything, wait for the last result, end the session.

        Args:
            sinks: get every event. One that raises a MagtkdError gets no more, and is told of.

        Raises:
            MagtkdError: after the end: the source or a sink failed on the way.
        """
        self._sinks = list(sinks)
        telling = asyncio.create_task(self._tell_regularly())
        try:
            with self._executor:
                self._act(self._session.start(self._setup.info))
                for note in self._setup.notes:
                    self._report(note)
                self._pump.start()
                await self._feed()
                self._act(self._session.flush())
                while self._session.pending and self._jobs:
                    await self._wait_for_progress()
                self._end()
        finally:
            self._ended = True
            telling.cancel()
            self._pump.close()
        for threads in (self._pump, self._executor):
            await asyncio.to_thread(threads.join, JOIN_SECONDS)
        await asyncio.to_thread(self._setup.close)
        for error in (*self._pump.errors, *self._sink_errors):
            raise error

    def stop(self, reason: str) -> None:
        """Hear nothing more; what was heard gets its results, then the session ends."""
        self._reason = reason
        self._pump.stop()

    @property
    def lag_ms(self) -> float:
        """How far behind its input the machine is: in its senses, or in its oldest job."""
        return max(self._lags_ms().values())

    def _lags_ms(self) -> dict[Part, float]:
        if self._fast:
            return {"words": 0.0, "rest": 0.0}
        jobs = self._executor.waiting_ns(time.monotonic_ns())
        rest = max(self._media_lag_ns, jobs["models"])
        return {"words": jobs["words"] / 1e6, "rest": rest / 1e6}

    @property
    def dropped(self) -> dict[str, int]:
        """What was lost for lack of time, by kind."""
        return {**self._source.dropped, **self._pump.dropped, **self._executor.counters}

    @property
    def pending(self) -> int:
        """Utterances that wait for their result."""
        return self._session.pending

    async def _feed(self) -> None:
        while (perceived := await self._pump.get()) is not None:
            with self._setup.meter.measure("core"):
                self._take(perceived)
            while self._fast and len(self._jobs) > MAX_JOBS_AHEAD:
                await self._wait_for_progress()

    def _take(self, perceived: Perceived) -> None:
        if perceived.arrived is not None:
            item, arrived_ns = perceived.arrived.item, perceived.arrived.arrived_ns
            if isinstance(item, AudioChunk):
                self._arrivals.add(item.end, arrived_ns)
                self._longest_chunk = max(self._longest_chunk, len(item.samples))
            self._watch(arrived_ns)
        match perceived.percept:
            case HeardSound() as sound:
                self._act(self._session.hear(sound))
            case SeenFaces() as picture:
                self._act(self._session.see(picture))
                # Sound of this time has come, but for a chunk that may be on its way.
                now = picture.time_ns * SAMPLE_RATE // NANOSECONDS - self._longest_chunk
                self._act(self._session.tick(max(0, now)))

    async def _tell_regularly(self) -> None:
        """Tell what a source has to tell also while it brings nothing."""
        while True:
            await asyncio.sleep(TELL_SECONDS)
            self._tell_problems()
            self._give_way(self._clock.now_ns(), self._lags_ms())

    def _watch(self, arrived_ns: int) -> None:
        now_ns = self._clock.now_ns()
        self._media_lag_ns = now_ns - arrived_ns
        lags_ms = self._lags_ms()
        for report in self._watchdog.observe(now_ns, max(lags_ms.values()), self.dropped):
            self._report(report)
        self._give_way(now_ns, lags_ms)
        self._tell_problems()

    def _give_way(self, now_ns: int, lags_ms: Mapping[Part, float]) -> None:
        """Leave something out where the machine falls behind; take it back where there is room."""
        report = self._giving_way.observe(now_ns, lags_ms)
        if report is None:
            return
        gone = self._giving_way.gone
        limits = Limits(drafts=DRAFTS.name not in gone)
        if SENSES.name in gone:
            limits = replace(limits, modalities=frozenset({"text"}))
        self._pump.least_gap_ns = 0 if PICTURES.name not in gone else SPARSE_NS
        self._session.limit(limits)
        if self._setup.spare_asr is not None:
            self._setup.spare_asr(LARGE_ASR.name in gone)
        self._report(report)

    def _end(self) -> None:
        self._tell_problems()
        for error in self._pump.errors:
            self._report(Report("error", "input_failed", str(error)))
        for report in self._watchdog.last(self.dropped):
            self._report(report)
        reason = "input failed" if self._pump.errors else self._reason
        self._act(self._session.end(reason))

    def _act(self, output: Output) -> None:
        for event in output.events:
            self._emit(self._stamped(event, output.last_sound))
        for job in output.jobs:
            self._jobs[job.job_id] = job.utterance_id
            self._executor.submit(job)

    def _emit(self, event: wire.Event) -> None:
        if isinstance(event, wire.UtteranceDropped):
            self._executor.forget(event.utterance_id)
            for job_id in [n for n, of in self._jobs.items() if of == event.utterance_id]:
                del self._jobs[job_id]
        for sink in list(self._sinks):
            try:
                sink(event)
            except MagtkdError as error:
                self._sinks.remove(sink)
                self._sink_errors.append(error)
                failed = Report("error", "sink_failed", str(error))
                self._loop.call_soon(self._report, failed)  # not between two events

    def _stamped(self, event: wire.Event, last_sound: Mapping[int, int]) -> wire.Event:
        """With the time of the hand-over, and for a result the whole latency up to it."""
        update: dict[str, object] = {"emitted_at": datetime.now(UTC)}
        if isinstance(event, wire.Emotion) and event.seq in last_sound:
            arrived_ns = self._arrivals.of(last_sound[event.seq])
            if arrived_ns is not None:
                total_ms = round((self._clock.now_ns() - arrived_ns) / 1e6, 3)
                update["latency"] = event.latency.model_copy(update={"total_ms": total_ms})
        return event.model_copy(update=update)

    def _report(self, report: Report) -> None:
        if not self._ended:
            r = report
            self._act(self._session.report(r.level, r.code, r.message, r.lag_ms, r.dropped))

    def _tell_problems(self) -> None:
        for n, problems in enumerate((self._source.problems, self._setup.senses.problems)):
            for problem in problems[self._problems_told[n] :]:
                self._problems_told[n] += 1
                self._report(Report("warning", "input", problem))
        for trouble in self._setup.troubles[self._troubles_told :]:
            self._troubles_told += 1
            self._report(Report("warning", "engine", trouble))
        while self._source.notices:
            notice = self._source.notices.popleft()
            self._report(Report(notice.level, notice.code, notice.message))

    def _deliver(self, result: JobResult) -> None:
        """Take a job's result, on a thread of the executor."""
        with contextlib.suppress(RuntimeError):  # the loop has gone: nobody waits for it any more
            self._loop.call_soon_threadsafe(self._complete, result)

    def _complete(self, result: JobResult) -> None:
        self._jobs.pop(result.job_id, None)
        with self._setup.meter.measure("core"):
            self._act(self._session.complete(result))
        self._progress.set()

    async def _wait_for_progress(self) -> None:
        self._progress.clear()
        await self._progress.wait()


def _order(setup: Setup) -> list[Sacrifice]:
    """What may give way, first to last."""
    config = setup.config
    order = [PICTURES]
    if config.drafts:
        order.append(DRAFTS)
    if setup.spare_asr is not None:
        order.append(LARGE_ASR)
    if config.transcribe and "text" in config.modalities:
        order.append(SENSES)
    return order
