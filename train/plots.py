"""The plots of an evaluation: confusion matrices, reliability diagrams, conditions compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from magtkd_rt.train.scoring import BINS

METRICS: Final = {"weighted_f1": "W-F1", "accuracy": "accuracy", "uar": "UAR"}
_BLUE, _GREY, _INK = "#2a6fb0", "#b8bec6", "#20262d"


def confusion(title: str, scores: dict[str, Any], path: Path) -> None:
    """Rows are what was labelled, columns what was predicted; colour and number are row shares."""
    counts = np.array(scores["confusion"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*shares.shape):
        axes.text(
            column,
            row,
            f"{shares[row, column]:.0%}\n{counts[row, column]}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if shares[row, column] > 0.55 else _INK,
        )
    labels = list(scores["per_class"])
    axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("labelled")
    axes.set_title(title, fontsize=11)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure.savefig(path, dpi=120)


def reliability(title: str, scores: dict[str, Any], path: Path) -> None:
    """How often answers of each confidence are right; below, how many there are."""
    bins = scores["reliability"]
    confidence = [one["confidence"] for one in bins]
    figure = Figure(figsize=(5.2, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=_GREY, linestyle="--", label="perfectly calibrated")
    upper.plot(
        confidence, [one["accuracy"] for one in bins], color=_BLUE, marker="o", label="measured"
    )
    upper.set_ylim(-0.02, 1.02)
    upper.set_ylabel("share that is right")
    upper.set_title(f"{title}\ncalibration error (ECE) {scores['ece']:.3f}", fontsize=11)
    upper.legend(frameon=False)
    places = [(min(int(one * BINS), BINS - 1) + 0.5) / BINS for one in confidence]
    lower.bar(places, [one["count"] for one in bins], width=0.9 / BINS, color=_BLUE)
    lower.set_xlim(0, 1)
    lower.set_ylabel("answers")
    lower.set_xlabel("confidence of the answer")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def conditions(
    rows: list[tuple[str, dict[str, Any]]], path: Path, metric: str = "weighted_f1"
) -> None:
    """A score with its interval, one line per condition, the first on top."""
    values = np.array([scores[metric]["value"] for _, scores in rows])
    low = np.array([scores[metric]["low"] for _, scores in rows])
    high = np.array([scores[metric]["high"] for _, scores in rows])
    figure = Figure(figsize=(8.2, 0.8 + 0.36 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    axes.hlines(range(len(rows)), 100 * low, 100 * high, color=_GREY, linewidth=4)
    axes.plot(100 * values, range(len(rows)), "o", color=_BLUE)
    for number, value in enumerate(values):
        axes.annotate(
            f"{100 * value:.1f}",
            (100 * value, number),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=_INK,
        )
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.7)
    axes.set_xlabel(f"{METRICS[metric]}, percent; the bar is the 95 % interval")
    axes.grid(axis="x", color="#e6e9ed")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=120)
