"""Encode the corpora with the trained students, once, for the fusion to learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from magtkd_rt.features.prompt import PromptEncoder
from magtkd_rt.labels import LABELS
from magtkd_rt.models.audio import AudioStudent
from magtkd_rt.models.text import TextStudent
from magtkd_rt.models.video import VideoStudent
from magtkd_rt.train import audio, text, video
from magtkd_rt.train.asr_errors import RecogniserErrors
from magtkd_rt.train.corpora import SPLITS, read_fer2013, read_meld, read_ravdess
from magtkd_rt.train.fusion import Split
from magtkd_rt.train.loop import bf16_is_faster
from magtkd_rt.train.metrics import weighted_f1
from magtkd_rt.train.pairing import Bank, Exchange, find_exchange, reliability

WORD_ERRORS = 0.35
"""Share of words that are wrong in the spoiled version of the text."""

AUDIO_ALONE, VIDEO_ALONE = 0.45, 0.35
"""W-F1 published for MELD's own voice and picture alone: the borrowed ones get no better."""


def cached(path: Path, build: Callable[[], Bank]) -> Bank:
    """Read a bank from `path`, or build and keep it."""
    if path.exists():
        with np.load(path) as arrays:
            names = ("features", "logits", "labels", "owner")
            return Bank(**{name: arrays[name] for name in names})
    Console().log(f"encoding {path.stem}")
    bank = build()
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        features=bank.features,
        logits=bank.logits,
        labels=bank.labels,
        owner=bank.owner,
    )
    return bank


def text_bank(
    student: TextStudent, encoder: PromptEncoder, data: Path, split: str, errors: float, seed: int
) -> Bank:
    """MELD's words of one split; rows in spoken order. `errors`: share of words spoiled."""
    dialogues = read_meld(data, split)
    spoiler = RecogniserErrors.of([u.text for d in read_meld(data, "train") for u in d])
    random = Random(seed)
    prompts = [
        prompt
        for dialogue in dialogues
        for prompt in text.prompts_of(
            dialogue, encoder, spoiler if errors else None, errors, random
        )
    ]
    features, logits = text.features_of(student, prompts, bf16_is_faster())
    labels = np.array([u.label for dialogue in dialogues for u in dialogue])
    return Bank(features, logits, labels, np.zeros_like(labels))


def voice_bank(student: AudioStudent, data: Path, split: str) -> Bank:
    """RAVDESS of one split, owned by its actors."""
    clips = read_ravdess(data, split)
    features, logits = audio.features_of(student, clips)
    labels = np.array([clip.label for clip in clips])
    return Bank(features, logits, labels, np.array([clip.actor for clip in clips]))


def face_bank(student: VideoStudent, data: Path, split: str) -> Bank:
    """FER2013 of one split."""
    faces, labels = read_fer2013(data, split)
    features, logits = video.features_of(student, faces)
    return Bank(features, logits, labels, np.zeros_like(labels))


def label_shares(data: Path) -> NDArray[np.float64]:
    """How often each label occurs in MELD train, (classes,)."""
    labels = [u.label for dialogue in read_meld(data, "train") for u in dialogue]
    return np.bincount(labels, minlength=len(LABELS)) / len(labels)


def build_splits(
    data: Path, folder: Path, words: TextStudent, voice: AudioStudent, face: VideoStudent
) -> dict[str, Split]:
    """Encode every split and find how much of what it borrows must be exchanged.

    The words of the training split are exchanged too, until the text student is no better on
    them, which it has learned from, than on dev.
    """
    encoder = text.prompt_encoder()
    shares = label_shares(data)
    splits: dict[str, Split] = {}
    for name in SPLITS:
        texts = [
            cached(
                folder / f"text-{name}-{rate}.npz",
                partial(text_bank, words, encoder, data, name, rate, seed),
            )
            for seed, rate in enumerate((0.0,) if name == "test" else (0.0, WORD_ERRORS))
        ]
        voices = cached(folder / f"voice-{name}.npz", partial(voice_bank, voice, data, name))
        faces = cached(folder / f"face-{name}.npz", partial(face_bank, face, data, name))
        splits[name] = Split(read_meld(data, name), texts, voices, faces, Exchange())

    dev_words = splits["dev"].texts[0]
    wanted_words = weighted_f1(dev_words.labels, dev_words.logits.argmax(1))
    balanced = np.full(len(LABELS), 1 / len(LABELS))
    face_labels = splits["train"].faces.labels
    face_shares = np.bincount(face_labels, minlength=len(LABELS)) / len(face_labels)
    for name, split in splits.items():

        def alone(modality: int, trained: NDArray[np.float64], exchange: Exchange) -> float:
            paired = replace(split, exchange=exchange).pair(shares, seed=5)  # noqa: B023
            logits = np.concatenate([dialogue.logits[:, modality] for dialogue in paired])
            labels = np.concatenate([dialogue.labels for dialogue in paired])
            return reliability(logits, labels, trained)

        found = Exchange(
            text=find_exchange(lambda x: alone(0, shares, Exchange(text=x)), wanted_words)
            if name == "train"
            else 0.0,
            audio=find_exchange(lambda x: alone(1, balanced, Exchange(audio=x)), AUDIO_ALONE),
            video=find_exchange(lambda x: alone(2, face_shares, Exchange(video=x)), VIDEO_ALONE),
        )
        splits[name] = replace(split, exchange=found)
        Console().log(f"pairing {name}: {found}")
    return splits
