"""The report's charts, drawn as SVG. Each has a title, and a description in words.

What a colour tells is told by place or words too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from magtkd_rt.clients.export.markup import clock, percent, tag, text
from magtkd_rt.clients.export.session import Session, Utterance
from magtkd_rt.clients.export.tally import Part

OKABE_ITO: Final = {
    "neutral": "#999999",
    "joy": "#f0e442",
    "sadness": "#0072b2",
    "anger": "#d55e00",
    "surprise": "#cc79a7",
    "fear": "#56b4e9",
    "disgust": "#009e73",
}
"""Colours that are told apart by people of any colour vision (Okabe and Ito, 2008)."""
_FURTHER: Final = ("#e69f00", "#8b6f47", "#7f7fb2", "#b2b27f", "#b27f7f", "#7fb2b2")

WIDTH: Final = 1000
_GUTTER: Final = 96
"""Left of a chart, for names; the same units as WIDTH."""
_ROW: Final = 17
_LETTER: Final = 7
"""About the width of a letter."""
_FULL: Final = 0.25
"""The contribution that fills its bar."""
_HEAD: Final = 24


def colours(labels: Sequence[str]) -> str:
    """The style rules that give each label its colour: class `c0` for the first, and so on."""
    further = iter(range(len(labels)))
    rules = []
    for place, label in enumerate(labels):
        colour = OKABE_ITO.get(label) or _FURTHER[next(further) % len(_FURTHER)]
        red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        on = "#fff" if 0.3 * red + 0.59 * green + 0.11 * blue < 100 else "#111"
        rules.append(f".c{place}{{--c:{colour};--on:{on}}}")
    return "".join(rules)


def shares(values: Mapping[str, float]) -> str:
    """A bar of shares side by side: the probabilities of one utterance."""
    x, bars = 0.0, []
    for place, value in enumerate(values.values()):
        if value >= 0.005:
            bars.append(tag("rect", class_=f"c{place}", x=_n(x), width=_n(value * 100), height=10))
        x += value * 100
    return tag(
        "svg", *bars, class_="shares", viewBox="0 0 100 10", preserveAspectRatio="none",
        aria_hidden="true",
    )  # fmt: skip


def contribution(value: float) -> str:
    """A bar to the right of the middle where a modality spoke for the label, left where against."""
    length = min(abs(value) / _FULL, 1.0) * 50
    return tag(
        "svg",
        tag("line", x1=50, x2=50, y1=0, y2=10),
        tag("rect", x=_n(50 if value >= 0 else 50 - length), y=2, width=_n(length), height=6),
        class_="lean" if value >= 0 else "lean against",
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def timeline(part: Part, session: Session, lanes: Mapping[str, str], labels: Sequence[str]) -> str:
    """Who spoke when, and with which expression: a row for each label of each speaker.

    Args:
        part: what is drawn.
        session: it is a part of.
        lanes: each speaker's lane.
        labels: the rows of a lane.
    """
    shown = [*part.earlier, *part.utterances]
    present = [lane for lane in dict.fromkeys(lanes.values()) if _spoke(shown, lanes, lane)]
    lane_height = _HEAD + _ROW * len(labels)
    bottom = lane_height * len(present) + 4
    drawn = [_axis(part.begin, part.end, bottom)]
    for place, lane in enumerate(present):
        top = place * lane_height
        drawn.append(tag("text", text(_short(lane, 40)), class_="lane", x=0, y=top + 17))
        for row, label in enumerate(labels):
            y = top + _HEAD + row * _ROW
            drawn.append(tag("line", class_="row", x1=_GUTTER, x2=WIDTH, y1=y + 8, y2=y + 8))
            drawn.append(tag("text", text(_short(label, 14)), class_="name", x=0, y=y + 12))
        for number, item in shown:
            if lanes[item.speaker] == lane:
                y = top + _HEAD + labels.index(item.emotion.label) * _ROW + 2
                colour = session.labels.index(item.emotion.label)
                drawn.append(_utterance(number, item, part, y, colour))
    return _figure(
        f"part{part.utterances[0][0]}",
        f"Timeline, {clock(part.begin)} to {clock(part.end)}",
        f"{len(part.utterances)} utterances by {len(present)} speakers. "
        "The table below has the same in words.",
        drawn,
        bottom + 22,
    )


def over_time(bins: Sequence[Mapping[str, float]], session: Session) -> str:
    """Stacked columns: how much of each stretch of time was spoken with which expression."""
    height = 180
    width = (WIDTH - _GUTTER) / len(bins)
    stretch = session.duration / len(bins)
    drawn = [_axis(0, session.duration, height)]
    for share in (0.0, 0.5, 1.0):
        y = height * (1 - share)
        drawn.append(tag("text", percent(share), class_="name end", x=_GUTTER - 8, y=_n(y + 4)))
        drawn.append(tag("line", class_="row", x1=_GUTTER, x2=WIDTH, y1=_n(y), y2=_n(y)))
    for place, values in enumerate(bins):
        y = float(height)
        for colour, seconds in enumerate(values.values()):
            tall = min(seconds / stretch, 1.0) * height
            if tall >= 0.05:
                y -= tall
                x = _GUTTER + place * width
                begun = clock(place * stretch)
                told = f"{begun} {session.labels[colour]} {percent(seconds / stretch)}"
                drawn.append(
                    tag("rect", tag("title", text(told)), class_=f"bar c{colour}",
                        x=_n(x + 0.5), y=_n(max(y, 0)), width=_n(max(width - 1, 0.5)),
                        height=_n(tall))
                )  # fmt: skip
    words = f"Share of each {clock(stretch)} that was spoken, by expression."
    return _figure("over-time", "Expression over time", words, drawn, height + 22, top=10)


def by_speaker(seconds: Mapping[str, Mapping[str, float]]) -> str:
    """A bar for each speaker: seconds of speech, by expression."""
    longest = max((sum(values.values()) for values in seconds.values()), default=0.0) or 1.0
    scale = (WIDTH - _GUTTER - 90) / longest
    drawn = []
    for place, (lane, values) in enumerate(seconds.items()):
        x, y = float(_GUTTER), place * 34
        drawn.append(tag("text", text(_short(lane, 14)), class_="lane", x=0, y=y + 18))
        for colour, (label, value) in enumerate(values.items()):
            if value > 0:
                drawn.append(_segment(label, value, colour, x, y, value * scale))
                x += value * scale
        drawn.append(tag("text", clock(sum(values.values())), class_="name", x=_n(x + 8), y=y + 18))
    words = "Length: time spoken. The table below has the numbers."
    title = "Time spoken by speaker and expression"
    return _figure("speakers", title, words, drawn, 34 * len(seconds))


def _segment(label: str, seconds: float, colour: int, x: float, y: int, width: float) -> str:
    """A part of a speaker's bar, with its label where there is room."""
    told = tag("title", text(f"{label} {clock(round(seconds))}"))
    place = {"x": _n(x), "y": y + 3, "width": _n(width), "height": 22}
    bar = tag("rect", told, class_=f"bar c{colour}", **place)
    if width < _LETTER * len(label) + 8:
        return bar
    return bar + tag("text", text(label), class_=f"on c{colour}", x=_n(x + 5), y=y + 18)


def _utterance(number: int, item: Utterance, part: Part, y: int, colour: int) -> str:
    emotion = item.emotion
    start, end = max(emotion.start, part.begin), min(emotion.end, part.end)
    x = _at(start, part.begin, part.end)
    width = max(_at(end, part.begin, part.end) - x, 2.0)
    kind = " provisional" if item.provisional else " unsure" if emotion.abstained else ""
    told = (
        f"{clock(emotion.start)} {item.speaker}, {item.marked_label} "
        f"{percent(emotion.confidence)}: {_short(item.text, 200) or 'no words'}"
    )
    bar = tag(
        "rect", tag("title", text(told)), class_=f"bar c{colour}{kind}",
        x=_n(x), y=y, width=_n(width), height=13, rx=2,
    )  # fmt: skip
    return tag("a", bar, href=f"#u{number}", tabindex=-1)


def _axis(begin: float, end: float, bottom: float) -> str:
    """Lines and times at round places."""
    step = next(
        (step for step in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
         if (end - begin) / step <= 10),
        (end - begin) / 10,
    )  # fmt: skip
    drawn = []
    place = int(-(-begin // step))
    while place * step <= end:
        x = _n(_at(place * step, begin, end))
        drawn.append(tag("line", class_="grid", x1=x, x2=x, y1=0, y2=_n(bottom)))
        side = "end" if place * step > end - (end - begin) / 40 else "middle"
        drawn.append(
            tag("text", clock(place * step), class_=f"name {side}", x=x, y=_n(bottom + 16))
        )
        place += 1
    return "".join(drawn)


def _figure(
    key: str, title: str, words: str, drawn: Sequence[str], height: float, top: float = 0
) -> str:
    return tag(
        "div",
        tag(
            "svg",
            tag("title", text(title), id=f"{key}-title"),
            tag("desc", text(words), id=f"{key}-words"),
            *drawn,
            viewBox=f"0 {_n(-top)} {WIDTH} {_n(height + top)}",
            role="img",
            aria_labelledby=f"{key}-title {key}-words",
        ),
        class_="chart",
    )


def _at(seconds: float, begin: float, end: float) -> float:
    return _GUTTER + (seconds - begin) / (end - begin) * (WIDTH - _GUTTER - 4)


def _spoke(shown: Sequence[tuple[int, Utterance]], lanes: Mapping[str, str], lane: str) -> bool:
    return any(lanes[item.speaker] == lane for _, item in shown)


def _short(value: str, length: int) -> str:
    return value if len(value) <= length else f"{value[: length - 1]}\u2026"


def _n(value: float) -> str:
    """A number of a drawing, short."""
    return f"{value:.1f}".removesuffix(".0")
