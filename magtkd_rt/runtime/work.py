"""How each of the core's jobs is done with the models at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.core.jobs import (
    EncodeAudio,
    Encoded,
    EncodeText,
    EncodeVideo,
    ForgetTranscription,
    Fuse,
    Fused,
    Guess,
    Identified,
    Identify,
    Job,
    Transcribe,
    Transcribed,
    Turn,
)
from magtkd_rt.runtime.recogniser import Features, State

if TYPE_CHECKING:
    from magtkd_rt.asr.base import Transcriber, TranscriberStream


class Recognises(Protocol):
    """What is needed of a recogniser; see `magtkd_rt.runtime.recogniser.Recogniser`."""

    def encode_text(self, turns: Sequence[Turn]) -> Encoded:
        """Encode the last of `turns`."""
        ...

    def encode_audio(self, samples: NDArray[np.float32]) -> Encoded:
        """Encode a waveform."""
        ...

    def encode_video(self, faces: NDArray[np.uint8]) -> Encoded:
        """Encode faces."""
        ...

    def identify(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Describe the voice of a waveform."""
        ...

    def fuse(
        self, features: Features, speaker: int | None, state: State | None, ahead: int = 0
    ) -> Fused:
        """Score an utterance, or look at it again."""
        ...


class ModelWork:
    """Does jobs; what it raises is the executor's to tell.

    Jobs of transcription must come one at a time, in order; the others may come beside them.

    Args:
        recogniser: encodes and fuses.
        transcriber: transcribes; None where no such job will come.
        smaller: opens one that needs less time, when it is first wanted.
    """

    def __init__(
        self,
        recogniser: Recognises,
        transcriber: Transcriber | None,
        smaller: Callable[[], Transcriber] | None = None,
    ) -> None:
        self._recogniser = recogniser
        self._transcriber = transcriber
        self._open_smaller = smaller
        self._smaller: Transcriber | None = None
        self._sparing = False
        self._streams: dict[str, TranscriberStream] = {}

    def spare_asr(self, spare: bool) -> None:
        """Let the smaller transcriber take the utterances to come, or the usual one again."""
        self._sparing = spare and self._open_smaller is not None

    def close(self) -> None:
        """Free the smaller transcriber, if it was opened."""
        if self._smaller is not None:
            self._smaller.close()

    def __call__(self, job: Job) -> Encoded | Identified | Fused | Transcribed | None:
        """Do one job."""
        match job:
            case Transcribe():
                return self._transcribe(job)
            case Guess():
                stream = self._streams.get(job.utterance_id)
                return None if stream is None else stream.guess()
            case ForgetTranscription():
                self._forget(job.utterance_id)
                return None
            case EncodeText():
                return self._recogniser.encode_text(job.turns)
            case EncodeAudio():
                return self._recogniser.encode_audio(job.samples)
            case EncodeVideo():
                return self._recogniser.encode_video(job.faces)
            case Identify():
                return Identified(self._recogniser.identify(job.samples))
            case Fuse():
                return self._recogniser.fuse(job.features, job.speaker, job.state, job.ahead)
        raise TypeError(f"nobody knows how to do {job!r}")

    def _transcribe(self, job: Transcribe) -> Transcribed | None:
        stream = self._streams.get(job.utterance_id)
        if stream is None:
            stream = self._chosen().open(job.utterance_id)
            self._streams[job.utterance_id] = stream
        partial = stream.feed(job.sound, job.ahead)
        if not job.last:
            return (stream.pause() or partial) if job.paused else partial
        del self._streams[job.utterance_id]
        return stream.finish()

    def _chosen(self) -> Transcriber:
        if self._sparing and self._open_smaller is not None:
            self._smaller = self._smaller or self._open_smaller()
            return self._smaller
        if self._transcriber is None:
            raise RuntimeError("there is no transcriber")
        return self._transcriber

    def _forget(self, utterance_id: str) -> None:
        stream = self._streams.pop(utterance_id, None)
        if stream is not None:
            stream.close()
