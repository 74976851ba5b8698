"""`magtkd bench speakers`: who was found to speak against who speaks, on a recording."""

from __future__ import annotations

import json as jsonlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from magtkd_rt.errors import ExtraMissing

_RATES = {
    "collar, overlap skipped": "collar 0.25 s, overlap skipped",
    "collar": "collar 0.25 s",
    "collar on either side, overlap skipped": "0.25 s on either side, overlap skipped",
    "no collar": "no collar",
}


def need_bench() -> None:
    """Make sure that what judges and draws is installed.

    Raises:
        ExtraMissing: it is not.
    """
    for name in ("matplotlib", "pyannote.metrics"):
        try:
            found = find_spec(name)
        except ModuleNotFoundError:  # not even the package that it is a part of
            found = None
        if found is None:
            raise ExtraMissing(name, "bench")


def bench_speakers(
    audio: Path, rttm: Path, out: Path | None, *, bundle: str, threads: int, json: bool
) -> None:
    """Hear a recording, judge, print; with `out` also write results, turns and the timeline.

    Raises:
        MagtkdError: the recording, its reference, the bundle or `out` cannot be used.
    """
    need_bench()
    from magtkd_rt.runtime.hearing import hear_file
    from magtkd_rt.train.diarization.judging import draw, judge, make_folder
    from magtkd_rt.train.diarization.reference import (
        SpokenTurn,
        read_rttm,
        read_stm,
        write_rttm,
    )

    true, beside = read_rttm(rttm), rttm.with_suffix(".stm")
    lines = read_stm(beside) if beside.exists() else None
    if out is not None:
        make_folder(out)
    measured = judge(hear_file(audio, bundle=bundle, threads=threads), true, lines)
    if out is not None:
        (out / "results.json").write_text(jsonlib.dumps(measured, indent=1) + "\n", "utf-8")
        turns = [SpokenTurn(t["start"], t["end"], t["speaker"]) for t in measured["turns"]["found"]]
        write_rttm(turns, audio.stem, out / "found.rttm")
        draw(measured, audio.name, out / "timeline.png")
    if json:
        print(jsonlib.dumps(measured, indent=1))
        return
    console = Console(highlight=False)
    console.print(_table(measured, audio.name, (rttm if lines is None else beside).name))
    if out is not None:
        console.print(f"the timeline is in {out / 'timeline.png'}", style="dim")


def _table(measured: dict[str, Any], recording: str, turns_from: str) -> Table:
    table = Table("measured", "value", "wanted", title=recording, box=None, pad_edge=False)
    table.columns[1].justify = "right"
    speakers, utterances = measured["speakers"], measured["utterances"]
    table.add_row("recording", f"{measured['media_s']:.1f} s", "")
    table.add_row("speech in it", f"{measured['speech_s']:.1f} s", "")
    table.add_row("speakers found", str(len(speakers["found"])), str(len(speakers["true"])))
    table.add_row("utterances", str(utterances["found"]), "")
    table.add_row("  of an unsure speaker", str(utterances["unsure"]), "")
    table.add_row("  dropped, too short or without speech", str(utterances["dropped"]), "")
    for name, rate in measured["diarization_error_rate"].items():
        table.add_row(f"diarization error rate, {_RATES[name]}", _percent(rate["rate"]), "")
        if rate["total"]:
            for part in ("missed", "false_alarm", "confusion"):
                share = rate[part] / rate["total"]
                table.add_row(f"  {part.replace('_', ' ')}", _percent(share), "")
    changes = measured["changes"]
    table.add_row("changes of the speaker", str(changes["true"]), "")
    table.add_row("  missed", str(changes["missed"]), "")
    table.add_row("  false", str(changes["false"]), "")
    table.add_row("delay of a change, median", _seconds(changes["delay_s"]["median"]), "")
    table.add_row("delay of a change, p95", _seconds(changes["delay_s"]["p95"]), "1.2 s at most")
    cut = _seconds(changes["cut_delay_s"]["p95"])
    table.add_row("  until the old utterance was cut, p95", cut, "")
    own = measured["own_utterances"]
    table.add_row(f"turns of more than 0.8 s in {turns_from}", str(own["turns"]), "")
    table.add_row("  in utterances of nobody but their speaker", str(own["own"]), "")
    table.add_row("  with an utterance for themselves", str(own["alone"]), "")
    compute = measured["compute"]
    table.add_row(
        "compute for speakers, per second of speech",
        f"{compute['per_speech_second']:.4f} s",
        "0.06 s at most",
    )
    for part, cost in compute["parts"].items():
        table.add_row(f"  {part}", f"{cost:.4f} s", "")
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
