"""What hearing a recording costs on this machine, and how soon results come."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from magtkd_rt import wire
from magtkd_rt.asr.scripted import ScriptedTranscriber
from magtkd_rt.config import LiveConfig
from magtkd_rt.errors import EngineError, InputError
from magtkd_rt.runtime.assembly import assemble, open_recording
from magtkd_rt.runtime.clock import MonotonicClock
from magtkd_rt.runtime.live import LiveSession
from magtkd_rt.runtime.meter import Part
from magtkd_rt.runtime.peak import PeakWatch

LISTENING: Final = "magtkd: listening on "
"""How the line of `magtkd-live` begins that says: all is loaded, the recording begins."""

WITHOUT_ASR: Final[tuple[Part, ...]] = (
    "source",
    "vad",
    "voices",
    "faces",
    "core",
    "text",
    "audio",
    "video",
    "identity",
    "fusion",
)


@dataclass(frozen=True, slots=True)
class Product:
    """`magtkd-live --fast` in a process of its own.

    Attributes:
        start_s: seconds from the start of the process until it listens, bundle loaded.
        peak_mb: most memory that it and its transcriber's process held, in millions of bytes.
        whole_s: seconds that all of it took.
        asr_ms: per utterance, finishing the transcript after the endpoint.
        texts: per utterance, the words that counted; empty where none did.
    """

    start_s: float
    peak_mb: float
    whole_s: float
    asr_ms: tuple[float, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """The recording in real time, with its words known beforehand: everything but ASR.

    Attributes:
        media_s: seconds of media.
        utterances: those with a result.
        compute: seconds per second of media, by part, as `Meter` counts them.
        processor: seconds of all processor cores per second of media.
        latency_ms: per utterance, from the arrival of the sound that decided that it is over to
            the hand-over of the result.
        dropped: what was lost for lack of time.
    """

    media_s: float
    utterances: int
    compute: dict[Part, float]
    processor: float
    latency_ms: tuple[float, ...]
    dropped: dict[str, int]


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p95 and p99; None where there are no values."""
    names = ("p50", "p95", "p99")
    if not values:
        return dict.fromkeys(names)
    found = np.percentile(values, (50, 95, 99))
    return {name: round(float(value), 2) for name, value in zip(names, found, strict=True)}


def measure_product(config: LiveConfig) -> Product:
    """Run `magtkd-live` on a recording, as fast as it can.

    Raises:
        EngineError: it failed; its own words are in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "events.jsonl"
        command = [
            sys.executable,
            "-c",
            "from magtkd_rt.cli import live_main; live_main()",
            "--fast", "--no-view", "--port=0",
            f"--config={os.devnull}",  # what this user has set must not count
            f"--input={config.input}",
            f"--jsonl={journal}",
            f"--asr={config.asr}",
            f"--bundle={config.bundle}",
            f"--threads={config.threads}",
            f"--fps={config.fps}",
        ]  # fmt: skip
        start = time.monotonic()
        listening_after = 0.0
        said = ""
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            watch = PeakWatch(process.pid)
            watch.start()
            for line in process.stderr:
                if line.startswith(LISTENING):
                    listening_after = time.monotonic() - start
                else:
                    said = line.strip()
        whole = time.monotonic() - start
        watch.join()
        if process.returncode:
            raise EngineError(
                f"magtkd-live failed ({said})", remedy="mend that, then measure again"
            )
        events = [wire.parse_message(line) for line in journal.read_bytes().splitlines()]
    asr_ms = [event.latency.asr_ms for event in events if isinstance(event, wire.Emotion)]
    return Product(
        start_s=round(listening_after, 3),
        peak_mb=round(watch.peak_kb * 1024 / 1e6, 1),
        whole_s=round(whole, 3),
        asr_ms=tuple(asr_ms),
        texts=tuple(_texts(events)),
    )


def _texts(events: Sequence[wire.ServerMessage]) -> list[str]:
    texts: dict[str, str] = {}
    for event in events:
        if isinstance(event, wire.SpeechStarted):
            texts[event.utterance_id] = ""
        elif isinstance(event, wire.Emotion) and event.modalities["text"].present:
            texts[event.utterance_id] = event.text
    return list(texts.values())


async def measure_cost(config: LiveConfig, texts: Sequence[str]) -> Cost:
    """Hear the recording in real time, its utterances having these words, with final results only.

    Raises:
        MagtkdError: it cannot be heard.
    """
    if config.input is None:
        raise InputError("nothing to measure", remedy="give a recording with --input FILE")
    source = open_recording(config, config.input)
    config = replace(config, asr="none", provisional=False)
    setup = assemble(config, source.info, ScriptedTranscriber(texts))
    session = LiveSession(source, setup, clock=MonotonicClock(), fast=False)
    events: list[wire.Event] = []
    before = time.process_time()
    await session.run([events.append])
    processor_s = time.process_time() - before
    finals = [e for e in events if isinstance(e, wire.Emotion) and e.stage == "final"]
    media_s = events[-1].t
    spent = setup.meter.spent_ns
    return Cost(
        media_s=round(media_s, 3),
        utterances=len(finals),
        compute={part: round(spent[part] / 1e9 / max(media_s, 1e-9), 5) for part in WITHOUT_ASR},
        processor=round(processor_s / max(media_s, 1e-9), 5),
        latency_ms=tuple(_after_endpoint(final.latency) for final in finals),
        dropped=session.dropped,
    )


def _after_endpoint(latency: wire.Latency) -> float:
    # Where the recording's end decided, the decision came up to one window early.
    return round(max(0.0, latency.total_ms - latency.endpoint_ms - latency.asr_ms), 3)


def report(product: Product, cost: Cost) -> dict[str, object]:
    """All measurements, ready for JSON."""
    return {
        "media_s": cost.media_s,
        "utterances": cost.utterances,
        "start_to_listening_s": product.start_s,
        "peak_memory_mb": product.peak_mb,
        "whole_fast_run_s": product.whole_s,
        "asr_after_endpoint_ms": percentiles(product.asr_ms),
        "compute_without_asr_per_media_second": round(sum(cost.compute.values()), 5),
        "compute_per_media_second": cost.compute,
        "processor_without_asr_per_media_second": cost.processor,
        "final_after_endpoint_without_asr_ms": percentiles(cost.latency_ms),
        "dropped": cost.dropped,
    }
