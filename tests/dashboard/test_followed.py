"""The way to the server: lost and found again, other sessions, tokens."""

from __future__ import annotations

import asyncio

import pytest
from browser import serving, until, visit
from playwright.async_api import Browser, Page
from talk import Talk

from magtkd_rt.server import Limits
from magtkd_rt.server.gate import Access
from magtkd_rt.server.tokens import Tokens, parse_token

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


async def rows(page: Page) -> list[str]:
    ids = await page.locator("#utterances li").evaluate_all("all => all.map(e => e.dataset.id)")
    return list(ids)


async def until_rows(page: Page, *ids: str) -> None:
    async def holds() -> bool:
        return await rows(page) == list(ids)

    await until(holds, f"rows {ids}, found {await rows(page)}")


async def until_state(page: Page, state: str) -> None:
    async def holds() -> bool:
        return await page.locator("#connection").get_attribute("data-state") == state

    await until(holds, f"state {state}")


async def test_a_server_that_was_killed_and_comes_back_with_the_same_session(
    browser: Browser,
) -> None:
    talk = Talk()
    first = [talk.started(), *talk.utterance(), *talk.utterance()]
    async with serving(first) as (_, port):
        pass  # the port is free again
    missed = list(talk.utterance())
    later = list(talk.utterance())
    async with serving(first, port) as (_, _):
        opened = visit(browser, port)
        visited = await opened.__aenter__()
        page = visited.page
        await until_rows(page, "u1", "u2")
    try:
        await until_state(page, "lost")
        assert await page.locator("#trouble").is_visible()
        async with serving([*first, *missed], port) as (hub, _):
            await until_rows(page, "u1", "u2", "u3")
            await until_state(page, "live")
            for event in later:
                hub.publish(event)
            await until_rows(page, "u1", "u2", "u3", "u4")
            resumed = [url for url in visited.asked if "since=" in url and "since=0" not in url]
            assert resumed and all("session=talk-1" in url for url in resumed)
    finally:
        await opened.__aexit__(None, None, None)


async def test_a_server_that_comes_back_with_another_session(browser: Browser) -> None:
    old, new = Talk("talk-old"), Talk("talk-new")
    async with serving([old.started(), *old.utterance(), *old.utterance()]) as (_, port):
        opened = visit(browser, port)
        page = (await opened.__aenter__()).page
        await until_rows(page, "u1", "u2")
    try:
        async with serving([new.started(), *new.utterance()], port):
            await until_rows(page, "u1")
            assert "talk-new" in await page.locator("#facts").inner_text()
    finally:
        await opened.__aexit__(None, None, None)


async def test_after_one_session_comes_the_next(browser: Browser) -> None:
    first, second = Talk("talk-1"), Talk("talk-2")
    events = [first.started(), *first.utterance(), first.ended()]
    async with serving(events) as (hub, port), visit(browser, port) as visited:
        page = visited.page
        await until_state(page, "ended")
        await asyncio.sleep(2.5)
        assert await rows(page) == ["u1"], "what was said stays until somebody else speaks"
        for event in (second.started(), *second.utterance(), *second.utterance()):
            hub.publish(event)
        await until_rows(page, "u1", "u2")
        assert "talk-2" in await page.locator("#facts").inner_text()


async def test_one_of_several_sessions_is_picked(browser: Browser) -> None:
    one, two = Talk("talk-1"), Talk("talk-2")
    events = [one.started(), *one.utterance(), *one.utterance(), two.started(), *two.utterance()]
    async with serving(events) as (hub, port), visit(browser, port) as visited:
        page = visited.page
        await until_rows(page, "u1")
        await page.wait_for_selector('#sessions option[value="talk-1"]', state="attached")
        await page.select_option("#sessions", "talk-1")
        await until_rows(page, "u1", "u2")
        for event in (*two.utterance(), *one.utterance()):
            hub.publish(event)
        await until_rows(page, "u1", "u2", "u3")
        async with visit(browser, port, "/?session=talk-9") as lost:
            await until_state(lost.page, "unknown")
            assert "talk-9" in await lost.page.locator("#trouble").inner_text()
            await lost.page.locator("#give-token").click()
            await lost.page.locator("#ask input[name=session]").fill("talk-1")
            await lost.page.keyboard.press("Enter")
            await until_rows(lost.page, "u1", "u2", "u3")


async def test_before_any_session(browser: Browser) -> None:
    talk = Talk()
    async with serving() as (hub, port), visit(browser, port) as visited:
        await until_state(visited.page, "waiting")
        assert "Nobody has spoken yet" in await visited.page.locator("#empty").inner_text()
        assert not await visited.page.locator("#trouble").is_visible()
        for event in (talk.started(), *talk.utterance()):
            hub.publish(event)
        await until_rows(visited.page, "u1")
        assert visited.wrong == []


async def test_what_had_left_the_ring_comes_as_a_snapshot(browser: Browser) -> None:
    talk = Talk(drafts=0)
    short = Limits(ring_events=20, recent_utterances=30)
    events = [talk.started(), *(event for _ in range(70) for event in talk.utterance())]
    async with (
        serving([*events, talk.speech("u71")], ring=short) as (hub, port),
        visit(browser, port) as visited,
    ):
        await until_rows(visited.page, *(f"u{n}" for n in range(41, 72)))
        assert "kitchen.mp4" in await visited.page.locator("#title").inner_text()
        hub.publish(talk.dropped("u71"))
        await visited.page.wait_for_selector("#utterances .is-dropped")
        assert visited.wrong == []


async def test_a_token_in_the_address_leaves_it(browser: Browser) -> None:
    async with (
        serving([Talk().started()]) as (_, port),
        visit(browser, port, "/?overlay=0#token=sesame") as visited,
    ):
        page = visited.page
        await until_state(page, "live")
        assert "sesame" not in await page.evaluate("location.href")
        kept = "[sessionStorage.getItem('magtkd-token'), localStorage.getItem('magtkd-token')]"
        assert await page.evaluate(kept) == ["sesame", None]
        assert not any("sesame" in url for url in visited.asked)


async def test_a_server_that_wants_a_token(browser: Browser) -> None:
    talk = Talk()
    secret, other = "sesame-0123456789abcdef", "barley-0123456789abcdef"
    access = Access(tokens=Tokens([parse_token(f"observe:{secret}")]))
    async with serving([talk.started(), *talk.utterance()], access=access) as (hub, port):
        async with visit(browser, port) as visited:
            page = visited.page
            await until_state(page, "refused")
            assert "wants a token" in await page.locator("#trouble").inner_text()
            for given, state in ((other, "refused"), (secret, "live")):
                await page.locator("#give-token").click()
                await page.keyboard.press("Control+A")  # the token's field has the focus
                await page.keyboard.type(given)
                await page.keyboard.press("Enter")
                await until_state(page, state)
            await until_rows(page, "u1")
            await page.reload()
            await until_rows(page, "u1")
            assert not any("0123456789" in url for url in visited.asked)
            assert hub.counters["refused_token"] <= 4
        async with visit(browser, port, f"/#token={secret}") as invited:
            await until_rows(invited.page, "u1")
