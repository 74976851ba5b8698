"""pocketsphinx: real words offline, decoded while the sound arrives. English, 16 kHz."""

from __future__ import annotations

import re
import threading
from typing import Any

import numpy as np
import pocketsphinx
from numpy.typing import NDArray

from magtkd_rt.asr.base import nothing_heard
from magtkd_rt.asr.pocketsphinx_confidence import Segment, text_confidence
from magtkd_rt.core.jobs import Transcribed, Word
from magtkd_rt.core.media import SAMPLE_RATE, AudioChunk

_LANGUAGE = "en"
_FRAME = SAMPLE_RATE // 100
"""Samples that one acoustic frame advances."""

_ANALYSIS = 410
"""Samples that one acoustic frame looks at."""

_BLOCK = SAMPLE_RATE // 10
"""Samples that are decoded at once. Always so many: pocketsphinx moves its mean between blocks,
and an utterance's result must not depend on how its sound was cut."""

_PARTIAL_EVERY = 3
"""Blocks from one partial text to the next."""

_LEARN = 3 * SAMPLE_RATE // 2
"""Samples of an utterance from which its cepstral mean is learnt before decoding begins."""

_PRIOR_FRAMES = 50
"""Weight of the model's own cepstral mean beside the utterance's."""

_MAX_HMMS = 5000
"""Hidden Markov models that a frame may have open: half the default's time where it is hard to
understand, for next to no more wrong words (docs/transcription.md)."""

_LISTENING = "listening"
"""Name of the search that is on while the mean is learnt."""

_NOISE = np.random.RandomState(0).normal(0, 300, 2 * _BLOCK).astype(np.int16).tobytes()
"""0.2 s of noise."""

_IDLE_DECODERS = 2
"""Decoders kept for the next utterances; each takes some 80 MB and 0.4 s to load."""


class PocketsphinxTranscriber:
    """Opens streams on a small pool of decoders; an utterance's result depends on it alone."""

    name = "pocketsphinx"
    guesses_while_speaking = False

    def __init__(self) -> None:
        self._idle: list[Decoder] = [Decoder()]
        self._lock = threading.Lock()

    def open(self, utterance_id: str) -> PocketsphinxStream:
        """Begin an utterance; loads another decoder if all are busy."""
        with self._lock:
            decoder = self._idle.pop() if self._idle else None
        return PocketsphinxStream(decoder or Decoder(), self._give_back)

    def close(self) -> None:
        """Free the idle decoders."""
        with self._lock:
            self._idle.clear()

    def _give_back(self, decoder: Decoder) -> None:
        with self._lock:
            if len(self._idle) < _IDLE_DECODERS:
                self._idle.append(decoder)


class Decoder:
    """A pocketsphinx decoder that forgets everything between utterances.

    The mean of the cepstra, which is to be subtracted, differs from one microphone to the next
    by more than the words do. pocketsphinx would carry it over from whatever it heard before;
    here it is learnt from the utterance's own beginning, which measured far better than the
    model's default (docs/transcription.md).
    """

    def __init__(self) -> None:
        # The second, flat pass is off: it costs time after the last sound for next to no gain.
        self.engine: Any = pocketsphinx.Decoder(
            samprate=SAMPLE_RATE, loglevel="FATAL", fwdflat=False, maxhmmpf=_MAX_HMMS
        )
        self._default = self.engine.get_cmn(False)
        self._words: str = self.engine.current_search()
        self.engine.add_keyphrase(_LISTENING, "the")
        self.engine.activate_search(self._words)

    def begin(self, beginning: NDArray[np.float32]) -> None:
        """Start an utterance, given its beginning to learn from; that is not decoded yet."""
        mean = _vector(self._default)
        frames = (len(beginning) - _ANALYSIS) // _FRAME + 1
        if frames > 0:
            self._clear()
            # What ends is searched, whatever was asked for: here for one word, which costs little.
            self.engine.activate_search(_LISTENING)
            self.engine.reinit_feat()
            self.engine.start_utt()
            # As a whole and without search: that leaves the plain mean of these frames.
            self.engine.process_raw(_pcm(beginning), True, True)
            heard = _vector(self.engine.get_cmn(False))
            self.engine.end_utt()
            self.engine.activate_search(self._words)
            mean = (heard * frames + mean * _PRIOR_FRAMES) / (frames + _PRIOR_FRAMES)
        # A new front end: the old one remembers what it heard before.
        self.engine.reinit_feat()
        self.engine.set_cmn(",".join(f"{value:.4f}" for value in mean))
        self.engine.start_utt()

    def _clear(self) -> None:
        """Search some noise, always the same.

        Else the search keeps a trace of the utterance before: a confidence changed in the fourth
        decimal.
        """
        self.engine.reinit_feat()
        self.engine.start_utt()
        self.engine.process_raw(_NOISE, False, False)
        self.engine.end_utt()

    def decode(self, sound: NDArray[np.float32]) -> None:
        """Decode the next sound, if any."""
        if len(sound) > 0:
            self.engine.process_raw(_pcm(sound), False, False)

    def text(self) -> str:
        """The best words so far."""
        hypothesis = self.engine.hyp()
        return hypothesis.hypstr if hypothesis is not None else ""

    def end(self) -> list[Segment]:
        """End the utterance; return the best path."""
        self.engine.end_utt()
        if self.engine.hyp() is None:
            return []
        return [
            Segment(part.word, part.start_frame, part.end_frame, part.prob, part.ascore)
            for part in self.engine.seg()
        ]


class PocketsphinxStream:
    """One utterance of a `PocketsphinxTranscriber`."""

    def __init__(self, decoder: Decoder, give_back: Any) -> None:
        self._decoder: Decoder | None = decoder
        self._give_back = give_back
        self._start: int | None = None
        self._pending = np.zeros(0, np.float32)
        self._begun = False
        self._blocks = 0
        self._partial = ""

    def feed(self, sound: AudioChunk, ahead: AudioChunk | None = None) -> Transcribed | None:
        """Decode; return a partial text when it changed.

        A partial has neither words nor a confidence: pocketsphinx judges them at the end only.
        """
        decoder = self._open_decoder()
        self._start = sound.start if self._start is None else self._start
        self._pending = np.concatenate([self._pending, sound.samples])
        if not self._begun:
            beginning = self._pending
            if ahead is not None and len(beginning) < _LEARN:
                beginning = np.concatenate([beginning, ahead.samples])
            if len(beginning) < _LEARN:
                return None
            self._begin(decoder, beginning)
        blocks = self._blocks
        self._decode(decoder)
        if self._blocks // _PARTIAL_EVERY == blocks // _PARTIAL_EVERY:
            return None
        return self._partly(decoder)

    def pause(self) -> Transcribed | None:
        """Decode what there is, though it is less than is learnt from elsewhere: it may be all."""
        if self._start is None:
            return None
        self._decode(self._open_decoder())
        return self._partly(self._open_decoder())

    def guess(self) -> None:
        """Nothing: what was fed is decoded, or will be at the next pause."""

    def finish(self) -> Transcribed:
        """Return the words with their times and confidences."""
        decoder = self._open_decoder()
        if self._start is None:
            self.close()
            return nothing_heard(_LANGUAGE)
        self._decode(decoder)
        decoder.decode(self._pending)
        segments = decoder.end()
        self._return_decoder()
        spoken = [segment for segment in segments if segment.is_word]
        if not spoken:
            return nothing_heard(_LANGUAGE)
        words = tuple(self._word(segment) for segment in spoken)
        text = " ".join(word.text for word in words)
        return Transcribed(text, words, text_confidence(segments), language=_LANGUAGE, final=True)

    def close(self) -> None:
        """Give the decoder back."""
        if self._decoder is not None:
            if self._begun:
                self._decoder.end()
            self._return_decoder()

    def _partly(self, decoder: Decoder) -> Transcribed | None:
        text = decoder.text()
        if text == self._partial:
            return None
        self._partial = text
        return Transcribed(text, None, confidence=0.0, language=_LANGUAGE, final=False)

    def _decode(self, decoder: Decoder) -> None:
        """Decode all whole blocks that are pending."""
        if not self._begun:
            self._begin(decoder, self._pending)
        while len(self._pending) >= _BLOCK:
            decoder.decode(self._pending[:_BLOCK])
            self._pending = self._pending[_BLOCK:]
            self._blocks += 1

    def _begin(self, decoder: Decoder, beginning: NDArray[np.float32]) -> None:
        decoder.begin(beginning[:_LEARN])
        self._begun = True

    def _open_decoder(self) -> Decoder:
        if self._decoder is None:
            raise ValueError("this utterance has ended")
        return self._decoder

    def _return_decoder(self) -> None:
        decoder, self._decoder = self._decoder, None
        self._give_back(decoder)

    def _word(self, segment: Segment) -> Word:
        start = (self._start or 0) + segment.start_frame * _FRAME
        end = (self._start or 0) + (segment.end_frame + 1) * _FRAME
        # "read(2)" is another way to pronounce "read".
        text = re.sub(r"\(\d+\)$", "", segment.word)
        return Word(text, start, end, confidence=min(1.0, max(0.0, segment.posterior)))


def _pcm(samples: NDArray[np.float32]) -> bytes:
    return (np.clip(samples, -1.0, 1.0) * 32767).astype(np.int16).tobytes()


def _vector(means: str) -> NDArray[np.float64]:
    return np.array([float(value) for value in means.split(",")])
