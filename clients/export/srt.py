"""SubRip subtitles: numbered, one at a time, plain text."""

from __future__ import annotations

from collections.abc import Iterator

from magtkd_rt.clients.export.cues import cues_of, one_at_a_time, timestamp
from magtkd_rt.clients.export.session import Session


def srt(session: Session) -> Iterator[str]:
    """Yield the file piece by piece.

    SubRip has neither comments nor a way to write `<` where players take it for mark-up, so the
    signs of that are replaced by their look-alikes.
    """
    cues = one_at_a_time(list(cues_of(session, speaker=True)))
    for number, cue in enumerate(cues, start=1):
        text = "\n".join(cue.lines).translate(_LOOK_ALIKES)
        yield f"{number}\n{timestamp(cue.start, ',')} --> {timestamp(cue.end, ',')}\n{text}\n\n"


_LOOK_ALIKES = str.maketrans({"<": "\u2039", ">": "\u203a", "{": "(", "}": ")"})
