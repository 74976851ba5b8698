"""`magtkd eval`: measure a bundle as it is shipped, through its own graphs and the runtime's code.

Words alone on MELD, voice alone on RAVDESS, face alone on FER2013, and the fusion on MELD's test
dialogues with borrowed voices and faces (see `pairing.py`), step by step with its state.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from rich.console import Console

from magtkd_rt.bundle.store import Bundle
from magtkd_rt.engines.select import select
from magtkd_rt.errors import BundleError, InputError
from magtkd_rt.labels import LABELS
from magtkd_rt.runtime.recogniser import Recogniser
from magtkd_rt.train import report
from magtkd_rt.train.conditions import EVERYTHING, Corpora, PairingRecord, Results, measure
from magtkd_rt.train.loop import progress_bar

PAIRING: Final = "pairing.json"
"""File of a bundle that says how its training paired words with voices and faces."""


def evaluate(
    bundle: str | Path, data: Path, out: Path, *, rounds: int = 1000, threads: int = 2
) -> Results:
    """Measure a bundle; write `results.json`, `index.html` and PNG plots to `out`.

    Args:
        bundle: name of an installed bundle, or its directory.
        data: folder with `meld`, `ravdess` and `fer2013`.
        out: made if it is not there; older results in it are replaced.
        rounds: of the bootstrap.
        threads: that each graph may compute on.

    Returns:
        what `results.json` holds.

    Raises:
        BundleError: the bundle is missing, damaged, or has no usable pairing.
        DataError: a corpus is missing.
        InputError: `out` cannot be written to, or `rounds` is no positive number.
        EngineError: a graph cannot be run.
    """
    if rounds < 1:
        raise InputError(f"{rounds} bootstrap rounds are too few", remedy="ask for 1 or more")
    began = time.monotonic()
    opened = Bundle.load(bundle)
    pairing = read_pairing(opened)
    corpora = Corpora.read(data)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {out} ({error.strerror})", remedy="name another with --out DIR"
        ) from error
    selected = select(opened, threads=threads)
    try:
        with progress_bar() as bar:
            recogniser = Recogniser(opened, selected.engine)
            results = describe(opened, selected.reason, corpora, rounds) | measure(
                recogniser, corpora, pairing, rounds, bar
            )
    finally:
        selected.engine.close()
    results["reached"] = reached(results)
    results["seconds"] = round(time.monotonic() - began, 1)
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    report.write(results, out)
    Console().print(report.summary(results))
    return results


def read_pairing(bundle: Bundle) -> PairingRecord:
    """The bundle's record of its pairing.

    Raises:
        BundleError: there is none, or the bundle has other labels than the corpora.
    """
    if bundle.manifest.labels != list(LABELS):
        raise BundleError(
            f"the bundle {bundle.directory} has the labels {', '.join(bundle.manifest.labels)}",
            remedy=f"this evaluation needs one with {', '.join(LABELS)}",
        )
    try:
        if PAIRING not in bundle.manifest.files:
            raise ValueError("the manifest does not list it")
        record = PairingRecord.model_validate_json(bundle.path(PAIRING).read_bytes())
        if "test" not in record.exchange or abs(sum(record.shares) - 1) > 1e-6:
            raise ValueError("its test shares are missing, or its label shares do not sum to 1")
    except (OSError, ValueError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise BundleError(
            f"the bundle {bundle.directory} has no usable {PAIRING} ({first})",
            remedy="train one with `magtkd train starter`",
        ) from error
    return record


def describe(bundle: Bundle, engine: str, corpora: Corpora, rounds: int) -> Results:
    """What was measured, with what, on how much."""
    manifest = bundle.manifest
    packages = ("magtkd-rt", "numpy", "onnxruntime", "scikit-learn", "tokenizers")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "bundle": {
            "name": manifest.name,
            "version": manifest.version,
            "sha256": bundle.sha256,
            "licence": manifest.licence,
        },
        "engine": engine,
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in packages},
        "bootstrap_rounds": rounds,
        "counts": {
            **{
                f"meld_{split}": {"dialogues": len(part), "utterances": sum(map(len, part))}
                for split, part in (("dev", corpora.dev), ("test", corpora.test))
            },
            "ravdess_test": {
                "clips": len(corpora.clips),
                "actors": len({clip.actor for clip in corpora.clips}),
            },
            "fer2013_test": {"faces": len(corpora.faces)},
        },
    }


def reached(results: Results) -> list[Results]:
    """What the project set out to reach, and what was measured."""
    text, audio, video = (results[kind]["test"] for kind in ("text", "audio", "video"))
    fused, less = results["fused"][EVERYTHING], results["differences"]
    rows = [
        ("words alone, MELD test: W-F1", text["weighted_f1"], "at least", 0.60),
        ("voice alone, RAVDESS actors 21-24: UAR", audio["uar"], "at least", 0.60),
        ("face alone, FER2013 private test: accuracy", video["accuracy"], "at least", 0.66),
        ("fused, paired MELD test: W-F1", fused["weighted_f1"], "", None),
        ("fused less words alone: W-F1", less["fused - text alone"], "at least", 0.02),
        (
            "fusion without voice and face, less words alone: W-F1",
            less["words through the fusion - text alone"],
            "at least",
            -0.005,
        ),
        *(
            (f"fused, paired MELD test, after {ahead} later: W-F1", scores["weighted_f1"], "", None)
            for ahead, scores in enumerate(
                (s for n, s in results["revised"].items() if n.startswith(EVERYTHING)), start=1
            )
        ),
        *(
            (
                f"calibration error (ECE), {what}; chance alone {scores['ece_noise']:.3f}",
                {"value": scores["ece"]},
                "at most",
                0.05,
            )
            for what, scores in (
                ("words", text),
                ("voice", audio),
                ("face", video),
                ("fused", fused),
            )
        ),
    ]
    return [
        {
            "what": what,
            "value": number["value"],
            "interval": [number["low"], number["high"]] if "low" in number else None,
            "bound": bound,
            "goal": goal,
            "reached": _holds(number["value"], bound, goal),
        }
        for what, number, bound, goal in rows
    ]


def _holds(value: float, bound: str, goal: float | None) -> bool | None:
    if goal is None:
        return None
    return value >= goal if bound == "at least" else value <= goal
