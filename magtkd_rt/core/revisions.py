"""Second looks: what was told of an utterance, in the light of what followed it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from magtkd_rt.core.jobs import Fused
from magtkd_rt.core.utterance import Evidence, Utterance


@dataclass(slots=True, eq=False)
class Told:
    """An utterance whose result was sent, and what that was."""

    utterance: Utterance
    evidence: Evidence
    fused: Fused


class Revisions:
    """Keeps the results that utterances to come may change.

    Args:
        right_context: how many utterances later that may be.
        least: a result whose label stays is sent again where its probability has changed so much.
    """

    def __init__(self, right_context: int, least: float) -> None:
        self._least = least
        self._told: deque[Told] = deque(maxlen=right_context + 1)

    def tell(self, told: Told) -> list[tuple[int, Told]]:
        """Keep the newest result; returns earlier ones to look at again, and how far ahead."""
        self._told.append(told)
        newest = len(self._told) - 1
        return [(newest - n, self._told[n]) for n in range(newest)]

    def changed(self, told: Told, fused: Fused) -> bool:
        """Whether a second look says something else; it then is what was told."""
        before, now = told.fused.probabilities, fused.probabilities
        best = int(np.argmax(before))
        if int(np.argmax(now)) == best and abs(float(now[best] - before[best])) < self._least:
            return False
        told.fused = replace(fused, state=None)  # which takes much room
        return True
