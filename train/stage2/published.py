"""Published figures that a leaderboard sets ours beside, and how far each system sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Published:
    """One row of somebody else's table.

    Attributes:
        corpus: and its split.
        system: with what a reader has to know.
        metric: weighted_f1 or accuracy.
        value: between 0 and 1.
        sees: how far it looks.
        sees_future: whether that is more than the past.
    """

    corpus: str
    system: str
    metric: str
    value: float
    sees: str
    sees_future: bool


_BOTH, _PAST = "the whole dialogue", "the past"
_MELD_AND_IEMOCAP: Final = (
    ("EmoBERTa, no context", 63.46, 56.09, "the utterance alone", False),
    ("EmoBERTa, past only", 64.55, 68.57, _PAST, False),
    ("EmoBERTa, both directions", 65.61, 67.42, _BOTH, True),
    (
        "MAGTKD, independent re-run on the authors' features, 3 seeds, epoch chosen on test",
        64.71, 69.06, _BOTH, True,
    ),
    ("MAGTKD, as later papers list it", 65.32, 69.59, _BOTH, True),
    ("TelME", 67.37, 70.48, "past-only text", False),
    ("SDT", 66.60, 74.08, _BOTH, True),
    ("InstructERC, 7B", 69.15, 71.39, _PAST, False),
)  # fmt: skip
MELD_TEST: Final = "MELD, test"
IEMOCAP_TEST: Final = "IEMOCAP, test"
MOSI_TEST: Final = "MOSI, test videos"

PUBLISHED: Final[tuple[Published, ...]] = (
    *(
        Published(MELD_TEST, name, "weighted_f1", meld / 100, sees, future)
        for name, meld, _, sees, future in _MELD_AND_IEMOCAP
    ),
    *(
        Published(IEMOCAP_TEST, name, "weighted_f1", iemocap / 100, sees, future)
        for name, _, iemocap, sees, future in _MELD_AND_IEMOCAP
    ),
    *(
        Published(MOSI_TEST, f"bc-LSTM, {what}", "accuracy", value / 100, _BOTH, True)
        for what, value in (
            ("text", 78.1), ("audio", 60.3), ("video", 55.8), ("three modalities", 80.3)
        )
    ),
)  # fmt: skip
"""W-F1 on MELD (7 classes) and IEMOCAP (6), accuracy of bc-LSTM (Poria et al. 2017) on MOSI."""
