"""The report in a real browser."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, TELL_VIOLATIONS, chromium
from journals import session, utterance
from playwright.async_api import Browser

from magtkd_rt.clients.export import FORMATS, Session
from magtkd_rt.labels import LABELS

HOSTILE = '<img src="http://example.org/x.png" onerror="alert(1)"><script>alert(2)</script>'

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The browser outlives a test, and so does its event loop."""
    if CHROMIUM is None:
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse("chromium not found; on Debian or Ubuntu: sudo apt-get install chromium")
    return "asyncio"


@pytest.fixture(scope="module")
async def browser(anyio_backend: str) -> AsyncIterator[Browser]:
    async with chromium() as opened:
        yield opened


def _talk() -> Session:
    texts = ["so it goes", HOSTILE, "", "w" * 300]
    return session(
        *(
            utterance(
                at * 4,
                at * 4 + 3,
                text=texts[at % 4],
                speaker=("Anna", "S2", HOSTILE)[at % 3],
                label=LABELS[at % 7],
                abstained=at % 5 == 0,
            )
            for at in range(100)
        ),
        ended=None,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_it_shows_everything_and_asks_nobody(
    browser: Browser, tmp_path: Path, scheme: Any, width: int
) -> None:
    path = tmp_path / "talk.html"
    path.write_text("".join(FORMATS["html"](_talk())), encoding="utf-8")
    wrong: list[str] = []
    asked: list[str] = []
    profile = await browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}
    )
    page = await profile.new_page()
    await page.add_init_script(TELL_VIOLATIONS)
    page.on("console", lambda message: wrong.append(message.text))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(path.as_uri())

    assert asked == [path.as_uri()]
    assert wrong == []
    assert await page.locator("tr[id] .words").nth(1).text_content() == HOSTILE
    assert await page.locator("tr[id]").count() == 100
    wide = await page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, "nothing sticks out"
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(252, 252, 250)", "dark": "rgb(22, 22, 23)"}[scheme]

    await page.locator('a[href="#u3"]').click()
    assert await page.locator("tr:target").get_attribute("id") == "u3"
    await page.locator("summary").first.click()
    assert "Anna" in await page.locator("details[open] table").inner_text()
    await profile.close()


def _light(colour: str) -> float:
    """Relative luminance, as the W3C's guidelines for accessibility define it."""
    if len(colour) == 4:
        colour = "#" + "".join(2 * digit for digit in colour[1:])
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    lit = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * lit[0] + 0.7152 * lit[1] + 0.0722 * lit[2]


@pytest.mark.parametrize("scheme", range(3), ids=["light", "dark", "print"])
async def test_every_text_stands_out_from_its_ground(scheme: int) -> None:
    style = resources.files("magtkd_rt.clients.export").joinpath("report.css").read_text("utf-8")
    block = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", block))
    for ground in ("paper", "warn"):
        for ink in ("ink", "soft", "link"):
            lights = sorted((_light(colours[ground]), _light(colours[ink])))
            assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 4.5, (ground, ink)
