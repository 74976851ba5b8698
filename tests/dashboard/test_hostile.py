"""Words, names and messages of others do nothing to the page but stand on it."""

from __future__ import annotations

from typing import Any

import pytest
from browser import serving, until, visit
from playwright.async_api import Browser
from talk import Talk

from magtkd_rt import wire

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

MARKUP = "<img src=x onerror=window.hit=1><script>window.hit=1</script><b>bold</b>"
TURNED = "safe \u202egnp.exe\u202c \u2066isolated\u2069 \u200f"
PILED = "z" + "\u0301" * 500 + "a"
CONTROLS = "a\x00b\x1b[31mc\u2028d\x07e"
LONE = "half \ud83d pair"


async def test_markup_and_marks_of_direction_stay_text(browser: Browser) -> None:
    talk = Talk()
    started = talk.started(
        notice=MARKUP + TURNED,
        labels=["<b>joy</b>", MARKUP],
        sources=wire.SourceInfo(audio=MARKUP, video=TURNED),
        asr=wire.AsrInfo(name=MARKUP),
    )
    evil: dict[str, Any] = {
        "speaker": MARKUP,
        "probabilities": {MARKUP: 0.7, "__proto__": 0.2, "joy": 0.1},
    }
    events: list[wire.Event] = [
        started,
        talk.speech(MARKUP),
        talk.emotion(MARKUP, MARKUP, MARKUP, confidence=0.7, **evil),
        talk.speech("u2"),
        talk.emotion("u2", "joy", TURNED, confidence=0.7),
        talk.speech("u3"),
        talk.emotion("u3", "joy", PILED + CONTROLS, confidence=0.7),
        talk.status(MARKUP, code=MARKUP, dropped={MARKUP: 3}),
    ]
    async with serving(events) as (_, port), visit(browser, port) as visited:
        page = visited.page
        rows = page.locator("#utterances li")

        async def three() -> bool:
            return await rows.count() == 3

        await until(three, "three rows")
        await page.wait_for_selector("#chart .js-plotly-plot")
        assert await page.evaluate("window.hit") is None
        within = "#utterances, #facts, #notices, #lanes, #bars, #now-head, #notice, #title"
        assert await page.locator(within).locator("img, script, b b").count() == 0
        first = await rows.nth(0).inner_text()
        assert "<script>window.hit=1</script>" in first
        second = await rows.nth(1).locator(".said").inner_text()
        assert second.split() == ["safe", "gnp.exe", "isolated"]
        third = await rows.nth(2).locator(".said").inner_text()
        assert third.count("\u0301") == 4
        assert "\x00" not in third and "\x1b" not in third and "\u2028" not in third
        assert visited.wrong == []
        assert visited.strangers == []


async def test_a_hundred_thousand_letters_without_a_space(browser: Browser) -> None:
    talk = Talk()
    long = "W" * 100_000
    events: list[wire.Event] = [
        talk.started(notice=long),
        talk.speech("u1"),
        talk.emotion("u1", "joy", long, confidence=0.7, speaker=long),
        talk.status(long),
    ]
    async with (
        serving(events) as (_, port),
        visit(browser, port, viewport={"width": 390, "height": 800}) as visited,
    ):
        page = visited.page
        said = page.locator("#utterances .said", has_text="W")  # until then it is "speaking"
        assert (await said.text_content() or "").endswith("98,000 more characters)")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        assert await page.evaluate("document.documentElement.innerHTML.length") < 60_000


async def test_messages_of_the_wrong_shape_break_nothing(browser: Browser) -> None:
    async with serving([Talk().started()]) as (_, port), visit(browser, port) as visited:
        outcome = await visited.page.evaluate(
            """async () => {
              const { Board } = await import("/dashboard/board.js");
              const { Timeline } = await import("/dashboard/timeline.js");
              const board = new Board();
              const timeline = new Timeline();
              board.onResult = (one) => timeline.take(one);
              const odd = [null, 7, "x", [], {}, NaN, -1e308, { toString: null }];
              const types = ["session.started", "speech.started", "transcript", "emotion",
                "utterance.dropped", "status", "session.ended", "snapshot", "new.type", 7];
              const fields = ["t", "utterance_id", "text", "label", "confidence", "probabilities",
                "modalities", "speaker", "start", "end", "latency", "face", "dropped", "labels",
                "totals", "message", "open_utterances", "recent", "session", "revision", "stage"];
              let taken = 0;
              for (const type of types) for (const field of fields) for (const value of odd) {
                board.take({ type, stage: "final", utterance_id: "u", [field]: value });
                taken += 1;
              }
              return { taken, kept: board.utterances.size, proto: ({}).polluted };
            }"""
        )
        assert outcome["taken"] == 10 * 21 * 8
        assert visited.wrong == []
