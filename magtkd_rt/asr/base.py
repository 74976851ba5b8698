"""What the runtime expects of a transcriber, whatever is behind it."""

from __future__ import annotations

from typing import Protocol

from magtkd_rt.core.jobs import Doubt, Transcribed
from magtkd_rt.core.media import AudioChunk


class TranscriberStream(Protocol):
    """One utterance on its way to words. Used by one thread at a time."""

    def feed(self, sound: AudioChunk, ahead: AudioChunk | None = None) -> Transcribed | None:
        """Take the utterance's next sound; return the words so far, or None for nothing new.

        Chunks are gapless and in order; the start of the first one dates the words. What was heard
        `ahead` of them may be learnt from: it may come with the next chunk, or be somebody else's.
        """
        ...

    def pause(self) -> Transcribed | None:
        """Nothing is said for a while: decode what there was a reason to wait with.

        Where this comes depends on the sound alone, so the words may depend on it. Returns the
        words so far, or None for nothing new.
        """
        ...

    def guess(self) -> Transcribed | None:
        """Return the words as if the utterance were over now; the stream goes on.

        None where it decodes as the sound arrives, so that there is nothing to be worked ahead.
        `finish` without further sound gives the words of the last guess, at no further cost. The
        guess is not final; its words are those that may be shown.
        """
        ...

    def finish(self) -> Transcribed:
        """Return the final words, and end. Called at most once."""
        ...

    def close(self) -> None:
        """End without a result. May be called after `finish`, and twice."""
        ...


class Transcriber(Protocol):
    """Opens a stream per utterance; several may be open at once.

    Attributes:
        name: what listens, for the wire.
        guesses_while_speaking: whether words appear on the way only by `guess`.
    """

    name: str
    guesses_while_speaking: bool

    def open(self, utterance_id: str) -> TranscriberStream:
        """Begin an utterance."""
        ...

    def close(self) -> None:
        """Free the model. Streams must not be used any more."""
        ...


def nothing_heard(language: str, doubt: Doubt | None = None) -> Transcribed:
    """The final result of an utterance without words, or without such as can be believed."""
    return Transcribed("", (), confidence=0.0, language=language, final=True, doubt=doubt)
