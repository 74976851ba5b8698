"""Whisper by faster-whisper: decodes an utterance as a whole, when it has ended."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.asr.base import nothing_heard
from magtkd_rt.core.jobs import Transcribed, Word
from magtkd_rt.core.media import SAMPLE_RATE, AudioChunk
from magtkd_rt.errors import EngineError, ExtraMissing
from magtkd_rt.features.network import offline

_NO_SPEECH = 0.6
_LOW_LOGPROB = -1.0
"""Whisper's own rule: likely silence, and words it does not believe in, are no words."""

_REPETITIVE = 2.4
"""Whisper's own limit for the compression ratio: text that repeats itself is made up."""

_MAX_SAMPLES = 30 * SAMPLE_RATE
"""Whisper hears 30 s at once; the segmenter's utterances are shorter."""


class WhisperTranscriber:
    """Opens streams on one Whisper model.

    Args:
        model: a name such as `base`, or a directory with a converted model.
        threads: processor threads for decoding.
        local_only: look in the cache only; always so where `offline()`.

    Raises:
        ExtraMissing: faster-whisper is not installed.
        EngineError: the model is unknown, not at hand or damaged.
    """

    guesses_while_speaking = True

    def __init__(self, model: str, *, threads: int = 2, local_only: bool = False) -> None:
        try:
            import faster_whisper
        except ImportError as error:
            raise ExtraMissing("faster-whisper", "whisper") from error
        self.name = f"whisper-{Path(model).name}"
        try:
            self._model: Any = faster_whisper.WhisperModel(
                model,
                device="cpu",
                compute_type="int8",
                cpu_threads=threads,
                num_workers=1,
                local_files_only=local_only or offline(),
            )
        except Exception as error:  # the hub, CTranslate2 and tokenizers each raise their own
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise EngineError(
                f"Whisper model {model} cannot be loaded ({reason})",
                remedy="give --whisper-model a directory with a converted model, or take "
                "--asr pocketsphinx",
            ) from error

    def open(self, utterance_id: str) -> WhisperStream:
        """Begin an utterance."""
        return WhisperStream(self._model)

    def close(self) -> None:
        """Free the model's weights."""
        self._model.model.unload_model()


class WhisperStream:
    """One utterance of a `WhisperTranscriber`."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._start: int | None = None
        self._sound: list[NDArray[np.float32]] = []

    def feed(self, sound: AudioChunk) -> None:
        """Keep the sound: Whisper needs all of it."""
        self._start = sound.start if self._start is None else self._start
        self._sound.append(sound.samples)

    def pause(self) -> None:
        """Nothing: Whisper hears an utterance as a whole."""

    def finish(self) -> Transcribed:
        """Decode; a text that Whisper does not believe in itself comes out empty."""
        sound, self._sound = self._sound, []
        if self._start is None:
            return nothing_heard("und")
        segments, info = self._model.transcribe(
            np.concatenate(sound)[:_MAX_SAMPLES],
            beam_size=1,
            # No second tries at higher temperatures: they draw at random, so that the same sound
            # would give other words, and they cost time when time is short.
            temperature=0.0,
            condition_on_previous_text=False,
            vad_filter=False,
            word_timestamps=True,
        )
        return transcript(list(segments), info.language, self._start)

    def close(self) -> None:
        """Forget the sound."""
        self._sound = []


def transcript(segments: list[Any], language: str, start: int) -> Transcribed:
    """Judge faster-whisper's segments and join those that hold.

    Args:
        segments: of one utterance, with words.
        language: code of the language.
        start: samples since media zero at which the utterance's sound begins.

    Returns:
        words dated in samples since media zero; the confidence is the mean of the tokens'
        and of the words' probability (geometric and arithmetic).
    """
    held = [segment for segment in segments if not _made_up(segment)]
    text = "".join(segment.text for segment in held).strip()
    if not text:
        return nothing_heard(language)
    words = tuple(
        Word(
            word.word.strip(),
            start + round(word.start * SAMPLE_RATE),
            start + round(word.end * SAMPLE_RATE),
            _share(word.probability),
        )
        for segment in held
        for word in segment.words or ()
    )
    lengths = [max(1, len(segment.tokens)) for segment in held]
    logprob = float(np.average([segment.avg_logprob for segment in held], weights=lengths))
    confidence = _share(math.exp(logprob))
    if words:
        confidence = (confidence + float(np.mean([word.confidence for word in words]))) / 2
    return Transcribed(text, words or None, confidence, language=language, final=True)


def _made_up(segment: Any) -> bool:
    silent = segment.no_speech_prob > _NO_SPEECH and segment.avg_logprob < _LOW_LOGPROB
    return bool(silent or segment.compression_ratio > _REPETITIVE)


def _share(probability: float) -> float:
    return min(1.0, max(0.0, float(probability)))
