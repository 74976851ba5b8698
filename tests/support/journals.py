"""Files of events and sessions to be exported: scripted ones and hostile ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from event_script import EventScript
from hypothesis import strategies as st

from magtkd_rt import wire
from magtkd_rt.clients.export import Session, Utterance
from magtkd_rt.labels import LABELS

Events = Iterable[wire.Event | wire.Snapshot]


def lines(events: Events) -> str:
    """As a journal holds them."""
    return "".join(wire.dump_message(event) + "\n" for event in events)


def write_journal(path: Path, events: Events) -> Path:
    path.write_text(lines(events), encoding="utf-8")
    return path


def utterance(
    start: float = 0.0,
    end: float = 1.0,
    *,
    text: str = "so it goes",
    speaker: str = "S1",
    label: str = "joy",
    words: Sequence[wire.WireWord] = (),
    **changed: Any,
) -> Utterance:
    """One utterance with a final result, and whatever is to be different of it."""
    emotion = EventScript().emotion("u1", label=label, text=text)
    update = {"start": start, "end": end, "speaker": speaker, **changed}
    return Utterance(emotion.model_copy(update=update), words)


def session(*utterances: Utterance, **changed: Any) -> Session:
    """A complete session of these utterances, which are called u1, u2 ... unless they are named."""
    script = EventScript()
    named = [
        Utterance(item.emotion.model_copy(update={"utterance_id": f"u{number}"}), item.words)
        if item.emotion.utterance_id == "u1"
        else item
        for number, item in enumerate(utterances, start=1)
    ]
    facts: dict[str, Any] = {
        "session_id": "call-1", "started": script.started(), "ended": script.ended(),
        "utterances": named, "dropped": [], "unfinished": 0, "statuses": [], "missing": 0,
    }  # fmt: skip
    return Session(**facts | changed)


hostile_text = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("<>&\"'=+-@{}\\\u202e\u2028\u0000\r\n\t,;-->"),
    ),
    max_size=120,
) | st.sampled_from(
    [
        "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "--> 00:00:01.000",
        "]]>", "&lt;", "=HYPERLINK(\"http://x\")", "\ufffe\uffff\ud800", "1\n00:00:00,000 -->",
        "a" * 500, "word " * 200, "</v></emotion>", "-2+3", "@SUM(A1)", "\t=1", "{\\an8}", "",
    ]
)  # fmt: skip
"""What a transcriber, a name or a broken writer might put in."""

_times = st.floats(0, 1e6, allow_nan=False).map(lambda value: round(value, 3))


@st.composite
def hostile_utterances(draw: st.DrawFn) -> Utterance:
    """One with any text, name, label, times and shares."""
    start = draw(_times | st.sampled_from([0.0, 0.0001, 1.0, 1.0004]))
    label = draw(st.sampled_from(LABELS) | hostile_text)
    shares = draw(st.lists(st.floats(0, 1), min_size=len(LABELS), max_size=len(LABELS)))
    absent = wire.Modality(present=False, reason="no_face")
    present = wire.Modality(present=True, contribution=draw(st.floats(-1, 1)))
    return utterance(
        start,
        start + draw(st.sampled_from([0.0, 0.0004, 0.3, 5.0, 40.0])),
        text=draw(hostile_text),
        speaker=draw(st.sampled_from(["S1", "S2", "S?"]) | hostile_text),
        label=label,
        utterance_id=draw(st.sampled_from(["u1", "session", "expressions", "1"]) | hostile_text),
        probabilities={**dict(zip(LABELS, shares, strict=True)), label: draw(st.floats(0, 1))},
        modalities={
            "text": draw(st.sampled_from([present, absent])),
            "audio": draw(st.sampled_from([present, absent])),
        },
        abstained=draw(st.booleans()),
        stage=draw(st.sampled_from(["provisional", "final", "revised"])),
    )


@st.composite
def hostile_sessions(draw: st.DrawFn) -> Session:
    """Some of them, in the order of their start, as a reader gives them."""
    items = draw(st.lists(hostile_utterances(), max_size=8))
    unique = list({item.emotion.utterance_id: item for item in items}.values())
    unique.sort(key=lambda item: (item.emotion.start, item.emotion.end))
    started = EventScript().started().model_copy(update={"notice": draw(hostile_text)})
    return session(*unique, started=draw(st.sampled_from([started, None])))


def as_json(event: wire.Event, **changed: object) -> str:
    """One line of a journal with some fields overwritten."""
    return json.dumps({**json.loads(wire.dump_message(event)), **changed})
