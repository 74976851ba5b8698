"""`magtkd send`: a recording to a server, as if it were live."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from magtkd_rt import wire
from magtkd_rt.cli.interrupts import Interrupts
from magtkd_rt.clients import Publisher, publish
from magtkd_rt.core.media import SAMPLE_RATE, AudioChunk, VideoFrame, samples_to_ns
from magtkd_rt.sources import FileSource, Media, Source, arrival_ns

_JPEG: Final = (cv2.IMWRITE_JPEG_QUALITY, 90)


def run_send(
    path: Path,
    url: str,
    *,
    speaker: str | None = None,
    token: str | None = None,
    tls_context: ssl.SSLContext | None = None,
    fps: float = 10.0,
    channels_are_speakers: bool = False,
) -> None:
    """Send a recording in real time and wait for its session to end; progress on stderr.

    Ctrl-C ends the session in order: what was said by then gets its result.

    Raises:
        MagtkdError: the file cannot be read, or the server cannot be reached or refuses.
    """
    source = FileSource(path, fps=fps, channels_are_speakers=channels_are_speakers)
    console = Console(stderr=True, highlight=False)

    def say_lost(problem: str, delay: float) -> None:
        console.print(f"{problem}; trying again in {delay:.1f} s", style="yellow", markup=False)

    publisher = publisher_of(
        source, url, speaker=speaker, token=token, tls_context=tls_context, on_retry=say_lost
    )
    try:
        asyncio.run(_send(path.name, source, publisher, console))
    finally:
        source.close()


async def _send(name: str, source: FileSource, publisher: Publisher, console: Console) -> None:
    stopped = asyncio.Event()
    Interrupts().first = lambda _: stopped.set()
    seconds = None if source.info.duration_ns is None else source.info.duration_ns / 1e9
    async with publisher:
        console.print(f"{name}: session {publisher.session_id}", markup=False)
        with _progress(console, name, seconds) as progress:
            await send_media(publisher, source, on_progress=progress, stopped=stopped)
        console.print("waiting for the last results", markup=False)
    for kind, count in publisher.dropped.items():
        if count:
            lost = f"no room for {count} pieces of {kind}: the network is too slow"
            console.print(lost, style="yellow", markup=False)
    for problem in source.problems:
        print(f"magtkd: {problem}", file=sys.stderr)


def publisher_of(
    source: Source,
    url: str,
    *,
    speaker: str | None = None,
    token: str | None = None,
    tls_context: ssl.SSLContext | None = None,
    subscribe: bool = False,
    on_retry: Callable[[str, float], None] | None = None,
) -> Publisher:
    """A publisher that announces what a source has, its sound as exactly as it is recognised."""
    channels = source.info.channels
    audio = wire.AudioFormat(
        sample_rate=SAMPLE_RATE,
        channels=channels,
        encoding="pcm_f32le",
        channels_are_speakers=channels > 1,
    )
    return publish(
        url,
        audio=audio if channels else None,
        video=wire.VideoFormat() if source.info.video is not None else None,
        speaker=speaker,
        token=token,
        tls_context=tls_context,
        subscribe=subscribe,
        on_retry=on_retry,
    )


async def send_media(
    publisher: Publisher,
    source: Source,
    *,
    on_progress: Callable[[float], None] | None = None,
    stopped: asyncio.Event | None = None,
) -> None:
    """Send everything a source has, each piece when its time has come; does not end the session.

    Args:
        publisher: that was made by `publisher_of` and entered.
        source: what is sent; read to its end or until `stopped`.
        on_progress: told the seconds of media that were sent.
        stopped: nothing more is sent once it is set.

    Raises:
        ServerError: the session failed, or the connection was lost for good.
    """
    base_us = time.monotonic_ns() // 1000
    rows: list[AudioChunk] = []
    early: list[VideoFrame] | None = [] if source.info.channels else None

    async def send_picture(frame: VideoFrame) -> None:
        await publisher.picture(await _jpeg(frame), base_us + frame.time_ns // 1000)

    async for item in _in_time(source):
        if stopped is not None and stopped.is_set():
            return
        if on_progress is not None:
            on_progress(arrival_ns(item) / 1e9)
        if isinstance(item, VideoFrame):
            if early is None:
                await send_picture(item)
            else:
                early.append(item)
            continue
        rows.append(item)
        if len(rows) < source.info.channels:
            continue
        # A session's time begins with what comes first, and a chunk is ready only at its end.
        held, early = early or [], None
        start_ns = samples_to_ns(rows[0].start)
        for frame in [frame for frame in held if frame.time_ns < start_ns]:
            await send_picture(frame)
        samples = np.stack([row.samples for row in rows], axis=1)
        await publisher.sound(samples, base_us + _microseconds(rows[0].start))
        rows.clear()
        for frame in [frame for frame in held if frame.time_ns >= start_ns]:
            await send_picture(frame)


async def _in_time(source: Source) -> AsyncIterator[Media]:
    """Each item of a source when it is due, media zero being now; overdue ones at once."""
    media = source.media()
    zero = time.monotonic_ns()
    while (item := await asyncio.to_thread(next, media, None)) is not None:
        late = time.monotonic_ns() - zero - arrival_ns(item)
        if late < 0:
            await asyncio.sleep(-late / 1e9)
        yield item


def _microseconds(sample: int) -> int:
    """When a sample begins, rounded up, so that it is not taken for the one before."""
    return -(-sample * 1_000_000 // SAMPLE_RATE)


async def _jpeg(frame: VideoFrame) -> bytes:
    def encode() -> bytes:
        bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", bgr, _JPEG)
        return bytes(data.tobytes())

    return await asyncio.to_thread(encode)


@contextmanager
def _progress(
    console: Console, name: str, seconds: float | None
) -> Iterator[Callable[[float], None] | None]:
    """A line that shows how far it is; nothing where there is no terminal."""
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), TimeElapsedColumn(), TextColumn("of"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(name, total=seconds)
        yield lambda done: progress.update(task, completed=done)
