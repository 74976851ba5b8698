"""WebVTT subtitles: each with its voice; people who speak at the same time are shown together.

Written after the W3C's candidate recommendation "WebVTT: The Web Video Text Tracks Format".
"""

from __future__ import annotations

from collections.abc import Iterator

from magtkd_rt.clients.export.cues import cues_of, timestamp
from magtkd_rt.clients.export.session import Session, plain

_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\u200e": "&lrm;", "\u200f": "&rlm;"}
)


def vtt(session: Session) -> Iterator[str]:
    """Yield the file piece by piece."""
    notes = [f"Session {session.session_id}", "Labels name expressions, not inner states."]
    if session.started is not None:
        notes.append(plain(session.started.notice))
    told = "\n".join(note.translate(_ESCAPES) for note in notes if note)
    yield f"WEBVTT\n\nNOTE {told}\n\n"
    for cue in cues_of(session, speaker=False):
        text = "\n".join(line.translate(_ESCAPES) for line in cue.lines)
        voice = cue.utterance.speaker.translate(_ESCAPES)
        name = plain(cue.utterance.emotion.utterance_id).translate(_ESCAPES) or "u"
        yield (
            f"{name}-{cue.part + 1}\n"
            f"{timestamp(cue.start, '.')} --> {timestamp(cue.end, '.')}\n"
            f"<v {voice}>{text}</v>\n\n"
        )
