"""`magtkd bench capacity`: what is said, the search trial by trial, and what is kept of it."""

from __future__ import annotations

import asyncio
import json as jsonlib
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from magtkd_rt.bench.capacity import MADE_UP, Trial, Trials, made_up_words, search
from magtkd_rt.bench.talk import CALL, Habits, Turn, measure_habits
from magtkd_rt.bench.talk_sound import Sound, find_turns, made_voices, read_sound, voices_of
from magtkd_rt.config import ServeConfig, load_config
from magtkd_rt.engines.device import find_device
from magtkd_rt.errors import InputError
from magtkd_rt.runtime.models import Models, load_models

Settings = dict[str, Any]


def run_bench_capacity(
    recording: Path | None,
    rttm: Path | None,
    out: Path | None,
    *,
    models: dict[str, Any],
    least: int,
    most: int,
    seconds: float,
    seed: int,
    json: bool,
) -> None:
    """Search and print.

    Raises:
        MagtkdError: the recording, the file of trials or the models cannot be used.
    """
    given_words = models["asr"] == MADE_UP
    config = load_config(ServeConfig, None, {**models, "asr": "none"} if given_words else models)
    voices, habits, told_by = _talk(recording, rttm)
    console = Console(highlight=False, stderr=json)
    loaded = load_models(config, made_up_words() if given_words else None)
    try:
        settings = {
            "conversations": told_by,
            "bundle": loaded.bundle.sha256,
            "engine": loaded.engine_reason,
            "asr": models["asr"],
            "processor": f"{find_device('cpu').name}, {os.cpu_count()} cores",
            "seconds": seconds,
            "seed": seed,
        }
        known = _Known(out, settings)
        console.print(f"{told_by}; {loaded.engine_reason}", style="dim")
        found = asyncio.run(
            _search(loaded, voices, habits, known, console, least, most, seconds, seed)
        )
    finally:
        loaded.close()
    if json:
        print(jsonlib.dumps({"conversations": found, **known.report()}, indent=1))
    else:
        bound = ", as many as were tried" if found == most else ""
        console.print(f"{found} conversations fit{bound}")


async def _search(
    models: Models,
    voices: Sequence[Sound],
    habits: Habits,
    known: _Known,
    console: Console,
    least: int,
    most: int,
    seconds: float,
    seed: int,
) -> int:
    with console.status("") as status:
        trials = Trials(
            models,
            voices,
            habits,
            seconds=seconds,
            seed=seed,
            told=lambda count, at, lag_ms: status.update(
                f"{count} at once: {at:.0f} of {seconds:g} s, median lag {lag_ms:.0f} ms"
            ),
        )

        async def attempt(count: int) -> bool:
            trial, again = known.trials.get(count), "known: "
            if trial is None:
                status.update(f"{count} at once: beginning ...")
                trial, again = await trials.run(count), ""
                known.add(trial)
            console.print(again + _in_words(trial))
            return trial.fits

        return await search(most, attempt, least)


def _in_words(trial: Trial) -> str:
    verdict = "fits" if trial.fits else "is too much"
    result = "no result"
    if trial.final_p95_ms is not None:
        result = (
            f"{trial.finals} results, p95 {trial.final_p95_ms / 1000:.1f} s after the last word"
        )
    shared = ", ".join(f"{graph} {count:g}" for graph, count in trial.together.items())
    return (
        f"{trial.conversations} at once {verdict}: lag p50 {trial.lag_p50_ms:.0f} ms, "
        f"p95 {trial.lag_p95_ms:.0f} ms (the worst one's {trial.worst_p95_ms:.0f} ms); {result}; "
        f"{trial.cores} cores; {trial.dropped} dropped; together {shared or 'nothing'}"
    )


def _talk(recording: Path | None, rttm: Path | None) -> tuple[list[Sound], Habits, str]:
    """What is spoken with, how turns are taken, and both in words."""
    turns = [] if rttm is None else _turns(rttm)
    habits = measure_habits(turns) if turns else CALL
    by = "a telephone call" if rttm is None else rttm.name
    if recording is None:
        return made_voices(), habits, f"made voices, turns as in {by}"
    sound = read_sound(recording)
    if not turns:
        turns = find_turns(sound)
        habits, by = measure_habits(turns), f"{recording.name} by the speech detector"
    return voices_of(sound, turns), habits, f"voices of {recording.name}, turns as in {by}"


def _turns(rttm: Path) -> list[Turn]:
    from magtkd_rt.train.diarization.reference import read_rttm

    turns = read_rttm(rttm)
    speakers = sorted({turn.speaker for turn in turns})
    return [Turn(turn.start, turn.end, speakers.index(turn.speaker)) for turn in turns]


class _Known:
    """Trials that were made; kept in a file, where there is to be one.

    Raises:
        InputError: the file cannot be read, or its trials were made otherwise.
    """

    def __init__(self, file: Path | None, settings: Settings) -> None:
        self.trials: dict[int, Trial] = {}
        self._file = file
        self._settings = settings
        if file is None:
            return
        if not file.parent.is_dir():
            raise InputError(
                f"there is no folder {file.parent}", remedy="give --out a file that can be written"
            )
        if not file.exists():
            return
        try:
            kept = jsonlib.loads(file.read_text("utf-8"))
            other = [name for name, value in settings.items() if kept["settings"][name] != value]
            self.trials = {one["conversations"]: Trial(**one) for one in kept["trials"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{file} holds no trials", remedy="give --out another file, or delete it"
            ) from error
        if other:
            raise InputError(
                f"the trials in {file} were made with other settings ({', '.join(other)})",
                remedy="give --out another file, or delete it",
            )

    def add(self, trial: Trial) -> None:
        """Keep one more.

        Raises:
            InputError: the file cannot be written.
        """
        self.trials[trial.conversations] = trial
        if self._file is None:
            return
        part = self._file.with_name(f".{self._file.name}.part")
        try:
            part.write_text(jsonlib.dumps(self.report(), indent=1) + "\n", "utf-8")
            os.replace(part, self._file)
        except OSError as error:
            raise InputError(
                f"{self._file} cannot be written ({error.strerror})",
                remedy="give --out a file that can",
            ) from error

    def report(self) -> dict[str, Any]:
        """Settings and trials, ready for JSON."""
        ordered = [self.trials[count] for count in sorted(self.trials)]
        return {"settings": self._settings, "trials": [asdict(trial) for trial in ordered]}
