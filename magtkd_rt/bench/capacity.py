"""How many conversations this machine follows at once, found by search."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from magtkd_rt import wire
from magtkd_rt.config import ModelConfig
from magtkd_rt.core.media import SAMPLE_RATE
from magtkd_rt.runtime.host import SessionHost
from magtkd_rt.runtime.models import Models, load_models
from magtkd_rt.sources import FileSource

LATE_MS: Final = 1_000.0
"""Lag that may be passed by a twentieth of what is observed, no more."""
_LOOK_EVERY_S: Final = 0.1
_APART_S: Final = 0.37
"""Conversations do not begin at the same moment, so their pauses do not coincide."""


@dataclass(frozen=True, slots=True)
class Trial:
    """So many conversations at once: lag over all of them and all the time, and what was lost."""

    conversations: int
    lag_p50_ms: float
    lag_p95_ms: float
    cores: float
    dropped: int

    @property
    def fits(self) -> bool:
        """Whether the machine kept up, and lost nothing."""
        return self.lag_p95_ms <= LATE_MS and not self.dropped


async def measure_capacity(
    recording: Path, config: ModelConfig, most: int, told: Callable[[Trial], None]
) -> dict[str, Any]:
    """Double the number of conversations until they do not fit, then halve the gap.

    Each hears the same recording in real time, from the beginning, a little after the one before:
    speech, pauses and changes of speaker are those of the recording.

    Args:
        recording: what is said.
        config: the models.
        most: conversations, at most.
        told: hears of each trial.

    Raises:
        MagtkdError: the recording or the models cannot be used.
    """
    models = await asyncio.to_thread(load_models, config)
    trials: list[Trial] = []

    async def fits(count: int) -> bool:
        trials.append(await _try(models, recording, count))
        told(trials[-1])
        return trials[-1].fits

    try:
        good, bad = 0, 1
        while bad <= most and await fits(bad):
            good, bad = bad, 2 * bad
        bad = min(bad, most + 1)
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if await fits(middle) else (good, middle)
    finally:
        models.close()
    return {
        "conversations": good,
        "engine": models.engine_reason,
        "asr": models.asr_reason,
        "trials": [asdict(trial) for trial in trials],
    }


async def _try(models: Models, recording: Path, count: int) -> Trial:
    hello = wire.Hello(audio=wire.AudioFormat(sample_rate=SAMPLE_RATE))
    host = SessionHost(models, lambda _: None, most=count, drafts=False)
    start, used = time.monotonic(), time.process_time()
    lags: list[float] = []

    async def look() -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            lags.extend(session.lag_ms for session in host.sessions)

    looking = asyncio.create_task(look())
    try:
        sessions = []
        for _ in range(count):
            sessions.append(await host.begin(FileSource(recording), hello))
            await asyncio.sleep(_APART_S)
        await asyncio.gather(*(session.wait() for session in sessions))
    finally:
        looking.cancel()
        await host.close("the trial is over")
    p50, p95 = np.percentile(lags or [0.0], [50, 95])
    cores = (time.process_time() - used) / (time.monotonic() - start)
    dropped = sum(sum(session.dropped.values()) for session in sessions)
    return Trial(count, round(p50, 1), round(p95, 1), round(cores, 2), dropped)
