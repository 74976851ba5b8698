"""How many conversations this machine follows at once, found by search."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from magtkd_rt import wire
from magtkd_rt.asr.scripted import ScriptedTranscriber
from magtkd_rt.bench.talk import Habits
from magtkd_rt.bench.talk_sound import Sound, TalkSource
from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.core.media import SAMPLE_RATE
from magtkd_rt.engines.fresh import SENTENCES
from magtkd_rt.runtime.host import HostedSession, SessionHost
from magtkd_rt.runtime.models import Models
from magtkd_rt.runtime.peak import children

MADE_UP: Final = "made-up"
"""Instead of a transcriber's name: `made_up_words`."""
LATE_MS: Final = 1_000.0
"""Lag that may be passed by a twentieth of what is observed, no more."""
SPREAD_S: Final = 5.0
"""Over so much time conversations begin, so that they do not beat in step."""
SETTLE_S: Final = 2.0
"""After the last has begun nothing is measured for so long."""
_LOOK_EVERY_S: Final = 0.1
_MAY_BE_LATE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Trial:
    """So many conversations at once.

    Attributes:
        conversations: how many.
        seconds: measured; fewer than wanted where it was clear before that they are too many.
        lag_p50_ms: median lag, over all of them and all the time.
        lag_p95_ms: what a twentieth of it passes.
        worst_p95_ms: the same, of the conversation that lagged most.
        final_p95_ms: from the last sound of an utterance to its result; None where there was none.
        finals: results.
        cores: processor time by time, transcribers' processes included.
        together: by graph whose runs are shared, how many conversations share one, on average.
        dropped: what was lost for lack of time.
        gave_way: how often something was left out for lack of time.
    """

    conversations: int
    seconds: float
    lag_p50_ms: float
    lag_p95_ms: float
    worst_p95_ms: float
    final_p95_ms: float | None
    finals: int
    cores: float
    together: dict[str, float]
    dropped: int
    gave_way: int

    @property
    def fits(self) -> bool:
        """Whether the machine kept up, and lost nothing."""
        return self.lag_p95_ms <= LATE_MS and not self.dropped


async def search(most: int, attempt: Callable[[int], Awaitable[bool]], least: int = 1) -> int:
    """The largest number that fits: doubled until one does not, then the gap is halved.

    Args:
        most: never more than that.
        attempt: tells whether a number fits; asked once for each.
        least: to begin with; where it does not fit, fewer are tried.
    """
    good, bad = 0, min(least, most)
    while bad <= most and await attempt(bad):
        good, bad = bad, 2 * bad
    bad = min(bad, most + 1)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if await attempt(middle) else (good, middle)
    return good


def made_up_words() -> ScriptedTranscriber:
    """A transcriber that costs nothing: everyday sentences, so that the text graph has its work."""
    return ScriptedTranscriber(itertools.cycle(SENTENCES))


class Trials:
    """Tries numbers of conversations, each with its own sound.

    Args:
        models: that all share.
        voices: to speak with.
        habits: how people take turns.
        seconds: that are measured.
        seed: of the first conversation; the others have the next ones.
        told: hears while a trial goes on how far it is, in seconds, and the median lag so far.
    """

    def __init__(
        self,
        models: Models,
        voices: Sequence[Sound],
        habits: Habits,
        *,
        seconds: float,
        seed: int,
        told: Callable[[int, float, float], None],
    ) -> None:
        self._models = models
        self._voices = voices
        self._habits = habits
        self._seconds = seconds
        self._seed = seed
        self._told = told

    async def run(self, count: int) -> Trial:
        """Let so many conversations go on at once."""
        heard = _Heard()
        host = SessionHost(self._models, heard.take, most=count, drafts=False)
        sessions: list[HostedSession] = []
        try:
            for number in range(count):
                sessions.append(await self._begin(host, number))
                await asyncio.sleep(SPREAD_S / count)
            await asyncio.sleep(SETTLE_S)
            heard.listening = True
            start, used, together = time.monotonic(), _processor_s(), self._models.batches()
            lags = await self._look(sessions)
            took, used = time.monotonic() - start, _processor_s() - used
            heard.listening = False
            shared = _callers(together, self._models.batches())
            dropped = sum(sum(session.dropped.values()) for session in sessions)
        finally:
            await host.close("the trial is over")
        p50, p95 = np.percentile(lags, [50, 95])
        totals = heard.total_ms
        return Trial(
            conversations=count,
            seconds=round(took, 1),
            lag_p50_ms=round(float(p50), 1),
            lag_p95_ms=round(float(p95), 1),
            worst_p95_ms=round(float(np.percentile(lags, 95, axis=0).max()), 1),
            final_p95_ms=round(float(np.percentile(totals, 95)), 1) if totals else None,
            finals=len(totals),
            cores=round(used / took, 2),
            together=shared,
            dropped=dropped,
            gave_way=heard.gave_way,
        )

    async def _begin(self, host: SessionHost, number: int) -> HostedSession:
        hello = wire.Hello(audio=wire.AudioFormat(sample_rate=SAMPLE_RATE))
        return await host.begin(TalkSource(self._voices, self._habits, self._seed + number), hello)

    async def _look(self, sessions: Sequence[HostedSession]) -> list[list[float]]:
        """Lag in ms by moment and session; ends early once too much was late, or something lost."""
        moments = max(1, round(self._seconds / _LOOK_EVERY_S))
        lags: list[list[float]] = []
        late = 0
        start = time.monotonic()
        for moment in range(moments):
            await asyncio.sleep(start + moment * _LOOK_EVERY_S - time.monotonic())
            lags.append([session.lag_ms for session in sessions])
            late += sum(lag > LATE_MS for lag in lags[-1])
            if moment % 10 == 0:
                self._told(len(sessions), moment * _LOOK_EVERY_S, float(np.median(lags[-1])))
            lost = any(any(session.dropped.values()) for session in sessions)
            if lost or late > _MAY_BE_LATE * moments * len(sessions):
                break
        return lags


class _Heard:
    """What the sessions say that counts here."""

    def __init__(self) -> None:
        self.listening = False
        self.total_ms: list[float] = []
        self.gave_way = 0

    def take(self, event: wire.Event) -> None:
        if not self.listening:
            return
        match event:
            case wire.Emotion(stage="final", latency=latency):
                self.total_ms.append(latency.total_ms)
            case wire.Status(code="giving_way"):
                self.gave_way += 1
            case _:
                pass


def _processor_s() -> float:
    """Processor time of this process and of those that it has started and that go on."""
    spent = time.process_time()
    for child in children(os.getpid()):
        try:
            told = Path(f"/proc/{child}/stat").read_text("utf-8").rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        spent += (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def _callers(
    before: Mapping[GraphName, Counter[int]], after: Mapping[GraphName, Counter[int]]
) -> dict[str, float]:
    """Callers of a run, on average, between two moments."""
    found = {}
    for graph, runs in after.items():
        new = runs - before[graph]
        if new:
            found[str(graph)] = round(sum(n * runs for n, runs in new.items()) / new.total(), 2)
    return found
