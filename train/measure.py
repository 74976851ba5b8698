"""Corpora through a bundle's own graphs, one by one as the runtime runs them.

What comes out are the banks that pairing draws from, and the logits of the fusion.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from magtkd_rt.core.jobs import Encoded, Turn
from magtkd_rt.errors import EngineError
from magtkd_rt.labels import MODALITIES
from magtkd_rt.runtime.recogniser import Recogniser
from magtkd_rt.train.corpora.starter import Clip, Dialogue, read_sound
from magtkd_rt.train.pairing import Bank, Paired

Logits = NDArray[np.float32]
Presence = NDArray[np.bool_]
"""(n, modalities): what there is of each utterance, dialogue after dialogue."""
_T = TypeVar("_T")


def track(bar: Progress, items: Sequence[_T], what: str) -> Iterator[_T]:
    """Go through `items` and show how far it is."""
    task = bar.add_task(what, total=len(items), note="")
    for item in items:
        yield item
        bar.advance(task)


def _bank(encoded: list[Encoded], labels: list[int], owners: list[int]) -> Bank:
    return Bank(
        np.stack([one.feature for one in encoded]),
        np.stack([one.logits for one in encoded]),
        np.array(labels),
        np.array(owners),
    )


def encode_words(
    recogniser: Recogniser,
    dialogues: list[Dialogue],
    words: list[list[Turn]],
    bar: Progress,
    what: str,
) -> Bank:
    """Encode each turn of `words` in the light of the earlier ones of its dialogue only."""
    encoded = [
        recogniser.encode_text(turns[: number + 1])
        for turns in track(bar, words, what)
        for number in range(len(turns))
    ]
    labels = [utterance.label for dialogue in dialogues for utterance in dialogue]
    return _bank(encoded, labels, [0] * len(labels))


def encode_voices(recogniser: Recogniser, clips: list[Clip], bar: Progress, what: str) -> Bank:
    """Encode whole clips; their actors own them."""
    encoded = [recogniser.encode_audio(read_sound(clip.path)) for clip in track(bar, clips, what)]
    return _bank(encoded, [clip.label for clip in clips], [clip.actor for clip in clips])


def encode_faces(
    recogniser: Recogniser,
    faces: NDArray[np.uint8],
    labels: NDArray[np.int64],
    bar: Progress,
    what: str,
) -> Bank:
    """Encode faces (n, 48, 48), each as if an utterance had shown it alone."""
    encoded = [recogniser.encode_video(face[None]) for face in track(bar, list(faces), what)]
    return _bank(encoded, labels.tolist(), [0] * len(labels))


def stream(
    recogniser: Recogniser, dialogues: list[Paired], present: Presence, right: int = 0
) -> list[Logits]:
    """Fuse every dialogue step by step, with the state of the steps before.

    Returns:
        1 + `right` times (n, classes): what is said of each utterance at once, and when it is
        looked at again after each of the next ones; where a dialogue ends before, what was said
        last.
    """
    fusion = recogniser.bundle.manifest.fusion
    start = {array.name: np.zeros((1, *array.shape), array.dtype) for array in fusion.state}
    rows = iter(present)
    said: list[list[Logits]] = [[] for _ in range(right + 1)]
    for dialogue in dialogues:
        kept: dict[str, NDArray[Any]] = start
        inputs: list[dict[str, NDArray[Any]]] = []
        by_ahead: list[list[Logits]] = [[] for _ in said]
        for features, speaker in zip(
            dialogue.features, _speakers(recogniser, dialogue), strict=True
        ):
            given = _features(features[None], next(rows)[None]) | {"speaker": speaker[None]}
            inputs.append(given)
            for ahead in range(min(right, len(inputs) - 1) + 1):
                looked = inputs[-1 - ahead] | kept
                if fusion.right_context:
                    looked["ahead"] = np.array([ahead])
                outputs = recogniser.engine.run("fusion", looked)
                by_ahead[ahead].append(outputs["logits"])
                if not ahead:
                    kept = {array.name: outputs[f"{array.name}_out"] for array in fusion.state}
        last: list[Logits] = []
        for ahead, logits in enumerate(by_ahead):
            last = logits + last[len(logits) :]
            said[ahead] += last
    return [_finite(logits) for logits in said]


def whole_dialogues(recogniser: Recogniser, dialogues: list[Paired], present: Presence) -> Logits:
    """The paper mode: each dialogue at once, every utterance sees all others: (n, classes)."""
    logits, start = [], 0
    for dialogue in dialogues:
        count = len(dialogue.labels)
        inputs = _features(dialogue.features, present[start : start + count])
        inputs["speaker"] = _speakers(recogniser, dialogue)
        logits.append(recogniser.engine.run("paper", inputs)["logits"])
        start += count
    return _finite(logits)


def _speakers(recogniser: Recogniser, dialogue: Paired) -> NDArray[np.int64]:
    """(n,); the last number is any further speaker, the one behind it an unknown one."""
    numbers = recogniser.bundle.manifest.fusion.speakers
    known = np.minimum(dialogue.speaker, numbers - 1)
    return np.where(dialogue.speaker < 0, numbers, known)


def _features(features: NDArray[np.float32], present: Presence) -> dict[str, NDArray[Any]]:
    """(n, modalities, d) -> the graph's inputs; zeros stand in for what is absent."""
    masked = np.where(present[..., None], features, np.float32(0))
    return {name: masked[:, index] for index, name in enumerate(MODALITIES)} | {"present": present}


def _finite(logits: list[Logits]) -> Logits:
    joined = np.concatenate(logits)
    if not np.isfinite(joined).all():
        raise EngineError("the fusion gave numbers that are none", remedy="export the bundle again")
    return joined
