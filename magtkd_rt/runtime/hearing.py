"""A whole session over a source as fast as the machine can, without words: for measurements."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from magtkd_rt import wire
from magtkd_rt.config import LiveConfig
from magtkd_rt.errors import InputError
from magtkd_rt.runtime.assembly import assemble, open_recording
from magtkd_rt.runtime.clock import MonotonicClock
from magtkd_rt.runtime.live import LiveSession
from magtkd_rt.runtime.meter import Part
from magtkd_rt.sources import Source


@dataclass(frozen=True, slots=True)
class Hearing:
    """What a session said.

    Attributes:
        events: all of them, in order.
        media_s: seconds of media.
        spent_s: seconds that each part took; with one thread, of the processor.
    """

    events: list[wire.Event]
    media_s: float
    spent_s: dict[Part, float]


def hear_file(path: Path, *, bundle: str, threads: int) -> Hearing:
    """Hear a recording, on the processor.

    Raises:
        MagtkdError: it cannot be heard to its end, or the bundle cannot be used.
    """
    config = replace(_config(bundle, threads), input=path)
    source = open_recording(config, path)
    try:
        heard = _hear(source, config)
    finally:
        source.close()
    if source.cut_short:
        raise InputError(f"{path} is cut short", remedy="get the whole file")
    return heard


def hear_source(source: Source, *, bundle: str, threads: int) -> Hearing:
    """Hear what a source gives, on the processor.

    Raises:
        MagtkdError: it cannot be heard to its end, or the bundle cannot be used.
    """
    return _hear(source, _config(bundle, threads))


def _config(bundle: str, threads: int) -> LiveConfig:
    return LiveConfig(bundle=bundle, threads=threads, device="cpu", asr="none", fast=True)


def _hear(source: Source, config: LiveConfig) -> Hearing:
    setup = assemble(config, source.info)
    events: list[wire.Event] = []

    async def run() -> None:
        session = LiveSession(source, setup, clock=MonotonicClock(), fast=True)
        await session.run([events.append])

    asyncio.run(run())
    return Hearing(
        events,
        media_s=events[-1].t,
        spent_s={part: spent / 1e9 for part, spent in setup.meter.spent_ns.items()},
    )
