"""The dashboard stays small and quick however long the talk is."""

from __future__ import annotations

import asyncio
import statistics
from typing import Any

import pytest
from browser import Visit, serving, until, visit
from playwright.async_api import Browser
from talk import Talk

from magtkd_rt.server import Hub

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

ROWS = 120
"""Rows in the page."""
KEPT = 2000
"""Utterances kept whole."""
MEASURE = """
window.took = { event: [], frame: [], chart: [] };
const timed = (name, work) => (...given) => {
  const begun = performance.now();
  try { return work(...given); } finally {
    took[name].push(performance.now() - begun);
  }
};
const [frame, idle] = [requestAnimationFrame, requestIdleCallback];
window.requestAnimationFrame = (work) => frame(timed("frame", work));
window.requestIdleCallback = (work) => idle(timed("chart", work));
addEventListener("load", async () => {
  const { Board } = await import("/dashboard/board.js");
  const take = Board.prototype.take;
  Board.prototype.take = function (event) {
    return timed("event", () => take.call(this, event))();
  };
});
"""


async def feed(hub: Hub, talk: Talk, seconds: float) -> int:
    """Publish so many seconds of talk as fast as the page takes them; returns how many events."""
    count = 0
    while talk.t < seconds:
        for _ in range(10):
            for event in talk.utterance():
                hub.publish(event)
                count += 1
        await asyncio.sleep(0.03)
        while any(one._queue for one in hub._subscribers[talk.session_id]):
            await asyncio.sleep(0.01)
    return count


async def heap_megabytes(visited: Visit) -> float:
    """The tab's heap before anything is collected."""
    devtools = await visited.page.context.new_cdp_session(visited.page)
    await devtools.send("Performance.enable")
    told = await devtools.send("Performance.getMetrics")
    return float(next(m["value"] for m in told["metrics"] if m["name"] == "JSHeapUsedSize")) / 1e6


async def watch(browser: Browser, seconds: float, pace: float) -> dict[str, Any]:
    """Feed the page, then talk on at the pace of talk; what was measured."""
    talk = Talk(seconds=2.0)  # three and a half events a second
    async with serving([talk.started()]) as (hub, port), visit(browser, port) as visited:
        page = visited.page
        await page.add_init_script(MEASURE)
        await page.reload()
        await page.wait_for_selector("#chart .js-plotly-plot")
        events = await feed(hub, talk, seconds)

        async def all_shown() -> bool:
            return f"{talk.said}, of which" in await page.locator("#facts").inner_text()

        await until(all_shown, "every result was counted", seconds=60)
        heap = await heap_megabytes(visited)
        assert await page.locator("#utterances li").count() == ROWS
        said = talk.said
        folded = await page.locator("#folded").inner_text()
        await page.locator('#spans button[data-seconds=""]').click()
        await page.wait_for_timeout(1500)
        await page.evaluate("took.event.length = took.frame.length = took.chart.length = 0")
        end = asyncio.get_running_loop().time() + pace
        while asyncio.get_running_loop().time() < end:
            for event in talk.utterance():
                hub.publish(event)
                await asyncio.sleep(talk.seconds / 7)
        took = {
            name: {"p50": statistics.median(ms), "worst": max(ms), "times": len(ms)}
            for name, ms in (await page.evaluate("took")).items()
        }
        assert visited.wrong == []
        return {"events": events, "said": said, "heap": heap, "folded": folded, "took": took}


async def test_half_an_hour(browser: Browser) -> None:
    seen = await watch(browser, 1800, pace=4)
    assert seen["heap"] < 100
    assert f"{seen['said'] - ROWS} earlier utterances" in seen["folded"]
    assert 0 < seen["took"]["event"]["worst"] < 50


@pytest.mark.soak
async def test_four_hours(browser: Browser) -> None:
    seen = await watch(browser, 4 * 3600, pace=60)
    print(seen)
    assert seen["events"] > 50_000
    assert seen["heap"] < 200
    assert f"{seen['said'] - KEPT:,} before them are in the timeline only" in seen["folded"]
    assert 0 < seen["took"]["event"]["worst"] < 50
    assert seen["took"]["frame"]["worst"] < 50  # all that was heard since the last one, every 0.1 s
