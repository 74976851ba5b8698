"""The project's seven expression labels, and how other corpora's labels map onto them."""

from __future__ import annotations

from typing import Final

LABELS: Final[tuple[str, ...]] = (
    "neutral",
    "joy",
    "sadness",
    "anger",
    "surprise",
    "fear",
    "disgust",
)
"""Order of every probability vector in bundles trained by this project."""

MODALITIES: Final[tuple[str, ...]] = ("text", "audio", "video")
"""Order of the modality axis wherever there is one."""

_ALIASES: Final[dict[str, str]] = {
    "happy": "joy",
    "happiness": "joy",
    "angry": "anger",
    "sad": "sadness",
    "fearful": "fear",
    "surprised": "surprise",
    "calm": "neutral",
}


def label_index(name: str) -> int:
    """Return the index of a corpus's label name in :data:`LABELS`.

    Raises:
        ValueError: the name is neither a label nor a known alias.
    """
    lowered = name.strip().lower()
    return LABELS.index(_ALIASES.get(lowered, lowered))
