"""Who speaks when, as people wrote it down: RTTM (NIST) and STM files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from magtkd_rt.errors import InputError

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_TURNS: Final = 2000
"""Some two hours of talk; comparing turns with turns takes the square of their number."""
MAX_SECONDS: Final = 1e6
"""No recording is longer than that (eleven days): a larger number is a fault."""

_OTHER_TYPES: Final = frozenset(
    {
        *("SEGMENT", "NOSCORE", "NO_RT_METADATA", "LEXEME", "NON-LEX", "NON-SPEECH", "FILLER"),
        *("EDIT", "SU", "IP", "CB", "A/P", "SPKR-INFO"),
    }
)
"""What an RTTM file may tell besides who speaks."""
_NOT_SCORED: Final = "ignore_time_segment_in_scoring"
_NOBODY: Final = "inter_segment_gap"


@dataclass(frozen=True, slots=True, order=True)
class SpokenTurn:
    """One speaker from `start` to `end`, in seconds of the recording."""

    start: float
    end: float
    speaker: str

    @property
    def length(self) -> float:
        """In seconds."""
        return self.end - self.start


class _Line:
    """One line of a file, which knows how to say what is wrong with it."""

    def __init__(self, path: Path, number: int, text: str) -> None:
        self.fields = text.split()
        self._where = f"{path}, line {number}"

    def wrong(self, why: str, remedy: str) -> NoReturn:
        raise InputError(f"{self._where}: {why}", remedy=remedy)

    def need(self, count: int, form: str) -> None:
        if len(self.fields) < count:
            self.wrong(f"{len(self.fields)} fields are too few", f"a line reads {form!r}")

    def seconds(self, field: int) -> float:
        text = self.fields[field][:40]
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value <= MAX_SECONDS:
            self.wrong(f"{text!r} is no time", "times are seconds from the recording's beginning")
        return value


def read_rttm(path: Path) -> list[SpokenTurn]:
    """Turns of an RTTM file in the order of time; turns of no length are left out.

    Raises:
        InputError: it cannot be read, is no RTTM, names several recordings, or nobody speaks.
    """
    return _read(path, "RTTM", _rttm_turn)


def read_stm(path: Path) -> list[SpokenTurn]:
    """Turns of an STM file in the order of time, without those that are not to be scored.

    Raises:
        InputError: as in `read_rttm`.
    """
    return _read(path, "STM", _stm_turn)


def write_rttm(turns: Sequence[SpokenTurn], recording: str, path: Path) -> None:
    """Write turns; names and recording lose their spaces."""
    recording = "_".join(recording.split())
    path.write_text(
        "".join(
            f"SPEAKER {recording} 1 {turn.start:.3f} {turn.length:.3f} <NA> <NA> "
            f"{'_'.join(turn.speaker.split())} <NA> <NA>\n"
            for turn in turns
        ),
        encoding="utf-8",
    )


def _rttm_turn(line: _Line) -> tuple[str, SpokenTurn] | None:
    kind = line.fields[0]
    if kind in _OTHER_TYPES:
        return None
    if kind != "SPEAKER":
        line.wrong(f"{kind[:40]!r} is no RTTM", "lines begin with SPEAKER")
    line.need(8, "SPEAKER recording channel start length <NA> <NA> name")
    start, length = line.seconds(3), line.seconds(4)
    return line.fields[1], SpokenTurn(start, start + length, line.fields[7])


def _stm_turn(line: _Line) -> tuple[str, SpokenTurn] | None:
    line.need(5, "recording channel name start end words")
    if line.fields[2] == _NOBODY or line.fields[-1].lower() == _NOT_SCORED:
        return None
    start, end = line.seconds(3), line.seconds(4)
    if end < start:
        line.wrong(f"it ends at {end:g} s, before its start", "start comes before end")
    return line.fields[0], SpokenTurn(start, end, line.fields[2])


def _read(
    path: Path, form: str, parse: Callable[[_Line], tuple[str, SpokenTurn] | None]
) -> list[SpokenTurn]:
    found = [turn for line in _lines(path, form) if (turn := parse(line)) is not None]
    recordings = sorted({recording for recording, _ in found})
    if len(recordings) > 1:
        raise InputError(
            f"{path} is about several recordings ({recordings[0]}, {recordings[1]}, ...)",
            remedy="keep the lines of the one that is heard",
        )
    turns = sorted(turn for _, turn in found if turn.length > 0)
    if len(turns) > MAX_TURNS:
        raise InputError(
            f"{path} has {len(turns)} turns, {MAX_TURNS} are the most", remedy="judge a part of it"
        )
    if not turns:
        raise InputError(f"in {path} nobody speaks", remedy=f"give the recording's {form} file")
    return turns


def _lines(path: Path, form: str) -> Iterator[_Line]:
    """The lines that say something."""
    remedy = f"give the recording's {form} file"
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", remedy=remedy) from error
    if len(content) > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES >> 20} MiB", remedy=remedy)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8", remedy=remedy) from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith(";"):
            yield _Line(path, number, line)
