"""The bundle that comes with the package, in the whole product, on real recordings."""

from __future__ import annotations

from pathlib import Path

import jiwer
import numpy as np
import pytest

from magtkd_rt import wire
from magtkd_rt.asr.pocketsphinx import PocketsphinxTranscriber
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.config import LiveConfig
from magtkd_rt.core.jobs import Turn
from magtkd_rt.engines.select import select
from magtkd_rt.runtime.assembly import assemble, open_recording
from magtkd_rt.runtime.clock import MonotonicClock
from magtkd_rt.runtime.live import LiveSession
from magtkd_rt.runtime.recogniser import Recogniser

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def pocketsphinx() -> PocketsphinxTranscriber:
    return PocketsphinxTranscriber()


async def emotions(path: Path, transcriber: PocketsphinxTranscriber) -> list[wire.Emotion]:
    """The final results of a recording heard fast."""
    config = LiveConfig(input=path, fast=True, threads=2)
    source = open_recording(config, path)
    setup = assemble(config, source.info, transcriber)
    events: list[wire.Event] = []
    session = LiveSession(source, setup, clock=MonotonicClock(), fast=True)
    await session.run([events.append])
    return [e for e in events if isinstance(e, wire.Emotion) and e.stage == "final"]


def test_it_is_small_and_says_what_it_is_not_for() -> None:
    bundle = Bundle.load("starter")
    size = sum(path.stat().st_size for path in bundle.directory.iterdir())
    assert size <= 45_000_000
    card = bundle.path(bundle.manifest.card).read_text(encoding="utf-8")
    assert "research use only" in card
    assert "Not measured yet" not in card
    for corpus in ("MELD", "RAVDESS", "FER2013"):
        assert corpus in card


def test_words_have_their_meaning() -> None:
    bundle = Bundle.load("starter")
    selected = select(bundle)  # checks the golden outputs
    recogniser = Recogniser(bundle, selected.engine)
    said = {
        "joy": "Oh, that is so great! I'm so happy for you!",
        "anger": "Get out! I hate you! How dare you!",
        "sadness": "I'm so sorry. I miss her so much.",
        "surprise": "Oh my God! What? You're kidding!",
        "neutral": "The meeting is at three o'clock.",
    }
    heard = {}
    for wanted, text in said.items():
        words = recogniser.encode_text([Turn(0, text)])
        fused = recogniser.fuse((words.feature, None, None), 0, None)
        assert fused.probabilities.sum() == pytest.approx(1, abs=1e-5)
        heard[wanted] = bundle.manifest.labels[int(fused.probabilities.argmax())]
    assert heard == {label: label for label in said}


async def test_the_telephone_call_is_covered(
    shared: Path, pocketsphinx: PocketsphinxTranscriber
) -> None:
    results = await emotions(shared / "media/speech/two_speaker_call.wav", pocketsphinx)
    assert len(results) >= 3
    assert all(result.end - result.start <= 10 for result in results)
    assert all(result.start >= 6 for result in results)
    ticks = np.arange(0, 30, 0.01)
    transcript = (shared / "media/speech/two_speaker_call.stm").read_text(encoding="utf-8")
    spoken = np.zeros(len(ticks), bool)
    for line in transcript.splitlines():
        start, end = map(float, line.split()[3:5])
        spoken |= (ticks >= start) & (ticks < end)
    covered = np.zeros(len(ticks), bool)
    for result in results:
        covered |= (ticks >= result.start) & (ticks < result.end)
    assert (covered & spoken).sum() >= 0.9 * spoken.sum()


@pytest.mark.parametrize("name", ["librivox_0870", "librivox_0930"])
async def test_read_passages_come_out_mostly_right(
    name: str, shared: Path, pocketsphinx: PocketsphinxTranscriber
) -> None:
    results = await emotions(shared / f"media/speech/{name}.wav", pocketsphinx)
    words = (shared / f"media/speech/{name}.txt").read_text(encoding="utf-8")
    assert jiwer.wer(words, " ".join(result.text for result in results)) <= 1 / 3
    assert all(result.modalities["text"].present for result in results)


@pytest.mark.parametrize("name", ["talking_head_1", "talking_head_2"])
async def test_a_talking_head_is_heard_and_seen(
    name: str, shared: Path, pocketsphinx: PocketsphinxTranscriber
) -> None:
    results = await emotions(shared / f"media/video/{name}.mp4", pocketsphinx)
    assert results
    for result in results:
        text = result.modalities["text"]
        assert result.modalities["audio"].present
        assert result.modalities["video"].present
        assert text.present or text.reason == "low_confidence"
