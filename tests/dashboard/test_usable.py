"""By keys, by screen reader, by the colour-blind, on a phone, in the dark, and over a picture."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import cv2
import numpy as np
import pytest
from browser import Visit, serving, until, visit
from playwright.async_api import Browser
from talk import Talk

from magtkd_rt import wire
from magtkd_rt.labels import LABELS

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

CONTRASTS = """() => {
  const parse = (text) => (text.match(/[0-9.]+/g) ?? []).map(Number);
  const lit = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * lit(r) + 0.7152 * lit(g) + 0.0722 * lit(b);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
      if (a > 0.99) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    if (element.closest("svg, option, [disabled], .sr-only, .skip, noscript")) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([ratio, element.className || element.tagName, walk.currentNode.textContent.trim()]);
  }
  return found;
}"""

NAMES = """() => {
  const used = "a[href], button, input, select, [tabindex='0'], dialog, img, video, [role]";
  return [...document.querySelectorAll(used)].filter((e) => {
    if (!e.checkVisibility() || ["alert", "status"].includes(e.role)) return false;
    const named = e.getAttribute("aria-label") || e.labels?.length || e.textContent.trim()
      || e.alt === "" || document.getElementById(e.getAttribute("aria-labelledby"));
    return !named;
  }).map((e) => e.outerHTML);
}"""
GROUND = "getComputedStyle(document.body).backgroundColor"
FOCUSED = """() => {
  const e = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(e);
  const outlined = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
  if (e === document.body) return ["page", true]; // once round
  return [e.id || e.className || e.tagName, outlined];
}"""
STICKING_OUT = """() => [...document.querySelectorAll("body *")]
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
  .filter((e) => !e.closest(".sr-only, .skip, svg, select"))
  .map((e) => e.className || e.tagName)"""


def talked() -> list[wire.Event]:
    talk = Talk()
    events: list[wire.Event] = [talk.started()]
    for _ in range(6):
        events += talk.utterance()
    events += [talk.emotion("u6", "anger", "so it goes", "revised", confidence=0.35)]
    events += [talk.speech("u8"), talk.dropped("u8")]
    events += [talk.status("careful", level="warning"), talk.status("broken", level="error")]
    events += [talk.speech("u9"), talk.words("u9", "and then")]
    return [*events, talk.emotion("u9", "joy", "and then", "provisional", confidence=0.6)]


async def drawn(visited: Visit) -> None:
    await visited.page.wait_for_selector("#utterances li.is-speaking")
    await visited.page.wait_for_selector("#chart .js-plotly-plot")
    await visited.page.wait_for_timeout(200)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_stands_out_from_its_ground(browser: Browser, scheme: Any) -> None:
    async with (
        serving(talked()) as (_, port),
        visit(browser, port, color_scheme=scheme, reduced_motion="reduce") as visited,
    ):
        await drawn(visited)
        found = await visited.page.evaluate(CONTRASTS)
        assert len(found) > 80
        assert [text for text in found if text[0] < 4.5] == []
        ground = await visited.page.evaluate(GROUND)
        assert (ground == "rgb(243, 245, 248)") == (scheme == "light")
        await visited.page.locator("#theme").click()

        async def stands_out() -> bool:  # the chart follows the theme a little later
            return min(text[0] for text in await visited.page.evaluate(CONTRASTS)) >= 4.5

        await until(stands_out, "every text to stand out in the other theme")
        assert ground != await visited.page.evaluate(GROUND)
        await visited.page.reload()
        assert ground != await visited.page.evaluate(GROUND)


async def test_no_emotion_is_told_by_colour_alone(browser: Browser) -> None:
    async with serving(talked()) as (_, port), visit(browser, port) as visited:
        await drawn(visited)
        shapes = await visited.page.locator("#bars .shape path").evaluate_all(
            "all => all.map(e => e.getAttribute('d'))"
        )
        assert len(set(shapes)) == len(LABELS)
        names = await visited.page.locator("#bars .name").all_inner_texts()
        assert [name.strip() for name in names] == list(LABELS)
        for badge in await visited.page.locator("#utterances .badge:not(.none)").all_inner_texts():
            assert any(label in badge for label in LABELS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_colours_of_emotions_stand_out_and_stay_apart(browser: Browser, scheme: Any) -> None:
    async with serving() as (_, port), visit(browser, port, color_scheme=scheme) as visited:
        rules = """(labels) => [...labels, "surface"].map((name) => {
          document.body.style.color = `var(--${name})`;
          return getComputedStyle(document.body).color.match(/[0-9]+/g).map(Number);
        })"""
        *colours, surface = await visited.page.evaluate(rules, list(LABELS))
        for label, colour in zip(LABELS, colours, strict=True):
            assert contrast(colour, surface) >= 3, label
        # Shape and name tell them apart; full sight at least sees seven colours.
        for (a, one), (b, other) in combinations(zip(LABELS, colours, strict=True), 2):
            assert sum(abs(x - y) for x, y in zip(one, other, strict=True)) > 60, (a, b)


def contrast(one: list[int], other: list[int]) -> float:
    def light(colour: list[int]) -> float:
        parts = [v / 255 for v in colour]
        lit = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * lit[0] + 0.7152 * lit[1] + 0.0722 * lit[2] + 0.05

    return max(light(one), light(other)) / min(light(one), light(other))


async def test_everything_that_can_be_used_has_a_name_and_can_be_reached(browser: Browser) -> None:
    async with serving(talked()) as (_, port), visit(browser, port) as visited:
        page = visited.page
        await drawn(visited)
        assert await page.evaluate(NAMES) == []
        ids = "() => [...document.querySelectorAll('[id]')].map(e => e.id)"
        assert len(set(all_ids := await page.evaluate(ids))) == len(all_ids)
        assert await page.locator("html").get_attribute("lang") == "en"
        for landmark in ("header.top", "main", "aside[aria-label]"):
            assert await page.locator(landmark).count() == 1
        assert await page.locator("[aria-live]").count() == 1, "final results only are read out"
        reached = []
        for _ in range(40):
            await page.keyboard.press("Tab")
            reached.append(await page.evaluate(FOCUSED))
        seen = [name for name, _ in reached]
        for wanted in ("skip", "sessions", "theme", "chart", "scroller", "badge"):
            assert wanted in seen, (wanted, seen)
        assert [name for name, outlined in reached if not outlined] == []


async def test_the_arrow_keys_walk_through_the_conversation(browser: Browser) -> None:
    async with serving(talked()) as (_, port), visit(browser, port) as visited:
        page = visited.page
        await drawn(visited)
        await page.locator('li[data-id="u3"] button').focus()
        await page.keyboard.press("ArrowDown")
        at = "document.activeElement.closest('li')?.dataset.id"
        assert await page.evaluate(at) == "u4"
        await page.keyboard.press("ArrowUp")
        await page.keyboard.press("Enter")
        assert "Chosen" in await page.locator("#now-title").inner_text()
        assert await page.evaluate(at) == "u3", "the focus stays where it was"
        assert await page.locator('li[data-id="u3"] button').get_attribute("aria-pressed") == "true"


async def test_on_a_phone_nothing_sticks_out(browser: Browser) -> None:
    for width in (320, 390, 768):
        async with (
            serving(talked()) as (_, port),
            visit(browser, port, viewport={"width": width, "height": 740}) as visited,
        ):
            await drawn(visited)
            assert await visited.page.evaluate(STICKING_OUT) == []
            heights = "all => all.map(e => Math.round(e.getBoundingClientRect().height))"
            assert set(await visited.page.locator("#lanes li").evaluate_all(heights)) <= {27, 28}
            assert await visited.page.evaluate("document.documentElement.scrollWidth") <= width


async def test_the_overlay_lets_through_what_is_below(browser: Browser) -> None:
    async with serving(talked()) as (_, port), visit(browser, port, "/?overlay=1") as visited:
        page = visited.page
        await page.wait_for_selector(".overlay-lines .line")
        devtools = await page.context.new_cdp_session(page)
        clear = {"color": {"r": 0, "g": 0, "b": 0, "a": 0}}
        await devtools.send("Emulation.setDefaultBackgroundColorOverride", clear)
        shot = await page.screenshot(omit_background=True)
        picture = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_UNCHANGED)
        assert picture is not None
        alpha = picture[:, :, 3]
        assert (alpha[: alpha.shape[0] // 2] == 0).all(), "the upper half is clear"
        assert 0.01 < (alpha > 0).mean() < 0.3
        assert not await page.locator("header.top").is_visible()
        lines = await page.locator(".line").all_inner_texts()
        assert len(lines) == 2 and "joy?" in lines[1] and "and then" in lines[1]
        assert not any("plotly" in url for url in visited.asked)
        assert visited.wrong == []


async def test_the_overlay_goes_away_in_silence(browser: Browser) -> None:
    async with (
        serving(talked()) as (_, port),
        visit(browser, port, "/?overlay=1", reduced_motion="reduce") as visited,
    ):
        await visited.page.wait_for_selector(".overlay-lines:not(.is-quiet) .line")

        async def quiet() -> bool:
            opacity = "e => getComputedStyle(e).opacity"
            return bool(await visited.page.locator(".overlay-lines").evaluate(opacity) == "0")

        await until(quiet, "the overlay is empty", seconds=12)


async def test_the_capture_page_can_be_read_and_reached_too(browser: Browser) -> None:
    phone = {"width": 320, "height": 700}
    for scheme in ("light", "dark"):
        async with (
            serving() as (_, port),
            visit(browser, port, "/capture", color_scheme=scheme, viewport=phone) as visited,
        ):
            page = visited.page
            await page.locator("#agree").check()  # what is disabled may be faint
            assert await page.evaluate(NAMES) == []
            assert [text for text in await page.evaluate(CONTRASTS) if text[0] < 4.5] == []
            assert await page.evaluate(STICKING_OUT) == []
            reached = []
            for _ in range(12):
                await page.keyboard.press("Tab")
                reached.append(await page.evaluate(FOCUSED))
            assert {"theme", "open"} <= {name for name, _ in reached}
            assert [name for name, outlined in reached if not outlined] == []
            assert visited.wrong == []
