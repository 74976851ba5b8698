"""From raw words, sound and faces to calibrated results, with one bundle on one engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.bundle.manifest import GraphName
from magtkd_rt.bundle.prompt import prompt_encoder
from magtkd_rt.bundle.store import Bundle
from magtkd_rt.core.jobs import Encoded, Fused, Turn
from magtkd_rt.core.media import SAMPLE_RATE
from magtkd_rt.engines.interface import Engine
from magtkd_rt.errors import EngineError
from magtkd_rt.features.fit import fit_faces, fit_voice, fit_waveform
from magtkd_rt.labels import MODALITIES

Features = tuple[NDArray[np.float32] | None, NDArray[np.float32] | None, NDArray[np.float32] | None]
State = Mapping[str, NDArray[Any]]
"""The fusion's state: per name of the manifest an array (1, *shape)."""


class Recogniser:
    """Does what the core's jobs ask of the models. May be used from several threads at once.

    Raises:
        BundleError: the bundle's prompt is not the one that this release makes.
    """

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self.bundle = bundle
        self.engine = engine
        self._manifest = bundle.manifest
        self._prompt = prompt_encoder(bundle)

    def warm_up(self) -> None:
        """Load everything and run it once, so that the first utterance waits for nothing."""
        self.engine.warm_up()
        size = self._manifest.preprocessing.video.face_size
        encoded = (
            self.encode_text([Turn(0, "hello")]),
            self.encode_audio(np.zeros(SAMPLE_RATE, np.float32)),
            self.encode_video(np.zeros((1, size, size), np.uint8)),
        )
        text, audio, video = (one.feature for one in encoded)
        self.fuse((text, audio, video), 0, None)
        speaker = self._manifest.preprocessing.speaker
        if speaker is not None:
            self.voice(np.zeros(speaker.window_samples, np.float32))
        if self.tells_identities:
            self.identify(np.zeros(SAMPLE_RATE, np.float32))

    @property
    def tells_voices_apart(self) -> bool:
        """Whether the bundle has the graph for `voice`."""
        return "speaker" in self._manifest.graphs

    @property
    def tells_identities(self) -> bool:
        """Whether the bundle has the graph for `identify`."""
        return "identity" in self._manifest.graphs

    def encode_text(self, turns: Sequence[Turn]) -> Encoded:
        """Encode the last of `turns` (oldest first) in the light of the earlier ones."""
        prompt = self._prompt.encode(turns)
        return self._encode(
            "text",
            input_ids=np.array([prompt.input_ids], np.int64),
            mask_position=np.array([prompt.mask_position], np.int64),
        )

    def encode_audio(self, samples: NDArray[np.float32]) -> Encoded:
        """Encode a waveform, float32 (n,) at 16 kHz; of a long one the last seconds count."""
        if samples.ndim != 1 or not len(samples):
            raise ValueError(f"a waveform is (n,), n >= 1; this one is {samples.shape}")
        limits = self._manifest.preprocessing.audio
        fitted = fit_waveform(samples, limits.min_samples, limits.max_samples)
        return self._encode("audio", waveform=fitted[None].astype(np.float32, copy=False))

    def encode_video(self, faces: NDArray[np.uint8]) -> Encoded:
        """Encode an utterance's faces, uint8 (n, 48, 48), n >= 1, in order."""
        limits = self._manifest.preprocessing.video
        size = (limits.face_size, limits.face_size)
        if faces.ndim != 3 or not len(faces) or faces.shape[1:] != size:
            raise ValueError(f"faces are (n, {size[0]}, {size[1]}), n >= 1; these {faces.shape}")
        return self._encode("video", faces=np.ascontiguousarray(fit_faces(faces, limits.max_faces)))

    def voice(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """What a voice sounds like: the bundle's window of sound -> float32 (d,), of length 1.

        Raises:
            ValueError: the bundle has no such graph, or `waveform` is not as long as its window.
            EngineError: the graph failed.
        """
        wanted = self._manifest.preprocessing.speaker
        if wanted is None or waveform.shape != (wanted.window_samples,):
            raise ValueError(f"no voice can be told from sound of the shape {waveform.shape}")
        voice: NDArray[np.float32] = self._run("speaker", {"waveform": waveform[None]})["voice"][0]
        return voice

    def identify(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """What an utterance's voice sounds like: float32 (n,), n >= 1 -> (d,), of length 1.

        Of a long one the middle counts; a short one is repeated.

        Raises:
            ValueError: the bundle has no such graph, or `samples` are none.
            EngineError: the graph failed.
        """
        wanted = self._manifest.preprocessing.identity
        if wanted is None or samples.ndim != 1 or not len(samples):
            raise ValueError(f"nobody can be told by sound of the shape {samples.shape}")
        waveform = fit_voice(samples, wanted.window_samples).astype(np.float32, copy=False)
        voice: NDArray[np.float32] = self._run("identity", {"waveform": waveform[None]})["voice"][0]
        return voice

    @property
    def right_context(self) -> int:
        """How many later utterances `fuse` can look at when it looks at one again."""
        return self._manifest.fusion.right_context

    def fuse(
        self, features: Features, speaker: int | None, state: State | None, ahead: int = 0
    ) -> Fused:
        """Score one utterance in its context, and how much each modality moved the result.

        Args:
            features: per modality (text, audio, video) float32 (feature_size,), None if absent.
            speaker: number of the speaker in the conversation, from 0; None if it is unknown.
            state: of the previous :class:`Fused`; None at the start of a conversation.
            ahead: 0 for the conversation's next utterance, else how many have followed the one that
                is looked at again, with the features and the speaker it had at first. The state of
                the result means nothing then.

        Raises:
            ValueError: no modality is present, a feature or the state has another shape, or `ahead`
                is more than the bundle's right context.
            EngineError: the graph failed.
        """
        here = [index for index, feature in enumerate(features) if feature is not None]
        if not here:
            raise ValueError("nothing to fuse: every modality is absent")
        if not 0 <= ahead <= self.right_context:
            raise ValueError(f"{ahead} later utterances: the bundle sees {self.right_context}")
        # Row 0 sees everything; each further row misses one of the modalities that are present.
        rows = 1 + len(here)
        present = np.zeros((rows, len(MODALITIES)), np.bool_)
        present[:, here] = True
        present[np.arange(1, rows), here] = False
        numbers = self._manifest.fusion.speakers
        number = numbers if speaker is None else min(speaker, numbers - 1)
        inputs: dict[str, NDArray[Any]] = {
            **{
                modality: np.repeat(self._feature(feature)[None], rows, axis=0)
                for modality, feature in zip(MODALITIES, features, strict=True)
            },
            "present": present,
            "speaker": np.full(rows, number, np.int64),
            **{name: np.repeat(array, rows, axis=0) for name, array in self._state(state).items()},
        }
        if self.right_context:
            inputs["ahead"] = np.full(rows, ahead, np.int64)
        outputs = self._run("fusion", inputs)
        probabilities = self.calibrate("fused", outputs["logits"])
        winner = int(probabilities[0].argmax())
        falls: list[float | None] = [None] * len(MODALITIES)
        for row, index in enumerate(here, start=1):
            falls[index] = float(probabilities[0, winner] - probabilities[row, winner])
        after = {
            array.name: outputs[f"{array.name}_out"][:1].copy()
            for array in self._manifest.fusion.state
        }
        return Fused(probabilities[0], (falls[0], falls[1], falls[2]), after)

    def calibrate(
        self, kind: Literal["fused", "text", "audio", "video"], logits: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(..., classes) logits -> probabilities, at the temperature of the dev split."""
        temperature: float = getattr(self._manifest.calibration.temperature, kind)
        scaled = logits.astype(np.float64) / temperature
        powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
        shares: NDArray[np.float32] = (powers / powers.sum(axis=-1, keepdims=True)).astype(
            np.float32
        )
        return shares

    def _feature(self, feature: NDArray[np.float32] | None) -> NDArray[np.float32]:
        size = self._manifest.feature_size
        if feature is None:
            return np.zeros(size, np.float32)  # masked: the graph puts its own vector there
        if feature.shape != (size,):
            raise ValueError(f"a feature is ({size},); this one is {feature.shape}")
        return feature.astype(np.float32, copy=False)

    def _state(self, state: State | None) -> dict[str, NDArray[Any]]:
        wanted = {array.name: (1, *array.shape) for array in self._manifest.fusion.state}
        if state is None:
            arrays = self._manifest.fusion.state
            return {array.name: np.zeros((1, *array.shape), array.dtype) for array in arrays}
        found = {name: array.shape for name, array in state.items()}
        if found != wanted:
            raise ValueError(f"the state is {found}, this bundle's is {wanted}")
        return dict(state)

    def _encode(self, graph: GraphName, **inputs: NDArray[Any]) -> Encoded:
        outputs = self._run(graph, inputs)
        return Encoded(outputs["feature"][0], outputs["logits"][0])

    def _run(self, graph: GraphName, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        outputs = self.engine.run(graph, inputs)
        # One bad number in the state would spoil every later utterance.
        floats = [array for array in outputs.values() if array.dtype.kind == "f"]
        if not all(np.isfinite(array).all() for array in floats):
            raise EngineError(
                f"the graph {graph!r} gave numbers that are none",
                remedy="check the recording, or choose another engine",
            )
        return outputs
