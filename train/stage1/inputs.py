"""Utterances as what the encoders take: rows of a split in, a batch of tensors out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from magtkd_rt.core.jobs import Turn
from magtkd_rt.core.media import SAMPLE_RATE
from magtkd_rt.features.prompt import Prompt, PromptEncoder
from magtkd_rt.train.corpora.types import Dialogue
from magtkd_rt.train.stage1.pretrained import processor_of

Batch = dict[str, Tensor]

SHORTEST_SOUND = SAMPLE_RATE // 10
"""Samples that a shorter sound is filled up to with silence: encoders need some."""

_IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


class Inputs(Protocol):
    """The inputs of one split.

    Attributes:
        usable: (n,), which rows have this modality at all.
    """

    usable: NDArray[np.bool_]

    def batch(self, rows: Sequence[int]) -> Batch:
        """These rows, named as the encoder's `forward` names them; all of them are usable."""
        ...


class TextInputs:
    """One prompt per utterance, from the past only; an utterance without words has none.

    Args:
        dialogues: of the split.
        encoder: makes the prompts.
    """

    def __init__(self, dialogues: Sequence[Dialogue], encoder: PromptEncoder) -> None:
        self._pad = encoder.pad_id
        self._prompts: list[Prompt] = []
        usable = []
        for dialogue in dialogues:
            turns = [Turn(u.speaker, u.text) for u in dialogue]
            self._prompts += [encoder.encode(turns[: i + 1]) for i in range(len(turns))]
            usable += [bool(turn.text) for turn in turns]
        self.usable = np.array(usable, dtype=np.bool_)

    def batch(self, rows: Sequence[int]) -> Batch:
        """Tokens and attention (b, n), position of the mask (b,)."""
        prompts = [self._prompts[row] for row in rows]
        longest = max(len(prompt.input_ids) for prompt in prompts)
        tokens = torch.full((len(prompts), longest), self._pad)
        attention = torch.zeros_like(tokens)
        for i, prompt in enumerate(prompts):
            tokens[i, : len(prompt.input_ids)] = torch.tensor(prompt.input_ids)
            attention[i, : len(prompt.input_ids)] = 1
        position = torch.tensor([prompt.mask_position for prompt in prompts])
        return {"tokens": tokens, "position": position, "attention": attention}


class SoundInputs:
    """Sounds that were decoded before, filled up with silence and masked there.

    Args:
        files: int16 arrays at 16 kHz, None for an utterance without.
        name: the checkpoint, whose processor says whether sound is normalised.
    """

    def __init__(self, files: Sequence[Path | None], name: str) -> None:
        self._files = files
        self._normalise = processor_of(name).get("do_normalize", True)
        self.usable = np.array([file is not None for file in files], dtype=np.bool_)

    def batch(self, rows: Sequence[int]) -> Batch:
        """Sound and attention (b, n)."""
        sounds = [self._sound(row) for row in rows]
        longest = max(len(sound) for sound in sounds)
        filled = torch.zeros(len(sounds), longest)
        attention = torch.zeros(len(sounds), longest, dtype=torch.int64)
        for i, sound in enumerate(sounds):
            filled[i, : len(sound)] = torch.from_numpy(sound)
            attention[i, : len(sound)] = 1
        return {"sound": filled, "attention": attention}

    def _sound(self, row: int) -> NDArray[np.float32]:
        sound = np.load(_given(self._files[row]), allow_pickle=False).astype(np.float32) / 32767
        if len(sound) < SHORTEST_SOUND:
            sound = np.pad(sound, (0, SHORTEST_SOUND - len(sound)))
        if self._normalise:
            sound = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
        return np.asarray(sound, np.float32)


class PictureInputs:
    """Pictures that were decoded before, normalised as the checkpoint learned.

    Args:
        files: uint8 arrays, RGB (t, side, side, 3) or grey faces (t, 48, 48), None for an utterance
            without.
        name: the checkpoint, whose processor says mean and deviation of its colours.
        side: height and width of the pictures that it takes.
    """

    def __init__(self, files: Sequence[Path | None], name: str, side: int) -> None:
        self._files = files
        self._colours = colours_of(name)
        self._side = side
        self.usable = np.array([file is not None for file in files], dtype=np.bool_)

    def batch(self, rows: Sequence[int]) -> Batch:
        """Pictures (b, t, 3, side, side)."""
        arrays = [np.load(_given(self._files[row]), allow_pickle=False) for row in rows]
        images = torch.from_numpy(np.stack(arrays))
        if images.ndim == 4:  # grey faces
            return {"pictures": normalised(enlarged(images, self._side), *self._colours)}
        return {"pictures": normalised(images.permute(0, 1, 4, 2, 3).float(), *self._colours)}


def colours_of(name: str) -> tuple[Tensor, Tensor]:
    """Mean and deviation (3, 1, 1) of the colours that a checkpoint learned with, of 0 to 1."""
    said = processor_of(name)
    mean, deviation = (
        torch.tensor(said.get(key) or usual).view(3, 1, 1)
        for key, usual in zip(("image_mean", "image_std"), _IMAGENET, strict=True)
    )
    return mean, deviation


def normalised(images: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Colours of 0 to 255, (..., 3, h, w), as a checkpoint wants them."""
    return (images / 255 - mean) / deviation


def enlarged(faces: Tensor, side: int) -> Tensor:
    """Grey faces (b, t, h, w) of 0 to 255 as pictures (b, t, 3, side, side) of three colours."""
    large = functional.interpolate(faces.float(), size=(side, side), mode="bilinear")
    return large.unsqueeze(2).expand(-1, -1, 3, -1, -1)


def _given(file: Path | None) -> Path:
    if file is None:
        raise ValueError("the row has no such modality")
    return file
