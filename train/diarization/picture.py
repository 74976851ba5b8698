"""The timeline as a picture: found speakers under true ones, a lane for each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from magtkd_rt.train.diarization.reference import SpokenTurn
from magtkd_rt.train.diarization.scoring import UNSURE, speakers_of

STRIP_S: Final = 60.0
"""A longer recording is drawn in strips of this length, one below the other."""
MAX_STRIPS: Final = 20

# Okabe and Ito's colours can be told apart by the colour-blind; lanes and names say it again.
_COLOURS: Final = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f",
)  # fmt: skip
_INK, _PAPER = "#20262d", "#ffffff"
_INCH_PER_LANE: Final = 0.34


def draw_timeline(
    true: Sequence[SpokenTurn],
    found: Sequence[SpokenTurn],
    speaker_of: Mapping[str, str],
    duration: float,
    title: str,
    path: Path,
) -> None:
    """Write a PNG.

    A found speaker has the colour of the true one that it was matched with; one without match is
    hatched, unsure utterances are empty boxes. Of a very long recording the beginning is drawn.

    Args:
        true: who really speaks.
        found: who was found to speak.
        speaker_of: found speaker -> true speaker.
        duration: of the recording, in seconds.
        title: above it all.
        path: of the picture.
    """
    real, heard = speakers_of(true), speakers_of(found)
    if any(turn.speaker == UNSURE for turn in found):
        heard.append(UNSURE)
    strips = min(MAX_STRIPS, max(1, math.ceil(duration / STRIP_S - 0.2)))
    width = duration / strips if strips < MAX_STRIPS else STRIP_S
    lanes = len(real) + len(heard)
    figure = Figure(
        figsize=(12, 0.7 + strips * (0.55 + _INCH_PER_LANE * (lanes + 0.5))), layout="constrained"
    )
    figure.suptitle(title, fontsize=11, color=_INK)
    colours = dict(zip(real, (_COLOURS * (1 + len(real) // len(_COLOURS))), strict=False))
    for strip, axes in enumerate(figure.subplots(strips, squeeze=False)[:, 0]):
        for lane, name in enumerate(real):
            _bars(axes, [t for t in true if t.speaker == name], lane, name, colours[name])
        for lane, name in enumerate(heard, start=len(real)):
            colour = colours.get(speaker_of.get(name, ""))
            _bars(axes, [t for t in found if t.speaker == name], lane + 0.5, name, colour)
        axes.axhline(len(real) - 0.25, color=_INK, linewidth=0.8)
        axes.set_xlim(strip * width, (strip + 1) * width)
        axes.set_ylim(lanes, -0.5)
        places = [*range(len(real)), *(lane + 0.5 for lane in range(len(real), lanes))]
        axes.set_yticks(places, [f"true {n}" for n in real] + [f"found {n}" for n in heard])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#e6e9ed")
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("seconds")
    figure.savefig(path, dpi=110)


def _bars(
    axes: Axes, turns: Sequence[SpokenTurn], lane: float, name: str, colour: str | None
) -> None:
    """One lane's turns; without a colour nobody true is meant."""
    axes.broken_barh(
        [(turn.start, turn.length) for turn in turns],
        (lane - 0.36, 0.72),
        facecolor=colour or _PAPER,
        edgecolor=_INK,
        linewidth=0.6,
        hatch=None if colour or name == UNSURE else "////",
    )
