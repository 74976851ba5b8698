"""How much a mouth moves from one picture to the next."""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

_BROW: Final = (8, 28, 8, 40)
"""Rows and columns of a crop with brow, eyes and nose: they move with the head, not with speech."""

_MOUTH: Final = (31, 45, 14, 34)
"""Rows and columns with the mouth."""

_SHIFT: Final = 2
"""Pixels that a head may move either way between two pictures, after the finder's own box."""

_FLAT: Final = 8.0
"""Grey levels added to a crop's contrast, so that noise in a flat one is not movement."""


def mouth_movement(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> float:
    """How much more the mouth changed than the upper face, the head's own movement taken out.

    The upper face is found again in the later crop, and both parts are compared there.

    Args:
        before: uint8 (48, 48), the face a moment ago.
        now: uint8 (48, 48), the same part of a later picture.

    Returns:
        Mean absolute difference in units of the crop's contrast, 0 or more: 0.00 to 0.02 for a
        closed mouth, 0.06 to 0.10 for one that speaks, pictures 0.1 s apart.
    """
    old, new = _even(before), _even(now)
    top, bottom, left, right = _BROW
    near = new[top - _SHIFT : bottom + _SHIFT, left - _SHIFT : right + _SHIFT]
    misfit = cv2.matchTemplate(near, _cut(old, _BROW), cv2.TM_SQDIFF)
    down, aside = np.unravel_index(int(np.argmin(misfit)), misfit.shape)
    shift = int(down) - _SHIFT, int(aside) - _SHIFT
    brow, mouth = (_change(old, new, part, shift) for part in (_BROW, _MOUTH))
    return max(0.0, mouth - brow)


def _even(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Of like contrast whatever the light, and without the finest noise."""
    smooth = cv2.GaussianBlur(crop, (3, 3), 0).astype(np.float32)
    even: NDArray[np.float32] = (smooth - smooth.mean()) / (smooth.std() + np.float32(_FLAT))
    return even


def _cut(crop: NDArray[Any], part: tuple[int, int, int, int]) -> NDArray[Any]:
    return crop[part[0] : part[1], part[2] : part[3]]


def _change(
    old: NDArray[np.float32],
    new: NDArray[np.float32],
    part: tuple[int, int, int, int],
    shift: tuple[int, int],
) -> float:
    """Mean absolute difference of a part to where the shift has moved it."""
    down, aside = shift
    moved = part[0] + down, part[1] + down, part[2] + aside, part[3] + aside
    return float(np.abs(_cut(new, moved) - _cut(old, part)).mean())
