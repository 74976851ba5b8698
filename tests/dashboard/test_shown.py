"""What the dashboard shows of each event, in a real browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from browser import serving, until, visit
from playwright.async_api import Browser, Locator, Page
from talk import Talk

from magtkd_rt import wire

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


def row(page: Page, utterance: str) -> Locator:
    return page.locator(f'#utterances li[data-id="{utterance}"]')


async def style(place: Locator, name: str) -> str:
    return str(await place.evaluate("(e, name) => getComputedStyle(e)[name]", name))


async def shows(page: Page, selector: str, text: str) -> None:
    place = page.locator(selector)

    async def holds() -> bool:
        told = " ".join(await place.all_text_contents())
        return text in re.sub(r"\s", " ", told)  # narrow spaces stand before units

    await until(holds, f"{text!r} in {selector}")


async def test_a_conversation_from_its_first_sound_to_its_end(browser: Browser) -> None:
    talk = Talk()
    async with serving([talk.started()]) as (hub, port), visit(browser, port) as visited:
        page = visited.page
        await shows(page, "#title", "kitchen.mp4 (aac) and kitchen.mp4 (h264)")
        await shows(page, "#notice", "A machine analyses what is said here")
        await shows(page, "#facts", "starter, fake")
        await shows(page, "#connection", "Live")
        assert await page.locator("#empty").is_visible()

        hub.publish(talk.speech("u1"))
        await shows(page, "#utterances", "speaking")
        hub.publish(talk.words("u1", "I got the"))
        hub.publish(talk.emotion("u1", "surprise", "I got the", "provisional", confidence=0.6))
        speaking = row(page, "u1")
        await shows(page, "#utterances", "so far")
        assert "is-speaking" in (await speaking.get_attribute("class") or "")
        assert await style(speaking.locator(".said"), "fontStyle") == "italic"
        assert "surprise 60" in (await speaking.locator("button").get_attribute("aria-label") or "")
        assert "so far" in (await page.locator("#now-head").inner_text())
        assert await page.locator("#announcer").text_content() == "", (
            "only final results are read out"
        )

        hub.publish(talk.words("u1", "I got the letter", final=True, speaker="Ada"))
        hub.publish(talk.emotion("u1", "joy", "I got the letter", speaker="Ada", confidence=0.7))
        await shows(page, "#utterances", "joy")
        text = await row(page, "u1").inner_text()
        assert "Ada" in text and "I got the letter" in text and "so far" not in text
        await shows(page, "#announcer", "Ada: joy, 70")
        await shows(page, "#parts", "no face seen")
        await shows(page, "#parts", "+")  # the words spoke for it
        await shows(page, "#parts", "−4")  # the voice against
        await shows(page, "#now-foot", "610 ms after the last sound")

        changed = talk.emotion("u1", "sadness", "I got the letter", "revised", confidence=0.5)
        hub.publish(changed)
        await shows(page, "#utterances", "revised: was joy 70")
        await shows(page, "#now-head", "was joy 70")

        hub.publish(talk.ended())
        await shows(page, "#connection", "Session ended")
        await shows(page, "#facts", "end of input")
        assert visited.wrong == []
        assert visited.strangers == []


async def test_a_second_look_at_an_earlier_utterance_leaves_the_present_one(
    browser: Browser,
) -> None:
    talk = Talk()
    events = [talk.started(), *talk.utterance(), *talk.utterance()]
    async with serving(events) as (hub, port), visit(browser, port) as visited:
        page = visited.page
        await shows(page, "#now-head", "and what does it say")
        hub.publish(talk.emotion("u1", "anger", "I got the letter", "revised", confidence=0.5))
        await shows(page, "#utterances", "revised: was")
        assert "and what does it say" in await page.locator("#now-head").inner_text()


async def test_unsure_dropped_and_overlapped_utterances_are_told_in_words(browser: Browser) -> None:
    talk = Talk()
    events: list[wire.Event] = [talk.started()]
    kinds: list[dict[str, Any]] = [
        {"abstained": True, "confidence": 0.31},
        {"overlapped": True, "confidence": 0.6},
    ]
    for n, changes in enumerate(kinds, 1):
        events += [talk.speech(f"u{n}"), talk.emotion(f"u{n}", "fear", "what was that", **changes)]
    events += [talk.speech("u3"), talk.dropped("u3")]
    masked: dict[str, Any] = {
        "modalities": {"text": {"present": False, "reason": "low_confidence"}}
    }
    events += [talk.speech("u4"), talk.emotion("u4", "joy", "mumble", confidence=0.6, **masked)]
    async with serving(events) as (_, port), visit(browser, port) as visited:
        page = visited.page
        await shows(page, "#utterances", "mumble")
        unsure = row(page, "u1")
        assert "fear?" in await unsure.inner_text() and "unsure" in await unsure.inner_text()
        assert await style(row(page, "u2").locator(".badge"), "borderStyle") == "solid"
        assert await style(unsure.locator(".badge"), "borderStyle") == "dashed"
        assert "somebody else spoke too" in await row(page, "u2").inner_text()
        assert "made up by the transcriber" in await row(page, "u3").inner_text()
        assert "words too unsure to count" in await row(page, "u4").inner_text()
        assert "2, of which" not in await page.locator("#facts").inner_text()
        await shows(page, "#facts", "3, of which 1 unsure")
        assert visited.wrong == []


async def test_status_lag_and_what_was_dropped(browser: Browser) -> None:
    talk = Talk()
    behind: dict[str, Any] = {
        "level": "warning",
        "code": "lag",
        "lag_ms": 2400.0,
        "dropped": {"pictures_left_out": 7},
    }
    recording: dict[str, Any] = {"code": "recording"}
    events: list[wire.Event] = [
        talk.started(),
        talk.status("sound and pictures are recorded in x.mkv", **recording),
        talk.status("this machine is behind", **behind),
    ]
    async with serving(events) as (hub, port), visit(browser, port) as visited:
        page = visited.page
        await shows(page, "#notices", "this machine is behind")
        await shows(page, "#lag", "lag 2.4")
        await shows(page, "#facts", "7 pictures left out")
        assert "is-late" in (await page.locator("#lag").get_attribute("class") or "")
        assert await page.locator("#recording").is_visible()
        hub.publish(talk.status("nothing more is recorded", code="recording_failed", level="error"))
        await shows(page, "#notices", "Error")
        assert not await page.locator("#recording").is_visible()


async def test_the_timeline_is_drawn_and_can_be_read_by_keys(browser: Browser) -> None:
    talk = Talk()
    events = [talk.started(), *(event for _ in range(12) for event in talk.utterance())]
    async with serving(events) as (_, port), visit(browser, port) as visited:
        page = visited.page
        await page.wait_for_selector("#chart .js-plotly-plot .trace path")
        lengths = "all => all.map(e => e.getAttribute('d').length)"

        async def is_whole() -> bool:  # it is drawn with the first events, then again
            return min(await page.locator("#chart .trace path").evaluate_all(lengths)) > 100

        await until(is_whole, "every lane's line in the chart")
        lanes = await page.locator("#lanes .name").all_text_contents()
        assert lanes == ["neutral", "joy", "sadness", "anger", "surprise", "fear", "disgust"]
        chart = page.locator("#chart")
        await chart.focus()
        await page.keyboard.press("End")
        await shows(page, "#readout", "neutral")
        last = await chart.get_attribute("aria-valuetext")
        await page.keyboard.press("ArrowLeft")
        assert await chart.get_attribute("aria-valuetext") != last
        await page.keyboard.press("Enter")
        await shows(page, "#now-title", "Chosen utterance")
        await page.keyboard.press("Escape")
        await shows(page, "#now-title", "Now")
        assert visited.wrong == []


async def test_without_the_charting_library_the_page_says_what_brings_it(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magtkd_rt.server.pages.charting_library", lambda: None)
    talk = Talk()
    events = [talk.started(), *(event for _ in range(4) for event in talk.utterance())]
    async with serving(events) as (_, port), visit(browser, port) as visited:
        page = visited.page
        await shows(page, "#no-charts", "pip install plotly")
        assert await page.locator("#no-charts").is_visible()
        await shows(page, "#lanes .name", "disgust")  # the events may come after the note
        bars = page.locator("#lanes .bar")
        widths = await bars.evaluate_all("all => all.map(e => e.clientWidth)")
        assert len(widths) == 7 and max(widths) > 10
        await shows(page, "#bars", "joy")
        uncaught = [wrong for wrong in visited.wrong if "404" not in wrong]
        assert uncaught == []


async def test_a_row_that_is_picked_stays_while_the_talk_goes_on(browser: Browser) -> None:
    talk = Talk()
    events = [talk.started(), *(event for _ in range(3) for event in talk.utterance())]
    async with serving(events) as (hub, port), visit(browser, port) as visited:
        page = visited.page
        await shows(page, "#utterances", "they want to go ahead")
        await row(page, "u1").locator("button").click()
        await shows(page, "#now-title", "Chosen utterance")
        for event in talk.utterance():
            hub.publish(event)
        await shows(page, "#utterances", "oh that is wonderful")
        assert "I got the letter" in await page.locator("#now-head").inner_text()
        await page.locator("#back").click()
        await shows(page, "#now-head", "oh that is wonderful")


async def test_earlier_rows_fold_away_and_come_back(browser: Browser) -> None:
    talk = Talk(drafts=0)
    events = [talk.started(), *(event for _ in range(300) for event in talk.utterance())]
    async with serving(events) as (_, port), visit(browser, port) as visited:
        page = visited.page
        rows: Any = page.locator("#utterances li")
        await shows(page, "#folded", "180 earlier utterances are folded away")
        assert await rows.count() == 120
        await page.locator("#earlier").click()
        assert await rows.count() == 240
        assert await rows.first.get_attribute("data-id") == "u61"
        numbers = await rows.evaluate_all("all => all.map(e => Number(e.dataset.number))")
        assert numbers == sorted(numbers)
        await page.locator("#latest").click()
        assert await rows.count() == 120
