"""A transcriber that says what it was told to: the public fake."""

from __future__ import annotations

from collections.abc import Iterable

from magtkd_rt.asr.base import nothing_heard
from magtkd_rt.core.jobs import Transcribed, Word
from magtkd_rt.core.media import AudioChunk


class ScriptedTranscriber:
    """Gives the utterances these texts, in the order in which they are opened.

    After the last text, utterances have no words. A partial text grows by one word with each
    chunk, and the words share the utterance's time evenly.

    Args:
        texts: one per utterance.
        confidence: of every word and text.
    """

    name = "scripted"
    guesses_while_speaking = False

    def __init__(self, texts: Iterable[str], *, confidence: float = 1.0) -> None:
        self._texts = iter(texts)
        self._confidence = confidence

    def open(self, utterance_id: str) -> ScriptedStream:
        """Begin an utterance with the next text."""
        return ScriptedStream(next(self._texts, ""), self._confidence)

    def close(self) -> None:
        """Nothing to free."""


class ScriptedStream:
    """One utterance of a `ScriptedTranscriber`."""

    def __init__(self, text: str, confidence: float) -> None:
        self._words = text.split()
        self._confidence = confidence
        self._start: int | None = None
        self._end = 0
        self._chunks = 0

    def feed(
        self,
        sound: AudioChunk,
        ahead: AudioChunk | None = None,
    ) -> Transcribed | None:
        """Return one word more than before, None once all are out."""
        self._start = sound.start if self._start is None else self._start
        self._end = sound.end
        self._chunks += 1
        if self._chunks > len(self._words):
            return None
        return self._transcribed(self._chunks, final=False)

    def pause(self) -> None:
        """Nothing: no words wait."""

    def guess(self) -> Transcribed:
        """Return the whole text, as if the utterance were over now."""
        return self._transcribed(len(self._words), final=False)

    def finish(self) -> Transcribed:
        """Return the whole text."""
        if not self._words:
            return nothing_heard("en")
        return self._transcribed(len(self._words), final=True)

    def close(self) -> None:
        """Nothing to free."""

    def _transcribed(self, count: int, *, final: bool) -> Transcribed:
        start = self._start or 0
        length = self._end - start
        edges = [start + length * index // count for index in range(count + 1)]
        words = tuple(
            Word(text, edges[index], edges[index + 1], self._confidence)
            for index, text in enumerate(self._words[:count])
        )
        text = " ".join(word.text for word in words)
        return Transcribed(text, words, self._confidence, language="en", final=final)
