"""faster-whisper's real code on a tiny random model, and the judgement of its segments."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.asr.whisper import WhisperStream, WhisperTranscriber, transcript
from magtkd_rt.core.jobs import Transcribed
from magtkd_rt.core.media import AudioChunk
from magtkd_rt.errors import EngineError
from magtkd_rt.sources import FileSource


def test_the_real_code_runs_on_a_tiny_model(tiny_whisper: Path, shared: Path) -> None:
    transcriber = WhisperTranscriber(str(tiny_whisper), threads=1)
    assert transcriber.name == "whisper-tiny-random-whisper"
    source = FileSource(shared / "media/speech/7902-96591-0000.flac")
    results = []
    chunks = [item for item in source.media() if isinstance(item, AudioChunk)]
    for _ in range(2):
        stream = transcriber.open("u")
        for chunk in chunks:
            stream.feed(chunk)
        guess = stream.guess()
        results.append(stream.finish())
        assert not guess.final
        assert results[-1].text.startswith(guess.text)
        stream.close()
    assert results[0] == results[1]
    final = results[0]
    # Random weights babble: whether that counts as words is judged, the form is the same.
    assert final.final
    assert 0 <= final.confidence <= 1
    assert (final.text == "") == (final.words == ())
    assert transcriber.open("u").finish().text == ""
    transcriber.close()


def test_random_babble_is_heard_by_the_real_decoder(tiny_whisper: Path) -> None:
    transcriber = WhisperTranscriber(str(tiny_whisper), threads=1)
    noise = np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32)
    segments, info = transcriber._model.transcribe(
        noise,
        beam_size=1,
        condition_on_previous_text=False,
        word_timestamps=True,
        no_speech_threshold=None,
        log_prob_threshold=None,
    )
    segments = list(segments)
    assert segments
    assert info.language in {"en", "de"}
    for segment in segments:  # what `transcript` reads is what faster-whisper gives
        assert 0 <= segment.no_speech_prob <= 1
        assert segment.avg_logprob < 0
        assert segment.compression_ratio > 0
        assert segment.words is not None


def _segment(text: str, **changes: float) -> SimpleNamespace:
    words = [
        SimpleNamespace(word=f" {word}", start=at * 0.5, end=at * 0.5 + 0.4, probability=0.8)
        for at, word in enumerate(text.split())
    ]
    fields = {"no_speech_prob": 0.1, "avg_logprob": -0.2, "compression_ratio": 1.2, **changes}
    return SimpleNamespace(text=f" {text}", words=words, tokens=[1, 2], **fields)


def test_words_are_dated_in_samples_since_media_zero() -> None:
    final = transcript([_segment("hello there")], "en", start=48000)
    assert final.text == "hello there"
    assert final.words is not None
    assert [(word.text, word.start, word.end) for word in final.words] == [
        ("hello", 48000, 54400),
        ("there", 56000, 62400),
    ]
    assert final.confidence == pytest.approx((np.exp(-0.2) + 0.8) / 2)


def test_what_whisper_makes_up_is_left_out() -> None:
    silence = _segment("thanks for watching", no_speech_prob=0.9, avg_logprob=-1.5)
    loop = _segment("and so on " * 20)
    quiet_but_sure = _segment("hello", no_speech_prob=0.9, avg_logprob=-0.1)
    assert transcript([silence, loop], "en", 0) == Transcribed(
        "", (), 0.0, language="en", final=True, doubt="no_speech"
    )
    assert transcript([loop], "en", 0).doubt == "repetition"
    assert transcript([silence, quiet_but_sure], "en", 0).text == "hello"
    assert transcript([], "en", 0) == Transcribed("", (), 0.0, language="en", final=True)


def test_what_only_the_whole_text_shows_to_be_made_up_is_left_out() -> None:
    loop = transcript([_segment("so so so so so"), _segment("so so so so so so")], "en", 0)
    assert (loop.text, loop.words, loop.doubt) == ("", (), "repetition")
    crowded = _segment("all at the same instant")
    for word in crowded.words:
        word.start = word.end = 1.0
    assert transcript([crowded], "en", 0).doubt == "implausible"
    polite = transcript([_segment("thank you")], "en", 0)  # people say that too
    assert (polite.text, polite.doubt) == ("thank you", "stock_phrase")


class _Script:
    """In faster-whisper's place: a hypothesis for each decoding; how often it decoded what."""

    def __init__(self, *texts: str) -> None:
        self._texts = list(texts)
        self.lengths: list[int] = []

    def transcribe(self, sound: NDArray[np.float32], **options: object) -> Any:
        self.lengths.append(len(sound))
        return [_segment(self._texts.pop(0))], SimpleNamespace(language="en")


def _sound(start: int, length: int) -> AudioChunk:
    return AudioChunk(0, start, np.zeros(length, np.float32))


def test_a_guess_shows_what_two_hypotheses_agree_on() -> None:
    model = _Script("ask not watch", "Ask not, what your", "ask not what your country")
    stream = WhisperStream(model)
    assert stream.guess().text == ""  # no sound yet, nothing to decode
    texts = []
    for at in range(3):
        stream.feed(_sound(8000 * at, 8000))
        texts.append(stream.guess())
    assert [guess.text for guess in texts] == ["", "Ask not,", "ask not what your"]
    assert not any(guess.final for guess in texts)
    assert texts[2].words is not None
    assert [word.start for word in texts[2].words] == [0, 8000, 16000, 24000]
    assert texts[2].confidence == pytest.approx(0.8)
    assert model.lengths == [8000, 16000, 24000]


def test_the_end_without_further_sound_costs_nothing_more() -> None:
    model = _Script("ask not", "ask not what")
    stream = WhisperStream(model)
    stream.feed(_sound(0, 8000))
    stream.guess()
    stream.feed(_sound(8000, 8000))
    guess = stream.guess()
    stream.feed(_sound(16000, 0))
    assert stream.guess() == guess  # nothing new: not the newest hypothesis with itself
    final = stream.finish()
    assert (final.text, final.final) == ("ask not what", True)
    assert model.lengths == [8000, 16000]


def test_further_sound_is_decoded_at_the_end() -> None:
    model = _Script("ask", "ask not")
    stream = WhisperStream(model)
    stream.feed(_sound(0, 8000))
    stream.guess()
    stream.feed(_sound(8000, 10))
    assert stream.finish().text == "ask not"
    assert model.lengths == [8000, 8010]
    stream.close()


def test_what_is_no_model_gets_one_line(tmp_path: Path, tiny_whisper: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "model.bin").write_bytes(b"nothing")
    for model in (str(damaged), "no-such-size"):
        with pytest.raises(EngineError, match="cannot be loaded") as caught:
            WhisperTranscriber(model, local_only=True)
        assert "\n" not in str(caught.value)


def test_importing_the_package_loads_no_model_code() -> None:
    heavy = "{'faster_whisper', 'ctranslate2', 'torch', 'transformers', 'pocketsphinx'}"
    code = f"import sys, magtkd_rt.asr; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "[]"
