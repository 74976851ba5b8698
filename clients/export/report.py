"""A session as one HTML page that needs nothing else: no script, no request to any host.

Its policy for content forbids both, so that even words that got past the escaping could do nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Final

from magtkd_rt.clients.export import charts
from magtkd_rt.clients.export.markup import clock, percent, tag, text
from magtkd_rt.clients.export.session import Session
from magtkd_rt.clients.export.tally import (
    lane_names,
    middle_and_late,
    parts_of,
    shares_over_time,
    time_by_speaker,
    took_part,
)
from magtkd_rt.clients.export.transcript import MODALITY_NAMES, REASONS, section

_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
_MEANING: Final = (
    "A label names the expression that was recognised in words, voice and face. It is "
    "expression, not inner state: nobody can read off it what a person feels."
)
_WORTH_TELLING: Final = 40
"""More warnings than this are counted, not listed."""


def report(session: Session) -> Iterator[str]:
    """Yield the page piece by piece."""
    lanes = lane_names(session)
    parts = list(parts_of(session))
    labels = [
        label
        for label in session.labels
        if any(item.emotion.label == label for item in session.utterances)
    ]
    style = resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    yield "<!doctype html>\n"
    yield '<html lang="en">\n'
    yield tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"Expression report, {text(session.session_id)}"),
        f"<style>{style}{charts.colours(session.labels)}</style>",
    )
    yield "\n<body>\n"
    yield from _head(session)
    yield "<main>\n"
    if session.utterances:
        yield from _overview(session, lanes, many=len(parts) > 1)
        if len(parts) > 1:
            links = (
                tag("a", f"{clock(part.begin)}", href=f"#part{place}")
                for place, part in enumerate(parts)
            )
            yield tag("nav", tag("h2", "Parts"), *links, aria_label="Parts of the session") + "\n"
        for place, part in enumerate(parts):
            drawn = charts.timeline(part, session, lanes, labels)
            yield section(place, part, session, drawn, alone=len(parts) == 1)
    else:
        yield tag("p", "There is no utterance with a result in this session.", class_="warning")
    yield from _running(session)
    yield "</main>\n"
    yield from _foot(session)
    yield "</body>\n</html>\n"


def _head(session: Session) -> Iterator[str]:
    yield "<header>\n"
    yield tag("h1", "Expression report")
    yield tag("p", _MEANING, class_="meaning")
    if session.started is not None:
        yield tag("p", tag("strong", "Told to those present: "), text(session.started.notice))
    for warning in _warnings(session):
        yield tag("p", warning, class_="warning")
    yield tag("dl", *_facts(_session_facts(session)), class_="facts")
    yield "</header>\n"


def _warnings(session: Session) -> Iterator[str]:
    if session.cut_short:
        number = sum(item.provisional for item in session.utterances)
        yield (
            f"The file ends before the session does, at {clock(session.duration)}. "
            f"{number} provisional results at its end are marked so; "
            f"{session.unfinished} utterances had none yet."
        )
    elif session.unfinished:
        yield f"{session.unfinished} utterances have no result in the file."
    if session.missing:
        yield (
            f"The file lacks {session.missing} of the session's events; "
            "where results are among them, they are not in this report."
        )


def _session_facts(session: Session) -> dict[str, str]:
    confident = [item.emotion.confidence for item in session.utterances]
    unsure = sum(item.emotion.abstained for item in session.utterances)
    facts = {
        "Session": session.session_id,
        "Duration": clock(session.duration),
        "Utterances": str(len(session.utterances)),
        "Speakers": str(len(session.speakers)),
    }
    if confident:
        facts["Too unsure to act on"] = f"{unsure} ({percent(unsure / len(confident))})"
        facts["Revised by what followed"] = str(sum(item.revised for item in session.utterances))
    started = session.started
    if started is not None:
        if started.emitted_at is not None:
            facts["Began"] = f"{started.emitted_at:%Y-%m-%d %H:%M:%S} UTC"
        facts["Sound"] = started.sources.audio or "none"
        facts["Pictures"] = started.sources.video or "none"
        facts["Words by"] = started.asr.name
        facts["Models"] = started.bundle.name
        facts["Their licence"] = started.bundle.licence
    return facts


def _facts(facts: Mapping[str, str]) -> Iterator[str]:
    for name, value in facts.items():
        yield tag("div", tag("dt", text(name)), tag("dd", text(value)))


def _overview(session: Session, lanes: dict[str, str], *, many: bool) -> Iterator[str]:
    yield '<section aria-labelledby="overview">\n'
    yield tag("h2", "Overview", id="overview")
    yield _legend(session)
    seconds = time_by_speaker(session, lanes)
    yield tag("h3", "Who spoke, and how it was expressed")
    yield charts.by_speaker(seconds)
    yield _as_table(
        ["Speaker", *session.labels],
        ([lane, *map(_seconds, values.values())] for lane, values in seconds.items()),
        "Time spoken, minutes and seconds",
    )
    if many:
        bins = shares_over_time(session, 48)
        stretch = session.duration / len(bins)
        yield tag("h3", "Over time")
        yield charts.over_time(bins, session)
        yield _as_table(
            ["From", *session.labels],
            (
                [clock(place * stretch), *(percent(value / stretch) for value in values.values())]
                for place, values in enumerate(bins)
            ),
            "Share of the time that was spoken with each expression",
        )
    yield tag("h3", "What took part")
    yield tag(
        "p",
        "Contribution: how far the probability of the winning label falls where that part is "
        "left out, in points of 100; below 0 it spoke against the label.",
    )
    yield _table(["", "Took part", "Contribution, mean", "Absent because"], _took_part(session))
    yield "</section>\n"


def _legend(session: Session) -> str:
    entries = [
        tag("li", tag("i", class_=f"swatch c{place}"), text(label))
        for place, label in enumerate(session.labels)
    ]
    if any(item.emotion.abstained for item in session.utterances):
        entries.append(tag("li", tag("i", class_="swatch unsure"), "too unsure to act on"))
    if any(item.provisional for item in session.utterances):
        entries.append(tag("li", tag("i", class_="swatch provisional"), "provisional"))
    return tag("ul", *entries, class_="legend", aria_label="Colours")


def _took_part(session: Session) -> Iterator[list[str]]:
    total = len(session.utterances)
    for key, name in MODALITY_NAMES.items():
        found = took_part(session, key)
        mean = "\u2013" if found.contribution is None else f"{found.contribution * 100:+.1f}"
        why = ", ".join(
            f"{REASONS.get(reason, reason)} {number}"
            for reason, number in found.absent.most_common()
        )
        yield [name, f"{found.present} of {total}", mean, why or "\u2013"]


def _running(session: Session) -> Iterator[str]:
    """How the system fared: delays, what was dropped, what it warned of."""
    yield '<section aria-labelledby="running">\n'
    yield tag("h2", "How it ran", id="running")
    rows = []
    for name, part in (("Last sound to final result", "total_ms"), ("Transcription", "asr_ms"),
                       ("Encoders", "encode_ms")):  # fmt: skip
        told = middle_and_late(
            [
                getattr(item.emotion.latency, part)
                for item in session.utterances
                if item.emotion.stage == "final"
            ]
        )
        if told is not None:
            rows.append([name, *(f"{value:.0f} ms" for value in told)])
    if rows:
        yield _table(["", "Median", "95 of 100 within"], rows)
    reasons = Counter(event.reason for event in session.dropped)
    told_reasons = ", ".join(
        f"{reason.replace('_', ' ')} {number}" for reason, number in reasons.most_common()
    )
    yield tag(
        "p",
        f"{len(session.dropped)} utterances ended without a result"
        + (f": {told_reasons}." if told_reasons else "."),
    )
    worth = [status for status in session.statuses if status.level != "info"]
    if worth:
        lines = (
            tag("li", tag("b", clock(max(status.t, 0))), f" {text(status.message)}")
            for status in worth[:_WORTH_TELLING]
        )
        yield tag("h3", f"Warnings and errors: {len(worth)}")
        yield tag("ul", *lines)
    yield "</section>\n"


def _foot(session: Session) -> Iterator[str]:
    yield "<footer>\n"
    yield tag(
        "p",
        "Percentages are the model's calibrated probabilities. \u201cUnsure\u201d marks results "
        "whose confidence is below the model's threshold: better not act on them. Speakers are "
        "told apart by channel or voice and may be mistaken. Not for judging people: no hiring, "
        "grading, surveillance, diagnosis or lie detection.",
    )
    yield tag("p", f"Made by magtkd export from {len(session.utterances)} utterances.")
    yield "</footer>\n"


def _as_table(head: Sequence[str], rows: Iterable[Sequence[str]], summary: str) -> str:
    return tag("details", tag("summary", "As a table"), _table(head, rows, summary))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    body = (
        tag("tr", tag("th", text(first), scope="row"), *(tag("td", text(cell)) for cell in rest))
        for first, *rest in rows
    )
    names = (tag("th", text(name), scope="col") if name else tag("td") for name in head)
    table = tag(
        "table",
        tag("caption", text(caption)) if caption else "",
        tag("thead", tag("tr", *names)),
        tag("tbody", *body),
        class_="numbers",
    )
    return tag("div", table, class_="wide")


def _seconds(value: float) -> str:
    return clock(round(value)) if value else "\u2013"
