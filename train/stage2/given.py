"""The feature corpora that others made, as feature sets: MOSI, MELD's dev split, RAVDESS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magtkd_rt.errors import DataError
from magtkd_rt.labels import LABELS, label_index
from magtkd_rt.train.stage2.features import FeatureSet, build, hold_out

POLARITY = ("negative", "positive")
ACTION_UNITS = 35
_RAVDESS_EMOTIONS = (
    "neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised",
)  # fmt: skip
RAVDESS_ACTORS = {"train": range(1, 19), "dev": range(19, 21), "test": range(21, 25)}


def _read(path: Path, what: str) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise DataError(
            f"{what} not found at {path}", remedy="name the folder that holds it with --data DIR"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error})", remedy="copy it again") from error


def read_mosi(data: Path) -> dict[str, FeatureSet]:
    """CMU-MOSI as bc-LSTM used it: videos as dialogues of one speaker, two classes, no dev."""
    arrays = _read(data / "mosi" / "mosi_aligned.npz", "MOSI")
    return {
        split: build(
            {
                **{name: arrays[f"{split}_{name}"] for name in ("text", "audio", "video", "label")},
                "dialogue": arrays[f"{split}_video_id"],
                "order": arrays[f"{split}_utt_id"],
                "speaker": arrays[f"{split}_video_id"],
            },
            POLARITY,
            f"MOSI, {split}",
        )
        for split in ("train", "test")
    }


def read_meld_embeddings(data: Path) -> FeatureSet:
    """MELD's dev split as embeddings of a RoBERTa and a wav2vec2 that others fine-tuned."""
    arrays = _read(data / "meld" / "meld_val_aligned.npz", "MELD's embeddings")
    order = np.lexsort((arrays["utterance_id"], arrays["dialogue_id"]))
    return build(
        {
            "text": arrays["text_roberta"][order],
            "audio": arrays["audio_wav2vec2"][order],
            "label": arrays["label"][order],
            "dialogue": arrays["dialogue_id"][order],
            "order": arrays["utterance_id"][order],
            "speaker": arrays["speaker"][order],
        },
        LABELS,
        "MELD's embeddings",
    )


def read_ravdess_units(data: Path) -> dict[str, FeatureSet]:
    """RAVDESS: action units as video, statistics of the sound as audio; a clip is a dialogue."""
    arrays = _read(data / "ravdess" / "au_mfcc.npz", "RAVDESS action units")
    emotions = [_RAVDESS_EMOTIONS[int(name.split("-")[2]) - 1] for name in arrays["name"]]
    labels = np.array([label_index(emotion) for emotion in emotions])
    splits = {}
    for split, actors in RAVDESS_ACTORS.items():
        rows = np.isin(arrays["actor"], actors)
        splits[split] = build(
            {
                "video": arrays["x"][rows, :ACTION_UNITS],
                "audio": arrays["x"][rows, ACTION_UNITS:],
                "label": labels[rows],
                "dialogue": arrays["name"][rows],
                "order": np.zeros(rows.sum()),
            },
            LABELS,
            f"RAVDESS, {split}",
        )
    return splits


def read_given(data: Path, corpus: str) -> dict[str, FeatureSet]:
    """One of the given corpora by name, in splits.

    MELD's embeddings are of its dev split alone: a fifth of the dialogues each is cut off as dev
    and as test, always the same.

    Args:
        data: folder with `mosi`, `meld` and `ravdess`.
        corpus: mosi, meld or ravdess.

    Raises:
        DataError: it is missing or damaged.
    """
    if corpus == "meld":
        rest, test = hold_out(read_meld_embeddings(data), 0.2, seed=1)
        train, dev = hold_out(rest, 0.25, seed=1)
        return {"train": train, "dev": dev, "test": test}
    return {"mosi": read_mosi, "ravdess": read_ravdess_units}[corpus](data)


def actors_of(data: Path, split: str) -> NDArray[np.int64]:
    """(n,), the actor of each clip of `read_ravdess_units`."""
    actors = _read(data / "ravdess" / "au_mfcc.npz", "RAVDESS action units")["actor"]
    return np.asarray(actors[np.isin(actors, RAVDESS_ACTORS[split])], dtype=np.int64)
