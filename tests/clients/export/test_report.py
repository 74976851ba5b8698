from __future__ import annotations

import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from event_script import EventScript
from hypothesis import given, settings
from journals import hostile_sessions, session, utterance

from magtkd_rt import wire
from magtkd_rt.clients.export import FORMATS, Session, read_session
from magtkd_rt.labels import LABELS

_TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "footer", "nav", "section",
    "h1", "h2", "h3", "p", "strong", "b", "i", "em", "small", "a", "span", "dl", "div", "dt", "dd",
    "ul", "li", "table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary",
    "svg", "desc", "rect", "line", "text",
}  # fmt: skip
_EMPTY = {"meta", "rect", "line"}


class _Page(HTMLParser):
    """A page as a strict reader takes it: every element closed, none that was not meant."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.cells: dict[str, list[str]] = {"words": [], "expression": [], "who": []}
        self._cell: str | None = None
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _TAGS, tag
        told = dict(attrs)
        assert not [name for name in told if name.startswith("on") or name in ("src", "style")]
        self.open.append(tag)
        if identity := told.get("id"):
            self.ids.append(identity)
        if "href" in told:
            self.links.append(told["href"] or "")
        if tag == "td" and told.get("class") in self.cells:
            self._cell = told["class"]
            self.cells[told["class"] or ""].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _EMPTY
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "td":
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.cells[self._cell][-1] += data


def _html(of: Session) -> str:
    return "".join(FORMATS["html"](of))


def _check(of: Session) -> _Page:
    page = _Page(_html(of))
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    return page


def test_what_a_reader_of_the_report_is_told() -> None:
    told = session(
        utterance(0, 4, text="so it goes", speaker="Anna"),
        utterance(5, 9, text="", label="fear", abstained=True),
        utterance(10, 12, stage="revised", label="anger", overlapped=True),
    )
    text = _html(told)
    assert "expression, not inner state" in text
    assert "This conversation is analysed." in text
    page = _check(told)
    assert page.cells["words"] == ["so it goes", "no words", "so it goes"]
    assert page.cells["who"] == ["Anna", "S1", "S1at the same time as others"]
    assert page.cells["expression"] == [
        "joy 60\u202f%", "fear 60\u202f%unsure", "anger 60\u202f%revised"
    ]  # fmt: skip
    assert "+20" in text
    assert "no face" in text


def test_every_chart_is_told_in_words_too() -> None:
    told = session(*(utterance(at, at + 2, text=f"word {at}") for at in range(0, 900, 3)))
    text = _html(told)
    charts = re.findall(r'<svg viewBox="[^"]*" role="img" aria-labelledby="(\S+) (\S+)">', text)
    assert len(charts) > 3
    for title, words in charts:
        assert f'<title id="{title}">' in text
        assert f'<desc id="{words}">' in text
    drawn = text.count("<svg ")
    assert drawn == len(charts) + text.count('aria-hidden="true"')
    assert text.count("<details><summary>As a table</summary>") == 2
    _check(told)


def test_nothing_is_asked_of_any_host() -> None:
    text = _html(session(utterance(text="see https://example.org/x.png and http://example.org")))
    assert "default-src 'none'" in text.replace("&#x27;", "'")
    outside = re.findall(r"url\(|@import|<link|<script|<img|<iframe|src=", text)
    assert outside == []
    assert all(link.startswith("#") for link in _Page(text).links)


def test_a_session_that_was_cut_short_says_so() -> None:
    last = utterance(61, 62, stage="provisional")
    text = _html(session(utterance(), last, ended=None, unfinished=2, missing=7))
    assert "The file ends before the session does, at 1:02" in text
    assert "1 provisional results at its end are marked so; 2 utterances had none yet" in text
    assert "lacks 7 of the session" in text
    assert "<small>provisional</small>" in text


def test_warnings_and_what_was_dropped_are_told(script: EventScript) -> None:
    late = script.status("two <b>seconds</b> behind").model_copy(update={"level": "warning"})
    told = session(utterance(), statuses=[script.status(), late], dropped=[script.dropped("u2")])
    text = _html(told)
    assert "two &lt;b&gt;seconds&lt;/b&gt; behind" in text
    assert "Warnings and errors: 1" in text
    assert "1 utterances ended without a result: too short 1." in text
    _check(told)


def test_a_session_without_utterances() -> None:
    text = _html(session())
    assert "There is no utterance with a result" in text
    _check(session())


def test_many_speakers_share_a_lane() -> None:
    told = session(*(utterance(at, at + 1, speaker=f"S{at}") for at in range(40)))
    page = _check(told)
    assert len(page.cells["who"]) == 40
    assert _html(told).count('class="lane"') == 2 * 8


@settings(deadline=None)
@given(hostile_sessions())
def test_no_text_becomes_markup(told: Session) -> None:
    page = _check(told)
    said = [item.text or "no words" for item in told.utterances]
    assert page.cells["words"] == said


def test_a_day_is_exported_in_seconds_and_stays_small() -> None:
    items = [
        utterance(
            number * 5.7,
            number * 5.7 + 4,
            label=LABELS[number % 7],
            text="word " * (number % 30),
            speaker=f"S{number % 3}",
        )
        for number in range(5000)
    ]
    told = session(*items)
    begun = time.perf_counter()
    text = _html(told)
    assert time.perf_counter() - begun < 20  # about 1 s where nothing else runs
    assert text.count('<tr id="u') == 5000
    assert len(text) < 10_000_000
    assert text.count('class="part"') == 48


def test_what_a_real_session_wrote(real_journal: Path) -> None:
    told = read_session(real_journal)
    page = _check(told)
    assert page.cells["words"] == [item.text for item in told.utterances]
    assert isinstance(told.started, wire.SessionStarted)


@pytest.mark.parametrize("label", ["joy", "glee", "</style><script>"])
def test_any_label_has_a_colour(label: str) -> None:
    probabilities = {label: 0.7, "neutral": 0.3}
    told = session(utterance(label=label, probabilities=probabilities), started=None)
    place = told.labels.index(label)
    assert re.search(rf"\.c{place}{{--c:#[0-9a-f]{{6}};--on:#", _html(told))
    _check(told)
