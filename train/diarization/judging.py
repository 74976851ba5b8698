"""Everything that is said of one recording: what a session found against what is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from magtkd_rt import wire
from magtkd_rt.errors import InputError
from magtkd_rt.runtime.hearing import Hearing
from magtkd_rt.train.diarization.picture import draw_timeline
from magtkd_rt.train.diarization.reference import SpokenTurn
from magtkd_rt.train.diarization.scoring import (
    COLLAR_S,
    UNSURE,
    FoundTurn,
    delay_percentiles,
    error_rate,
    found_turns,
    judge_changes,
    judge_turns,
    match_speakers,
    speakers_of,
    speech_seconds,
)

Results = dict[str, Any]

SPEAKER_PARTS: Final = ("voices", "identity", "core")
"""Parts of the runtime that tell speakers apart: the encoder of voices, and the core's decisions
(all of them: what the speakers cost is not told from the rest)."""
HEADLINE: Final = "collar, overlap skipped"


def judge(
    heard: Hearing, true: Sequence[SpokenTurn], lines: Sequence[SpokenTurn] | None = None
) -> Results:
    """Judge one session.

    Args:
        heard: what it said.
        true: who really speaks.
        lines: the turns that should become utterances of their own, where they are told more
            finely than in `true`; their speakers may have other names.

    Raises:
        InputError: the true turns go far beyond the recording, so they are of another one.
    """
    found, duration = found_turns(heard.events), heard.media_s
    for turns in (true, lines or ()):
        check_belongs(turns, duration)
    changes = judge_changes(true, found)
    lines = true if lines is None else lines
    return {
        "media_s": round(duration, 3),
        "speech_s": round(speech_seconds(true), 3),
        "speakers": {"true": speakers_of(true), "found": speakers_of(found)},
        "matched": match_speakers(true, found, duration),
        "utterances": {
            "found": len(found),
            "unsure": sum(turn.speaker == UNSURE for turn in found),
            "dropped": sum(isinstance(event, wire.UtteranceDropped) for event in heard.events),
        },
        "diarization_error_rate": {
            name: asdict(
                error_rate(true, found, duration, collar=collar, skip_overlap=skip_overlap)
            )
            for name, collar, skip_overlap in (
                (HEADLINE, COLLAR_S, True),
                ("collar", COLLAR_S, False),
                ("collar on either side, overlap skipped", 2 * COLLAR_S, True),
                ("no collar", 0.0, False),
            )
        },
        "changes": asdict(changes)
        | {
            "delays_s": list(changes.delays_s),
            "delay_s": delay_percentiles(changes.delays_s),
            "cut_delays_s": list(changes.cut_delays_s),
            "cut_delay_s": delay_percentiles(changes.cut_delays_s),
        },
        "own_utterances": asdict(judge_turns(lines, found, match_speakers(lines, found, duration))),
        "compute": compute(heard, true),
        "turns": {"true": [asdict(turn) for turn in true], "found": [asdict(t) for t in found]},
    }


def check_belongs(turns: Sequence[SpokenTurn], duration: float) -> None:
    """Refuse turns that begin after the recording's end.

    Raises:
        InputError: one does.
    """
    if turns and (last := max(turn.start for turn in turns)) >= duration:
        raise InputError(
            f"somebody begins to speak at {last:g} s, and the recording ends at {duration:g} s",
            remedy="give the reference of this recording",
        )


def make_folder(path: Path) -> None:
    """Make a folder for results.

    Raises:
        InputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {path} ({error.strerror})",
            remedy="name another with --out DIR",
        ) from error


def compute(heard: Hearing, true: Sequence[SpokenTurn]) -> Results:
    """Seconds of computing per second in which somebody speaks."""
    speech = speech_seconds(true)
    parts = {
        part: round(heard.spent_s[part] / speech, 5)
        for part in sorted(heard.spent_s)
        if part in SPEAKER_PARTS
    }
    return {"per_speech_second": round(sum(parts.values()), 5), "parts": parts}


def draw(results: Results, title: str, path: Path) -> None:
    """Draw the timeline of what `judge` said."""
    rate = results["diarization_error_rate"][HEADLINE]["rate"]
    draw_timeline(
        [SpokenTurn(**turn) for turn in results["turns"]["true"]],
        [FoundTurn(**turn) for turn in results["turns"]["found"]],
        results["matched"],
        results["media_s"],
        f"{title}: diarization error rate {100 * rate:.1f} % "
        f"(collar {COLLAR_S:g} s, overlap skipped)",
        path,
    )
