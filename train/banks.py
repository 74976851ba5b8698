"""Encode the corpora with the trained students, once, for the fusion to learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from magtkd_rt.train.corpora.starter import SPLITS, Clip, read_fer2013, read_meld, read_ravdess
from magtkd_rt.train.files import write_npz
from magtkd_rt.train.fusion import Split, borrowed_alone
from magtkd_rt.train.loop import bf16_is_faster, digest
from magtkd_rt.train.metrics import weighted_f1
from magtkd_rt.train.pairing import Bank, Exchange, Floats, find_exchange

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
    write_npz(
        path,
        {
            "features": bank.features,
            "logits": bank.logits,
            "labels": bank.labels,
            "owner": bank.owner,
        },
    )
    return bank


@dataclass(frozen=True)
class Students:
    """Who encodes what.

    Attributes:
        words, voice, face: the finished students.
        other_words: students that left a part of MELD's training dialogues out, by part.
        unheard: RAVDESS's training clips, encoded by heads that have not heard who speaks.
    """

    words: TextStudent
    voice: AudioStudent
    face: VideoStudent
    other_words: Sequence[TextStudent]
    unheard: audio.Unheard


def text_bank(
    students: Sequence[TextStudent],
    encoder: PromptEncoder,
    data: Path,
    split: str,
    errors: float,
    seed: int,
) -> Bank:
    """MELD's words of one split; rows in spoken order.

    Args:
        students: of n students, number i encodes the dialogues i, i + n, i + 2n ...
        encoder: of prompts.
        data: folder of the corpora.
        split: which.
        errors: share of words that are spoiled.
        seed: of the spoiling.
    """
    dialogues = read_meld(data, split)
    spoiler = RecogniserErrors.of([u.text for d in read_meld(data, "train") for u in d])
    random = Random(seed)
    prompts = [
        text.prompts_of(dialogue, encoder, spoiler if errors else None, errors, random)
        for dialogue in dialogues
    ]
    which = np.repeat(np.arange(len(prompts)) % len(students), [len(p) for p in prompts])
    features, logits = (np.zeros((len(which), size), np.float32) for size in _sizes(students[0]))
    for part, student in enumerate(students):
        own = [prompt for dialogue in prompts[part :: len(students)] for prompt in dialogue]
        features[which == part], logits[which == part] = text.features_of(
            student, own, bf16_is_faster()
        )
    labels = np.array([u.label for dialogue in dialogues for u in dialogue])
    return Bank(features, logits, labels, np.zeros_like(labels))


def _sizes(student: TextStudent) -> tuple[int, int]:
    return student.classify.in_features, student.classify.out_features


def voice_bank(student: AudioStudent, data: Path, split: str) -> Bank:
    """RAVDESS of one split, owned by its actors."""
    clips = read_ravdess(data, split)
    return _owned(clips, *audio.features_of(student, clips))


def unheard_voice_bank(unheard: audio.Unheard, data: Path) -> Bank:
    """RAVDESS of the training split, encoded by heads that have not heard who speaks."""
    return _owned(read_ravdess(data, "train"), unheard.features, unheard.logits)


def _owned(clips: Sequence[Clip], features: Floats, logits: Floats) -> Bank:
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


def build_splits(data: Path, folder: Path, students: Students) -> dict[str, Split]:
    """Encode every split and find how much of what it borrows must be exchanged.

    The words and voices of the training split are encoded by students that have not learned from
    them, so that they are as unsure as those of new people. The faces are not: their student would
    have to be trained several times, for an hour each.
    """
    encoder = text.prompt_encoder()
    shares = label_shares(data)
    splits: dict[str, Split] = {}
    for name in SPLITS:
        words = students.other_words if name == "train" else [students.words]
        texts = [
            cached(
                folder / f"text-{name}-{rate}-{digest(*words)}.npz",
                partial(text_bank, words, encoder, data, name, rate, seed),
            )
            for seed, rate in enumerate((0.0,) if name == "test" else (0.0, WORD_ERRORS))
        ]
        voices = (
            unheard_voice_bank(students.unheard, data)
            if name == "train"
            else cached(
                folder / f"voice-{name}-{digest(students.voice)}.npz",
                partial(voice_bank, students.voice, data, name),
            )
        )
        faces = cached(
            folder / f"face-{name}-{digest(students.face)}.npz",
            partial(face_bank, students.face, data, name),
        )
        splits[name] = Split(read_meld(data, name), texts, voices, faces, Exchange())

    face_labels = splits["train"].faces.labels
    face_shares = np.bincount(face_labels, minlength=len(LABELS)) / len(face_labels)
    for name, split in splits.items():

        def alone(modality: str, share: float) -> float:
            tried = replace(split, exchange=Exchange(**{modality: share}))  # noqa: B023
            return borrowed_alone(tried.pair(shares, 5), tried, shares, face_shares)[modality]

        found = Exchange(
            audio=find_exchange(partial(alone, "audio"), AUDIO_ALONE),
            video=find_exchange(partial(alone, "video"), VIDEO_ALONE),
        )
        splits[name] = replace(split, exchange=found)
        score = weighted_f1(split.texts[0].labels, split.texts[0].logits.argmax(1))
        Console().log(f"pairing {name}: {found}; words alone {score:.3f}")
    return splits
