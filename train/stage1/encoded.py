"""What the trained encoders say of every utterance, kept on the disk; the feature file for stage 2.

`encoded/NAME.npz` holds `SPLIT_features` (n, d), `SPLIT_logits` (n, classes) and `SPLIT_present`
(n,), rows in spoken order, zeros where an utterance has no such modality, and `of`, a hash of the
weights and inputs. `features.npz` is what `train.stage2.features` reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import nn

from magtkd_rt.errors import DataError, InputError
from magtkd_rt.train.corpora.types import Corpus
from magtkd_rt.train.files import sha256, write_npz
from magtkd_rt.train.stage1.fit import encode
from magtkd_rt.train.stage1.inputs import Inputs


@dataclass(frozen=True)
class Encoded:
    """One modality of one split: features (n, d), logits (n, classes), present (n,)."""

    features: NDArray[np.float32]
    logits: NDArray[np.float32]
    present: NDArray[np.bool_]


def encode_all(
    model: nn.Module,
    inputs: Mapping[str, Inputs],
    folder: Path,
    stage: str,
    accelerator: Accelerator,
    batch: int,
) -> dict[str, Encoded]:
    """Encode every split with the best weights of a stage, or read what was encoded before.

    Args:
        model: with these weights.
        inputs: of each split.
        folder: of the run.
        stage: whose `best.pt` it is.
        accelerator: whose processes share the work.
        batch: utterances at a time.
    """
    path = folder / "encoded" / f"{stage}.npz"
    usable = [one.usable.tobytes() for one in inputs.values()]
    weights = sha256(folder / stage / "best.pt")
    of = hashlib.sha256(repr((weights, list(inputs), usable)).encode()).hexdigest()
    if path.exists() and (kept := _read(path, of)):
        return kept
    found: dict[str, Encoded] = {}
    for split, one in inputs.items():
        if one.usable.any():
            features, logits = encode(model, one, accelerator, batch)
            if not np.isfinite(features).all():
                raise DataError(
                    f"{stage} gives features of {split} that are no numbers (NaN)",
                    remedy='train it anew with precision = "bf16" or "no"',
                )
            found[split] = Encoded(
                _spread(features, one.usable), _spread(logits, one.usable), one.usable
            )
    if accelerator.is_main_process:
        arrays = {f"{s}_{name}": array for s, e in found.items() for name, array in vars(e).items()}
        write_npz(path, arrays | {"of": np.array(of)})
    accelerator.wait_for_everyone()
    return found


def read_encoded(folder: Path, stage: str) -> dict[str, Encoded]:
    """What an earlier stage encoded.

    Raises:
        InputError: it has not been run.
    """
    path = folder / "encoded" / f"{stage}.npz"
    if not path.exists():
        raise InputError(
            f"the stage {stage} has not been run in {folder}", remedy=f"magtkd train {stage} first"
        )
    return _read(path, None) or {}


def _read(path: Path, of: str | None) -> dict[str, Encoded]:
    """What the file holds, nothing if it is of something else."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if of is not None and str(archive["of"]) != of:
                return {}
            splits = [name[: -len("_present")] for name in archive if name.endswith("_present")]
            names = ("features", "logits", "present")
            return {s: Encoded(*(archive[f"{s}_{name}"] for name in names)) for s in splits}
    except Exception as error:  # numpy and zipfile raise whatever they like for a damaged file
        raise InputError(f"{path} is damaged ({error})", remedy="delete it") from error


def _spread(values: NDArray[np.float32], usable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Rows of what is usable to the rows of all."""
    spread = np.zeros((len(usable), values.shape[1]), np.float32)
    spread[usable] = values
    return spread


def write_features(
    corpus: Corpus, encoded: Mapping[str, Mapping[str, Encoded]], path: Path
) -> None:
    """Write the feature file of stage 2: per split text, audio, video, present and who says what.

    Args:
        corpus: whose utterances they are.
        encoded: `text`, `audio` and `video`, those that there are, by split.
        path: of the npz file.
    """
    arrays: dict[str, NDArray[Any]] = {"classes": np.array(corpus.labels)}
    for split in corpus.splits:
        said = corpus.utterances(split)
        present = np.zeros((len(said), 3), np.bool_)
        for index, modality in enumerate(("text", "audio", "video")):
            if (one := encoded.get(modality, {}).get(split)) is not None:
                arrays[f"{split}_{modality}"] = one.features
                present[:, index] = one.present
            elif modality in encoded:  # there is none in this split, but in others
                size = next(iter(encoded[modality].values())).features.shape[1]
                arrays[f"{split}_{modality}"] = np.zeros((len(said), size), np.float32)
        arrays[f"{split}_present"] = present
        arrays[f"{split}_label"] = np.array([u.label for u in said])
        arrays[f"{split}_dialogue"] = np.array([u.dialogue for u in said])
        arrays[f"{split}_order"] = np.array([u.order for u in said])
        arrays[f"{split}_speaker"] = np.array([u.speaker for u in said])
    write_npz(path, arrays)
