"""The Silero speech detector that faster-whisper ships, run window by window with its state."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from magtkd_rt.core.media import SAMPLE_RATE, WINDOW, AudioChunk, HeardSound
from magtkd_rt.errors import EngineError

MAX_GAP = 30 * SAMPLE_RATE
"""Samples: longer holes in the sound are not filled with silence, the detector starts anew."""

_CONTEXT = 64
_STATE = 128


@dataclass(slots=True)
class _Channel:
    """What is remembered of one channel between two windows."""

    position: int
    """Index of the first sample not yet in a window, a multiple of WINDOW."""
    pending: NDArray[np.float32]
    """Sound after `position`, shorter than a window."""
    context: NDArray[np.float32] = field(default_factory=lambda: np.zeros(_CONTEXT, np.float32))
    h: NDArray[np.float32] = field(default_factory=lambda: np.zeros((1, 1, _STATE), np.float32))
    c: NDArray[np.float32] = field(default_factory=lambda: np.zeros((1, 1, _STATE), np.float32))

    @property
    def end(self) -> int:
        return self.position + len(self.pending)


class StreamingVad:
    """Adds the probability of speech to sound, in windows at multiples of WINDOW.

    However the sound is cut into chunks, the windows and probabilities are the same, bit for
    bit: the model always sees one window at a time.

    Args:
        channels: how many channels of sound there are.

    Raises:
        EngineError: the model's file is not there.
    """

    def __init__(self, channels: int = 1) -> None:
        self._session = _open_model()
        self._channels: list[_Channel | None] = [None] * channels

    def push(self, chunk: AudioChunk) -> HeardSound | None:
        """Take the next sound of a channel; return the windows that it completes.

        Sound before the first chunk inside its window, and holes up to MAX_GAP, count as
        silence. After a longer hole the next result starts at the new place. Sound that was
        already pushed is left out.
        """
        channel = self._channels[chunk.channel]
        if channel is None or chunk.start - channel.end > MAX_GAP:
            channel = _Channel(chunk.start // WINDOW * WINDOW, np.zeros(0, np.float32))
            self._channels[chunk.channel] = channel
        hole = chunk.start - channel.end
        silence = np.zeros(max(0, hole), np.float32)
        fresh = chunk.samples[max(0, -hole) :]
        return self._listen(chunk.channel, np.concatenate([channel.pending, silence, fresh]))

    def flush(self, channel: int) -> HeardSound | None:
        """Fill the last window of a channel with silence; return it, or None if there is none."""
        state = self._channels[channel]
        if state is None or len(state.pending) == 0:
            return None
        silence = np.zeros(WINDOW - len(state.pending), np.float32)
        return self._listen(channel, np.concatenate([state.pending, silence]))

    def _listen(self, number: int, sound: NDArray[np.float32]) -> HeardSound | None:
        channel = self._channels[number]
        assert channel is not None
        count = len(sound) // WINDOW
        whole, channel.pending = np.split(sound, [count * WINDOW])
        if count == 0:
            return None
        start = channel.position
        channel.position += len(whole)
        windows = whole.reshape(count, WINDOW)
        speech = np.array([self._probability(channel, window) for window in windows], np.float32)
        return HeardSound(number, start, whole, speech)

    def _probability(self, channel: _Channel, window: NDArray[np.float32]) -> float:
        samples = np.concatenate([channel.context, window])[np.newaxis]  # (1, 576)
        output, channel.h, channel.c = self._session.run(
            None, {"input": samples, "h": channel.h, "c": channel.c}
        )
        channel.context = window[-_CONTEXT:]
        return float(output.reshape(-1)[0])


def _open_model() -> ort.InferenceSession:
    # Found without importing faster_whisper, whose import takes longer than all else here.
    spec = importlib.util.find_spec("faster_whisper")
    folders = spec.submodule_search_locations if spec is not None else None
    models = [
        model
        for folder in folders or ()
        for model in sorted((Path(folder) / "assets").glob("silero_vad_v6*.onnx"))
    ]
    if not models:
        raise EngineError(
            "the Silero speech detector inside faster-whisper was not found",
            remedy="pip install 'faster-whisper==1.2.1' brings it",
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    return ort.InferenceSession(models[0], options, providers=["CPUExecutionProvider"])
