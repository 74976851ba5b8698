"""Whisper by faster-whisper: decodes an utterance as a whole, for a guess or at its end."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.asr import phantoms
from magtkd_rt.asr.agreement import agreed
from magtkd_rt.asr.base import nothing_heard
from magtkd_rt.core.jobs import Doubt, Transcribed, Word
from magtkd_rt.core.media import SAMPLE_RATE, AudioChunk
from magtkd_rt.errors import EngineError, ExtraMissing
from magtkd_rt.features.network import offline

_LEAST_TOKENS = 16
_TOKENS_PER_SECOND = 10
"""Eight words a second, which is more than people say, have about so many tokens."""

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
        self._heard = 0
        """Samples so far."""
        self._hypothesis: Transcribed | None = None
        """The words of all sound up to `_decoded`, as final ones."""
        self._decoded = 0
        self._guess: Transcribed | None = None

    def feed(self, sound: AudioChunk, ahead: AudioChunk | None = None) -> None:
        """Keep the sound: Whisper needs all of it."""
        self._start = sound.start if self._start is None else self._start
        self._sound.append(sound.samples)
        self._heard += len(sound.samples)

    def guess(self) -> Transcribed:
        """Decode all sound so far; return the words that this and the previous guess agree on."""
        if self._guess is None or self._decoded != self._heard:
            previous = self._hypothesis
            self._guess = agreed(previous, self._decode())
        return self._guess

    def pause(self) -> None:
        """Nothing: Whisper hears an utterance as a whole."""

    def finish(self) -> Transcribed:
        """Decode what no guess has; text that bears signs of being made up comes out empty."""
        words = self._decode()
        self.close()
        return words

    def close(self) -> None:
        """Forget the sound."""
        self._sound = []

    def _decode(self) -> Transcribed:
        if self._hypothesis is None or self._decoded != self._heard:
            self._hypothesis = self._transcribe()
            self._decoded = self._heard
        return self._hypothesis

    def _transcribe(self) -> Transcribed:
        if self._start is None or self._heard == 0:
            return nothing_heard("und")
        segments, info = self._model.transcribe(
            np.concatenate(self._sound)[:_MAX_SAMPLES],
            beam_size=1,
            # No second tries at higher temperatures: they draw at random, so that the same sound
            # would give other words, and they cost time when time is short.
            temperature=0.0,
            condition_on_previous_text=False,
            vad_filter=False,
            word_timestamps=True,
            # An utterance fits into one pass: no segments with times of their own, of which each
            # costs another; nor more words than anybody says in that time.
            without_timestamps=True,
            max_new_tokens=_LEAST_TOKENS + round(_TOKENS_PER_SECOND * self._heard / SAMPLE_RATE),
        )
        return transcript(list(segments), info.language, self._start)


def transcript(segments: list[Any], language: str, start: int) -> Transcribed:
    """Judge faster-whisper's segments and join those that hold.

    Args:
        segments: of one utterance, with words.
        language: code of the language.
        start: samples since media zero at which the utterance's sound begins.

    Returns:
        words dated in samples since media zero; the confidence is the mean of the tokens'
        and of the words' probability (geometric and arithmetic). `doubt` says why words were
        left out where none are left, see `magtkd_rt.asr.phantoms`.
    """
    doubts = [_segment_doubt(segment) for segment in segments]
    held = [segment for segment, why in zip(segments, doubts, strict=True) if why is None]
    text = "".join(segment.text for segment in held).strip()
    if not text:
        return nothing_heard(language, next(filter(None, doubts), None))
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
    why = phantoms.doubt(text, words)
    if why is not None and why != "stock_phrase":
        return nothing_heard(language, why)
    lengths = [max(1, len(segment.tokens)) for segment in held]
    logprob = float(np.average([segment.avg_logprob for segment in held], weights=lengths))
    confidence = _share(math.exp(logprob))
    if words:
        confidence = (confidence + float(np.mean([word.confidence for word in words]))) / 2
    return Transcribed(text, words or None, confidence, language=language, final=True, doubt=why)


def _segment_doubt(segment: Any) -> Doubt | None:
    if phantoms.silent(segment.no_speech_prob, segment.avg_logprob):
        return "no_speech"
    return "repetition" if phantoms.compressible(segment.text) else None


def _share(probability: float) -> float:
    return min(1.0, max(0.0, float(probability)))
