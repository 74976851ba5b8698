"""Results of stage 2 as a page that stands alone, with its plots; and the leaderboard."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from rich.table import Table

from magtkd_rt.errors import DataError
from magtkd_rt.train import plots
from magtkd_rt.train.stage2.judge import Results
from magtkd_rt.train.stage2.page_text import LEADERBOARD, PAGE
from magtkd_rt.train.stage2.published import MELD_TEST, PUBLISHED

MANY: Final = 3
"""So many systems of a corpus get confusion matrix and reliability diagram, the fullest first."""


def write_page(results: Results, out: Path) -> None:
    """Write PNG plots, `index.html`, `leaderboard.html` and `results.json` to the folder `out`.

    Args:
        results: `title`, `date`, `seconds`, `rounds`, `versions`, and `corpora`, each as
            `judge.describe` gives it; it may have `parts` like itself, `goals`, `dev`, `settings`.
        out: is there.
    """
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    pictures: dict[str, list[str]] = {}
    for number, corpus in enumerate(_with_parts(results)):
        rows = list(corpus["systems"].items())
        file = f"systems-{number}.png"
        plots.conditions(rows, out / file, corpus["metric"])
        drawn = [file]
        if corpus in results["corpora"]:
            for place, (name, scores) in enumerate(_pictured(rows)):
                for kind, draw in (
                    ("confusion", plots.confusion),
                    ("reliability", plots.reliability),
                ):
                    file = f"{kind}-{number}-{place}.png"
                    draw(f"{corpus['corpus']}\n{name}", scores, out / file)
                    drawn.append(file)
        pictures[corpus["corpus"]] = drawn
    page = _environment(out).from_string(PAGE)
    everything = _with_parts(results)
    (out / "index.html").write_text(
        page.render(results=results, corpora=everything, pictures=pictures), encoding="utf-8"
    )
    write_leaderboard([results], out / "leaderboard.html")


def write_leaderboard(many: list[Results], path: Path) -> None:
    """Write one page with the published rows and those of results, best first in each corpus.

    Args:
        many: what `results.json` of this evaluation or of a bundle's holds.
        path: of the page.
    """
    rows = [asdict(one) | {"ours": False, "interval": None} for one in PUBLISHED]
    for results in many:
        rows += _rows_of_bundle(results) if "corpora" not in results else _rows(results)
    corpora: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: -row["value"]):
        corpora.setdefault(row["corpus"], []).append(row)
    page = _environment(path.parent).from_string(LEADERBOARD)
    path.write_text(page.render(corpora=dict(sorted(corpora.items()))), encoding="utf-8")


def read_results(path: Path) -> Results:
    """A `results.json`, or that of a folder.

    Raises:
        DataError: it is missing or not of an evaluation.
    """
    path = path / "results.json" if path.is_dir() else path
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {path} ({error})", remedy="name a results.json that magtkd eval wrote"
        ) from error
    if not isinstance(results, dict) or not ({"corpora", "bundle"} & results.keys()):
        raise DataError(
            f"{path} is of no evaluation", remedy="name a results.json that magtkd eval wrote"
        )
    return results


def goals_table(results: Results) -> Table:
    """What was to be reached, for the terminal."""
    table = Table(title=results["title"])
    table.add_column("measured, percent")
    for heading in ("value", "95 % interval", "wanted", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in [goal for corpus in results["corpora"] for goal in corpus.get("goals", [])]:
        table.add_row(
            row["what"],
            _percent(row["value"]),
            _interval(row["interval"]),
            f"{'more than' if row['strictly'] else 'at least'} {_percent(row['wanted'])}",
            "reached" if row["reached"] else "[bold]not reached[/bold]",
        )
    return table


def systems_table(corpus: Results) -> Table:
    """Every system of one corpus, for the terminal."""
    table = Table(title=f"{corpus['corpus']}: {corpus['utterances']} utterances")
    table.add_column("percent; sees")
    for heading in (plots.METRICS[corpus["metric"]], "sd of seeds", "95 % interval", "ECE"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, scores in corpus["systems"].items():
        score = scores[corpus["metric"]]
        table.add_row(
            f"{name}; {scores['sees']}",
            _percent(score["value"]),
            _percent(score["sd"]),
            _interval([score["low"], score["high"]]),
            _percent(scores["ece"]),
        )
    return table


def _with_parts(results: Results) -> list[Results]:
    return [one for corpus in results["corpora"] for one in (corpus, *corpus.get("parts", []))]


def _pictured(rows: list[tuple[str, Results]]) -> list[tuple[str, Results]]:
    """Trained systems rather than baselines."""
    return [row for row in rows if not row[0].startswith("logistic")][:MANY]


def _rows(results: Results) -> list[dict[str, Any]]:
    return [
        {
            "corpus": corpus["corpus"],
            "system": name,
            "metric": corpus["metric"],
            "value": scores[corpus["metric"]]["value"],
            "interval": [scores[corpus["metric"]]["low"], scores[corpus["metric"]]["high"]],
            "sees": scores["sees"],
            "sees_future": scores["sees_future"],
            "ours": True,
        }
        for corpus in results["corpora"]
        for name, scores in corpus["systems"].items()
    ]


def _rows_of_bundle(results: Results) -> list[dict[str, Any]]:
    """A bundle's words on MELD's test split; its voices and faces are borrowed, so no row."""
    score = results["text"]["test"]["weighted_f1"]
    spoiled = results["text"]["spoiled"]["weighted_f1"]
    name = f"bundle {results['bundle']['name']} {results['bundle']['version']}, words alone"
    return [
        {
            "corpus": MELD_TEST,
            "system": f"{name}{what}",
            "metric": "weighted_f1",
            "value": one["value"],
            "interval": [one["low"], one["high"]],
            "sees": "the past",
            "sees_future": False,
            "ours": True,
        }
        for what, one in ((", gold text", score), (", text with made recogniser's errors", spoiled))
    ]


def _environment(folder: Path) -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": _percent,
        "points": lambda value: f"{100 * value:+.1f}",
        "interval": _interval,
        "metric": lambda name: plots.METRICS[name],
        "embedded": lambda file: _embedded(folder / file),
    }
    return environment


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _interval(ends: list[float] | None) -> str:
    return f"{_percent(ends[0])} to {_percent(ends[1])}" if ends else ""


def _embedded(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
