"""Several senders at once: does the server keep up, and is everybody's result as if alone?"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2

from magtkd_rt import wire
from magtkd_rt.bench.served import Served, serving
from magtkd_rt.clients.publish import publish
from magtkd_rt.core.media import SAMPLE_RATE, AudioChunk
from magtkd_rt.runtime.bench import percentiles
from magtkd_rt.sources import FileSource, Media, MediaInfo
from magtkd_rt.sources.base import arrival_ns

AUDIO: Final = wire.AudioFormat(sample_rate=SAMPLE_RATE, encoding="pcm_f32le")
"""Floats, so that the server hears the very samples of the file."""
LOOK_EVERY_S: Final = 0.2
JPEG_QUALITY: Final = 90


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording as it is sent: sound and JPEGs, with what each is due at, in nanoseconds."""

    info: MediaInfo
    items: tuple[tuple[int, AudioChunk | tuple[int, bytes]], ...]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.items[-1][0] / 1e9


@dataclass(frozen=True, slots=True)
class Senders:
    """One sender alone, then several at once.

    Attributes:
        count: how many at once.
        media_s: how long each sends.
        alone: events of the one alone.
        together: events of each of the others.
        lags_ms: the worst session's lag, looked at every LOOK_EVERY_S.
        processor: server's share of one core while all send.
        memory_mb: of the server at the end.
    """

    count: int
    media_s: float
    alone: list[wire.Event]
    together: list[list[wire.Event]]
    lags_ms: list[float]
    processor: float
    memory_mb: float


def read_recording(path: Path, fps: float) -> Recording:
    """Read a recording into memory, its pictures as JPEGs.

    Raises:
        InputError: it cannot be read.
    """
    source = FileSource(path, fps=fps)
    return Recording(source.info, tuple((arrival_ns(item), _sent(item)) for item in source.media()))


def _sent(item: Media) -> AudioChunk | tuple[int, bytes]:
    if isinstance(item, AudioChunk):
        return item
    bgr = cv2.cvtColor(item.image, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return item.time_ns, jpeg.tobytes()


async def measure_senders(
    recording: Recording,
    count: int,
    options: Sequence[str],
    note: Callable[[str], None] = lambda _: None,
) -> Senders:
    """Send a recording in real time: once, then `count` times at once.

    Args:
        recording: what everybody sends.
        count: how many at once.
        options: of `magtkd serve`.
        note: is told what goes on.

    Raises:
        ServerError: the server does not begin, or refuses a sender.
    """
    async with serving([f"--max-sessions={count}", *options]) as served:
        note("one sender alone ...")
        alone = await _send(served.url, recording)
        note(f"{count} at once ...")
        before, begun = served.processor_s(), time.monotonic()
        lags: list[float] = []
        looking = asyncio.create_task(_look(served, lags))
        try:
            together = await asyncio.gather(*(_send(served.url, recording) for _ in range(count)))
        finally:
            looking.cancel()
        spent = served.processor_s() - before
        return Senders(
            count=count,
            media_s=recording.seconds,
            alone=alone,
            together=list(together),
            lags_ms=lags,
            processor=spent / (time.monotonic() - begun),
            memory_mb=served.resident_mb(),
        )


async def _send(url: str, recording: Recording) -> list[wire.Event]:
    """Send in real time; returns the session's events."""
    video = None if recording.info.video is None else wire.VideoFormat()
    async with publish(url, audio=AUDIO, video=video, subscribe=True, attempts=0) as publisher:
        begun_ns = time.monotonic_ns()
        for due_ns, item in recording.items:
            await asyncio.sleep((begun_ns + due_ns - time.monotonic_ns()) / 1e9)
            if isinstance(item, AudioChunk):
                await publisher.sound(item.samples, item.start * 1_000_000 // SAMPLE_RATE)
            else:
                await publisher.picture(item[1], item[0] // 1000)
        await publisher.end()
        updates = [update async for update in publisher.events()]
    return [update for update in updates if not isinstance(update, wire.Snapshot)]


async def _look(served: Served, lags: list[float]) -> None:
    while True:
        health = await asyncio.to_thread(_health, served.url)
        lags.append(float(health.get("lag_ms", 0.0)))
        await asyncio.sleep(LOOK_EVERY_S)


def _health(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}health", timeout=10) as answer:
        return dict(json.load(answer))


def report(senders: Senders) -> dict[str, Any]:
    """All measurements, ready for JSON. Times are in milliseconds."""
    reference = _finals(senders.alone)
    finals = [_finals(events) for events in senders.together]
    everything = [event for events in senders.together for event in events]
    after_endpoint = [
        emotion.latency.total_ms - emotion.latency.endpoint_ms
        for results in finals
        for emotion in results
    ]
    codes = [event.code for event in everything if isinstance(event, wire.Status)]
    return {
        "senders": senders.count,
        "media_s": round(senders.media_s, 3),
        "finals_alone": len(reference),
        "sessions_equal_to_alone": sum(_equal(results, reference) for results in finals),
        "largest_difference_of_a_probability": _largest_difference(finals, reference),
        "lag_ms": percentiles(senders.lags_ms) | {"most": max(senders.lags_ms, default=None)},
        "final_after_endpoint_ms": percentiles(after_endpoint),
        "gave_way": codes.count("giving_way"),
        "dropped_utterances": sum(isinstance(e, wire.UtteranceDropped) for e in everything),
        "processor_share_of_one_core": round(senders.processor, 4),
        "memory_mb": round(senders.memory_mb, 1),
    }


def _finals(events: Sequence[wire.Event]) -> list[wire.Emotion]:
    return [e for e in events if isinstance(e, wire.Emotion) and e.stage == "final"]


def _equal(results: Sequence[wire.Emotion], reference: Sequence[wire.Emotion]) -> bool:
    return [_meaning(one) for one in results] == [_meaning(one) for one in reference]


def _meaning(emotion: wire.Emotion) -> tuple[object, ...]:
    e = emotion
    present = tuple(sorted(name for name, part in e.modalities.items() if part.present))
    return (e.utterance_id, e.start, e.end, e.speaker, e.text, e.label, e.abstained, present)


def _largest_difference(
    finals: Sequence[Sequence[wire.Emotion]], reference: Sequence[wire.Emotion]
) -> float:
    return max(
        (
            abs(p - other.probabilities[label])
            for results in finals
            for one, other in zip(results, reference, strict=False)
            for label, p in one.probabilities.items()
        ),
        default=0.0,
    )
