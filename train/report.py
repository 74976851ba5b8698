"""An evaluation's results as a page that stands alone, PNG plots, and a table for the terminal."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from rich.table import Table

from magtkd_rt.train import plots
from magtkd_rt.train.conditions import LATER, SPOILED
from magtkd_rt.train.report_page import PAGE

Results = dict[str, Any]

_PLAIN: Final = {"text": "words", "audio": "voice", "video": "face"}
_ALONE: Final = (
    ("text", "test", "words alone, MELD test"),
    ("text", "dev", "words alone, MELD dev"),
    ("text", "spoiled", "spoiled words alone, MELD test"),
    ("audio", "test", "voice alone, RAVDESS actors 21-24"),
    ("video", "test", "face alone, FER2013 private test"),
)
_EVERYTHING: Final = "text+audio+video"
_PICTURED: Final = {
    ("text", "test"),
    ("audio", "test"),
    ("video", "test"),
    ("fused", _EVERYTHING),
    ("fused", "text"),
    ("fused", SPOILED + _EVERYTHING),
    ("paper", _EVERYTHING),
}
"""Conditions that get a confusion matrix and a reliability diagram."""


def plain_name(kind: str, condition: str) -> str:
    """What a condition is called on the page."""
    for one, other, name in _ALONE:
        if (kind, condition) == (one, other):
            return name
    causal, _, later = condition.partition(LATER)
    parts = [_PLAIN[part] for part in causal.removeprefix(SPOILED).split("+")]
    name = " + ".join(parts)
    if condition.startswith(SPOILED):
        name = name.replace("words", "spoiled words", 1)
    if kind == "revised":
        return f"right context {later}, sees the future: {name}"
    return f"paper mode, sees the future: {name}" if kind == "paper" else f"fused: {name}"


def all_scores(results: Results) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Every condition: kind, key, plain name, scores; the spoiled ones last of their kind."""
    return [
        (kind, condition, plain_name(kind, condition), results[kind][condition])
        for kind in ("text", "audio", "video", "fused", "revised", "paper")
        for condition in sorted(results[kind], key=lambda name: name.startswith(SPOILED))
    ]


def write(results: Results, out: Path) -> None:
    """Write the PNG plots and `index.html` to the folder `out`."""
    everything = all_scores(results)
    figures = []
    for kind, condition, name, scores in everything:
        if (kind, condition) not in _PICTURED:
            continue
        stem = f"{kind}-{condition}".replace("+", "-").replace(" ", "-")
        plots.confusion(f"{name}: confusion", scores, out / f"confusion-{stem}.png")
        plots.reliability(name, scores, out / f"reliability-{stem}.png")
        figures.append((name, [f"confusion-{stem}.png", f"reliability-{stem}.png"]))
    on_meld = [
        (name, scores)
        for kind, _, name, scores in everything
        if kind in ("text", "fused", "revised", "paper")
    ]
    plots.conditions(on_meld, out / "conditions.png")

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = _percent
    environment.filters["points"] = _points
    environment.filters["interval"] = _interval
    page = environment.from_string(PAGE).render(
        results=results,
        scores=everything,
        named={(kind, condition): name for kind, condition, name, _ in everything},
        figures=figures,
        picture=lambda file: _embedded(out / file),
    )
    (out / "index.html").write_text(page, encoding="utf-8")


def summary(results: Results) -> Table:
    """What was reached, for the terminal."""
    bundle = results["bundle"]
    table = Table(title=f"Bundle {bundle['name']} {bundle['version']} ({bundle['sha256'][:12]})")
    table.add_column("measured, percent")
    for heading in ("value", "95 % interval", "wanted", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in results["reached"]:
        table.add_row(
            row["what"],
            _percent(row["value"]),
            _interval(row["interval"]),
            f"{row['bound']} {_percent(row['goal'])}" if row["bound"] else "",
            {True: "reached", False: "[bold]not reached[/bold]", None: ""}[row["reached"]],
        )
    return table


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _interval(ends: list[float] | None) -> str:
    return f"{_percent(ends[0])} to {_percent(ends[1])}" if ends else ""


def _embedded(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
