"""Readers of the corpora that the starter bundle is trained on."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from magtkd_rt.errors import DataError
from magtkd_rt.labels import label_index
from magtkd_rt.train.corpora.meld import read_split
from magtkd_rt.train.corpora.types import SPLITS, Dialogue, Utterance

__all__ = [
    "FER_SPLITS",
    "RAVDESS_ACTORS",
    "SPLITS",
    "Clip",
    "Dialogue",
    "Utterance",
    "need",
    "read_fer2013",
    "read_meld",
    "read_ravdess",
    "read_sound",
]


@dataclass(frozen=True)
class Clip:
    """One acted recording: 16 kHz mono sound, its label and who speaks."""

    path: Path
    label: int
    actor: int


def need(path: Path, what: str) -> Path:
    """Return `path`, or say what is missing and where it was looked for."""
    if not path.exists():
        raise DataError(
            f"{what} not found at {path}", remedy="give the folder that holds it with --data DIR"
        )
    return path


def read_meld(data: Path, split: str) -> list[Dialogue]:
    """MELD's text of one split, dialogue by dialogue, in spoken order."""
    return read_split(need(data / "meld" / f"{split}_sent_emo.csv", "MELD"))


RAVDESS_ACTORS = {"train": range(1, 19), "dev": range(19, 21), "test": range(21, 25)}


def read_ravdess(data: Path, split: str) -> list[Clip]:
    """RAVDESS speech of one split; actors never cross splits, calm counts as neutral."""
    folder = data / "ravdess"
    with need(folder / "labels.csv", "RAVDESS").open(encoding="utf-8", newline="") as file:
        return [
            Clip(
                need(folder / row["file"], "a clip of RAVDESS"),
                label_index(row["emotion"]),
                int(row["actor"]),
            )
            for row in csv.DictReader(file)
            if int(row["actor"]) in RAVDESS_ACTORS[split]
        ]


@lru_cache(maxsize=4096)
def read_sound(path: Path) -> NDArray[np.float32]:
    """A 16 kHz mono sound file as float32 in -1..1, with the silence at both ends cut."""
    sound: NDArray[np.float32]
    sound, rate = soundfile.read(path, dtype="float32")
    if rate != 16000 or sound.ndim != 1:
        raise DataError(
            f"{path}: wanted 16 kHz mono, found {rate} Hz, {sound.ndim} dimension(s)",
            remedy="resample it, e.g. ffmpeg -i IN -ac 1 -ar 16000 OUT",
        )
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
    if len(loud) == 0:
        return sound
    margin = 1600  # 0.1 s kept on both sides, about what a live endpoint keeps
    return sound[max(0, loud[0] - margin) : loud[-1] + margin]


FER_SPLITS = {"train": "train", "dev": "public_test", "test": "private_test"}


def read_fer2013(data: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """FER2013 faces (n, 48, 48) and labels (n,) of one split."""
    with np.load(need(data / "fer2013" / "fer2013.npz", "FER2013")) as archive:
        name = FER_SPLITS[split]
        labels = np.array([label_index(str(emotion)) for emotion in archive["classes"]])
        return archive[f"{name}_x"], labels[archive[f"{name}_y"]]
