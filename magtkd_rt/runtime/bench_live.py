"""How a recording fares in real time: lag, latency by part, processor, memory, losses."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import Any, Final

from magtkd_rt import wire
from magtkd_rt.config import LiveConfig
from magtkd_rt.errors import InputError
from magtkd_rt.runtime.assembly import assemble, open_recording
from magtkd_rt.runtime.bench import percentiles
from magtkd_rt.runtime.clock import MonotonicClock
from magtkd_rt.runtime.live import LiveSession
from magtkd_rt.runtime.peak import PeakWatch
from magtkd_rt.sources import Source
from magtkd_rt.sources.looped import LoopedSource

LOOK_EVERY_S: Final = 0.1
"""From one look at the lag to the next."""
MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Live:
    """A recording in real time through the whole pipeline, as `magtkd-live` would hear it.

    Attributes:
        media_s: seconds of media.
        events: all that was told.
        lags: seconds since the beginning, and the lag in ms then.
        processor_s: time of all processor cores, the transcriber's process included.
        memory_mb: peak of this process and the transcriber's, in millions of bytes.
        dropped: what was lost or left out for lack of time.
    """

    media_s: float
    events: tuple[wire.Event, ...]
    lags: tuple[tuple[float, float], ...]
    processor_s: float
    memory_mb: float
    dropped: dict[str, int]


async def measure_live(config: LiveConfig, loops: int = 1) -> Live:
    """Hear the recording `loops` times over.

    Raises:
        MagtkdError: it cannot be heard.
    """
    recording = config.input
    if recording is None:
        raise InputError("nothing to measure", remedy="give a recording with --input FILE")

    def reopen() -> Source:
        return open_recording(config, recording)

    source = LoopedSource(reopen, loops)
    setup = await asyncio.to_thread(assemble, config, source.info)
    watch = PeakWatch(os.getpid())
    watch.start()
    session = LiveSession(source, setup, clock=MonotonicClock(), fast=False)
    events: list[wire.Event] = []
    lags: list[tuple[float, float]] = []
    begun = time.monotonic()

    async def look() -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            lags.append((time.monotonic() - begun, session.lag_ms))

    before = os.times()
    looking = asyncio.create_task(look())
    try:
        await session.run([events.append])
    finally:
        looking.cancel()
        watch.stop()
    after = os.times()
    # A transcriber's process has ended with the session, so its time is known as well.
    processor_s = sum(after[:4]) - sum(before[:4])
    return Live(
        media_s=events[-1].t,
        events=tuple(events),
        lags=tuple(lags),
        processor_s=processor_s,
        memory_mb=round(watch.peak_kb * 1024 / 1e6, 1),
        dropped=session.dropped,
    )


def report(live: Live) -> dict[str, Any]:
    """All measurements, ready for JSON. Times are in milliseconds."""
    emotions = [event for event in live.events if isinstance(event, wire.Emotion)]
    finals = [event for event in emotions if event.stage == "final"]
    first = [e for e in emotions if e.stage == "provisional" and e.revision == 0]
    begun = [event for event in live.events if isinstance(event, wire.SpeechStarted)]
    codes = [event.code for event in live.events if isinstance(event, wire.Status)]
    starts = {event.start for event in finals}
    paused = [event for event in finals if event.end not in starts]
    later = [(at, lag) for at, lag in live.lags if at >= MINUTE_S]
    parts = {
        "endpoint_ms": [e.latency.endpoint_ms for e in finals],
        "asr_ms": [e.latency.asr_ms for e in finals],
        "encode_ms": [e.latency.encode_ms for e in finals],
        "fusion_ms": [e.latency.fusion_ms for e in finals],
    }
    return {
        "media_s": live.media_s,
        "utterances": len(begun),
        "finals": len(finals),
        "provisional": sum(e.stage == "provisional" for e in emotions),
        "revised": sum(e.stage == "revised" for e in emotions),
        "final_ms": percentiles([e.latency.total_ms for e in finals]),
        "final_after_a_pause_ms": percentiles([e.latency.total_ms for e in paused]),
        "final_parts_ms": {name: percentiles(values) for name, values in parts.items()},
        "provisional_ms": percentiles([_since_beginning(e) for e in first]),
        "lag_ms": percentiles([lag for _, lag in live.lags]),
        "lag_first_minute_ms": percentiles([lag for at, lag in live.lags if at < MINUTE_S]),
        "lag_later_ms": percentiles([lag for _, lag in later]),
        "lag_last_minute_ms": percentiles(
            [lag for at, lag in later if at >= live.media_s - MINUTE_S]
        ),
        "gave_way": codes.count("giving_way"),
        "taken_back": codes.count("taking_back"),
        "processor_share_of_one_core": round(live.processor_s / max(live.media_s, 1e-9), 4),
        "peak_memory_mb": live.memory_mb,
        "dropped": live.dropped,
    }


def _since_beginning(provisional: wire.Emotion) -> float:
    """From the utterance's start to the hand-over: what was heard, and what it took after that."""
    heard_ms = (provisional.end - provisional.start) * 1000
    return round(heard_ms + provisional.latency.total_ms, 3)
