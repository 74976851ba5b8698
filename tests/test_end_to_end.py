"""Whole runs on real recordings: file, speech detector, faces, pocketsphinx, graphs, websocket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from recorded import write_wav

from magtkd_rt import wire
from magtkd_rt.asr.pocketsphinx import PocketsphinxTranscriber
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.cli.session import live
from magtkd_rt.clients import subscribe
from magtkd_rt.clients.connection import ServerUnavailable
from magtkd_rt.config import LiveConfig
from magtkd_rt.runtime.assembly import assemble, open_recording
from magtkd_rt.runtime.clock import MonotonicClock
from magtkd_rt.runtime.live import LiveSession

pytestmark = pytest.mark.anyio

WINDOW_MS = 32


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def pocketsphinx() -> PocketsphinxTranscriber:
    return PocketsphinxTranscriber()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def watched(config: LiveConfig) -> list[wire.Event]:
    """Run magtkd-live's session in this loop and watch it over its websocket."""
    assert config.input is not None
    running = asyncio.create_task(live(config, open_recording(config, config.input)))
    events: list[wire.Event] = []
    url = f"127.0.0.1:{config.port}"
    while True:
        try:
            async with aclosing(subscribe(url, since=0)) as updates:
                async for update in updates:
                    assert not isinstance(update, wire.Snapshot)
                    events.append(update)
            break
        except ServerUnavailable:
            assert not running.done(), running.exception()
            await asyncio.sleep(0.02)
    await running
    return events


async def heard(
    config: LiveConfig, transcriber: PocketsphinxTranscriber | None = None
) -> list[wire.Event]:
    """All events of a recording, without a server."""
    assert config.input is not None
    source = open_recording(config, config.input)
    session = LiveSession(
        source,
        assemble(config, source.info, transcriber),
        clock=MonotonicClock(),
        fast=config.fast,
    )
    events: list[wire.Event] = []
    await session.run([events.append])
    return events


def finals(events: list[wire.Event]) -> list[wire.Emotion]:
    return [e for e in events if isinstance(e, wire.Emotion) and e.stage == "final"]


def meaning(final: wire.Emotion) -> object:
    # Its revision is the number of provisional results before it, of which --fast has none.
    left_out = {"seq", "session_id", "t", "emitted_at", "latency", "revision"}
    return final.model_dump(exclude=left_out)


async def test_fast_and_real_time_agree_over_a_websocket(
    shared: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    runs = []
    for fast in (True, False):
        config = LiveConfig(
            input=shared / "media/video/talking_head_1.mp4",
            bundle=str(tiny_bundle.directory),
            asr="pocketsphinx",
            fast=fast,
            fps=1,  # few enough that none is ever dropped, however busy the machine is
            threads=1,
            port=free_port(),
            # Who comes before the session has begun tries again a little later: it may be over.
            linger=4.0 if fast else 0.0,
            jsonl=tmp_path / f"{fast}.jsonl",
        )
        events = await watched(config)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert isinstance(events[0], wire.SessionStarted)
        assert isinstance(events[-1], wire.SessionEnded)
        written = (tmp_path / f"{fast}.jsonl").read_bytes().splitlines()
        assert [wire.parse_message(line) for line in written] == events
        runs.append(events)
    one, other = runs
    assert len(finals(one)) >= 2
    assert list(map(meaning, finals(one))) == list(map(meaning, finals(other)))
    for final in finals(one):
        assert final.modalities["audio"].present
        assert final.modalities["video"].present
        text = final.modalities["text"]
        assert text.present or text.reason == "low_confidence"
        assert final.text
    for final in finals(other):
        # Both are known to a window of sound.
        assert final.latency.total_ms >= final.latency.endpoint_ms - WINDOW_MS
    opened = [e.utterance_id for e in one if isinstance(e, wire.SpeechStarted)]
    assert opened == [final.utterance_id for final in finals(one)]


async def test_each_channel_is_a_speaker(
    shared: Path, tiny_bundle: Bundle, pocketsphinx: PocketsphinxTranscriber
) -> None:
    config = LiveConfig(
        input=shared / "media/speech/stereo_diarization.wav",
        bundle=str(tiny_bundle.directory),
        channels_are_speakers=True,
        fast=True,
        threads=1,
    )
    results = finals(await heard(config, pocketsphinx))
    said = {
        name: " ".join(final.text for final in results if final.speaker == name)
        for name in {final.speaker for final in results}
    }
    assert set(said) == {"S1", "S2"}
    left, right = sorted(said.values(), key=lambda text: "extremely" in text)
    assert "extremely" in right
    assert "wizard" in left or "curtain" in left


async def test_the_face_counts_only_while_it_is_there(shared: Path, tiny_bundle: Bundle) -> None:
    config = LiveConfig(
        input=shared / "media/video/no_face.mp4",
        bundle=str(tiny_bundle.directory),
        asr="none",
        fast=True,
        threads=1,
    )
    for final in finals(await heard(config)):
        assert not final.modalities["video"].present
        assert final.modalities["video"].reason == "no_face"


RATE = 16_000


def _time(seconds: float = 6.0) -> NDArray[np.float64]:
    return np.arange(round(seconds * RATE)) / RATE


def silence() -> NDArray[np.float64]:
    return np.zeros(6 * RATE)


def white_noise() -> NDArray[np.float64]:
    return np.random.default_rng(1).standard_normal(6 * RATE) * 0.1


def mains_hum() -> NDArray[np.float64]:
    time = _time()
    partials = [0.2 / n * np.sin(2 * np.pi * 50 * n * time) for n in (1, 2, 3, 5)]
    return np.sum(partials, axis=0)


def music() -> NDArray[np.float64]:
    """Plucked chords over a bass and a beat."""
    time = _time()
    random = np.random.default_rng(2)
    sound = np.zeros_like(time)
    for beat, chord in enumerate([(220, 277, 330), (196, 247, 294), (175, 220, 262)] * 4):
        start = round(beat * 0.5 * RATE)
        part = _time(0.5)
        decay = np.exp(-4 * part)
        for note in (*chord, chord[0] / 2):
            harmonics = sum(np.sin(2 * np.pi * note * k * part) / k for k in range(1, 5))
            sound[start : start + len(part)] += 0.08 * decay * harmonics
        hit = 0.2 * np.exp(-40 * part) * random.standard_normal(len(part))
        sound[start : start + len(part)] += hit
    return sound


@pytest.mark.parametrize("sound", [silence, white_noise, mains_hum, music])
async def test_what_is_no_speech_has_no_emotion(
    sound: Callable[[], NDArray[np.float64]],
    tmp_path: Path,
    tiny_bundle: Bundle,
    pocketsphinx: PocketsphinxTranscriber,
) -> None:
    config = LiveConfig(
        input=write_wav(tmp_path / "sound.wav", sound()),
        bundle=str(tiny_bundle.directory),
        fast=True,
        threads=1,
    )
    events = await heard(config, pocketsphinx)
    assert finals(events) == []
    assert isinstance(events[-1], wire.SessionEnded)
    assert events[-1].totals["windows_heard"] == pytest.approx(6 * RATE / 512, abs=1)
