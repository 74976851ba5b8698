"""pocketsphinx in its own process: the same words, and nobody waits for the interpreter's lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.asr.process import PocketsphinxProcess
from magtkd_rt.core.media import AudioChunk
from magtkd_rt.errors import EngineError
from magtkd_rt.sources import FileSource

pocketsphinx = pytest.importorskip("magtkd_rt.asr.pocketsphinx")


@pytest.fixture
def transcriber() -> Iterator[PocketsphinxProcess]:
    listening = PocketsphinxProcess()
    yield listening
    listening.close()


def _chunks(sound: NDArray[np.float32]) -> list[AudioChunk]:
    return [AudioChunk(0, at, sound[at : at + 4096]) for at in range(0, len(sound), 4096)]


@pytest.fixture
def speech(shared: Path) -> list[AudioChunk]:
    chunks = FileSource(shared / "media/speech/7902-96591-0000.flac").media()
    return _chunks(np.concatenate([c.samples for c in chunks if isinstance(c, AudioChunk)]))


def test_it_hears_what_pocketsphinx_hears(
    transcriber: PocketsphinxProcess, speech: list[AudioChunk]
) -> None:
    here = pocketsphinx.PocketsphinxTranscriber()
    inside, outside, beside = here.open("a"), transcriber.open("a"), transcriber.open("b")
    for chunk in speech:
        assert inside.feed(chunk) == outside.feed(chunk)
        beside.feed(chunk)
    assert outside.guess() is None
    beside.close()
    beside.close()
    assert inside.finish() == outside.finish()
    outside.close()


def test_other_threads_go_on_while_it_decodes(
    transcriber: PocketsphinxProcess, speech: list[AudioChunk]
) -> None:
    gaps: list[float] = []
    done = threading.Event()

    def tick() -> None:
        before = time.perf_counter()
        while not done.wait(0.001):
            now = time.perf_counter()
            gaps.append(now - before)
            before = now

    ticking = threading.Thread(target=tick)
    stream = transcriber.open("a")
    ticking.start()
    start = time.perf_counter()
    for chunk in speech:
        stream.feed(chunk)
    stream.finish()
    took = time.perf_counter() - start
    done.set()
    ticking.join()
    # Decoded inside, the first two seconds alone held everybody up for most of that time.
    assert max(gaps) < max(0.25, took / 4)


def test_what_was_asked_wrongly_is_an_error_and_the_next_utterance_goes_on(
    transcriber: PocketsphinxProcess, speech: list[AudioChunk]
) -> None:
    stream = transcriber.open("a")
    stream.finish()
    with pytest.raises(EngineError):
        stream.feed(speech[0])
    assert transcriber.open("b").feed(speech[0]) is None


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_one_that_died_is_started_anew_with_the_next_utterance(
    transcriber: PocketsphinxProcess, speech: list[AudioChunk]
) -> None:
    stream = transcriber.open("a")
    os.kill(transcriber.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match="has ended"):
        stream.feed(speech[0])
    stream.close()
    again = transcriber.open("b")
    for chunk in speech:
        again.feed(chunk)
    assert again.finish().text


def test_after_the_end_nothing_is_left(speech: list[AudioChunk]) -> None:
    transcriber = PocketsphinxProcess()
    stream = transcriber.open("a")
    pid = transcriber.pid
    transcriber.close()
    transcriber.close()
    with pytest.raises(EngineError):
        stream.feed(speech[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_its_process_does_not_wait_for_what_it_does_not_need() -> None:
    code = "import sys, magtkd_rt.asr.serve; print(sys.modules.keys() & {'pydantic', 'av'})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
