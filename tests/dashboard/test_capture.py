"""The capture page: nothing before consent, clear words where it fails, and the real thing."""

from __future__ import annotations

import json
import shutil
import subprocess
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import pytest
from browser import Visit, chromium, serving, until, visit
from playwright.async_api import Browser, Page
from websockets.asyncio.server import ServerConnection
from y4m import write_y4m

from magtkd_rt import wire
from magtkd_rt.config import ModelConfig
from magtkd_rt.labels import LABELS
from magtkd_rt.runtime.host import SessionHost
from magtkd_rt.runtime.models import Models, load_models
from magtkd_rt.server import EventServer, Hub
from magtkd_rt.server.access import rules
from magtkd_rt.server.gate import Access
from magtkd_rt.server.ingest import IngestEndpoint
from magtkd_rt.server.tls import open_tls
from magtkd_rt.server.tokens import Tokens, parse_token

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

FAKES = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
COUNT_OPENED = """
window.opened = 0;
const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = (wanted) => { window.opened += 1; return real(wanted); };
"""


READY = wire.Ready(
    session_id="s1",
    resume_token="r" * 20,
    limits=wire.IngestLimits(
        max_message_bytes=1 << 20, ahead_seconds=5, pictures_per_second=5, resume_seconds=10
    ),
)


class Sink:
    """Takes media as `/v1/ingest` does, and keeps what came."""

    def __init__(self, *, cuts_off: int = 0) -> None:
        self.cuts_off = cuts_off
        """Messages after which the first connection is lost."""
        self.hello: dict[str, Any] = {}
        self.sound: list[tuple[int, bytes]] = []
        self.pictures: list[tuple[int, bytes]] = []
        self.ended = False

    async def __call__(self, connection: ServerConnection) -> None:
        connection.protocol.max_message_size = 1 << 20
        self.hello = json.loads(await connection.recv())
        await connection.send(wire.dump_message(READY))
        async for message in connection:
            if isinstance(message, str):
                self.ended = json.loads(message) == {"type": "end"}
                return
            kind, stamp = wire.MEDIA_HEADER.unpack_from(message)
            into = self.sound if kind == wire.SOUND else self.pictures
            into.append((stamp, message[wire.MEDIA_HEADER.size :]))
            if self.cuts_off and len(self.sound) >= self.cuts_off:
                self.cuts_off = 0
                connection.transport.abort()


@pytest.fixture(scope="module")
async def beeping(anyio_backend: str) -> AsyncIterator[Browser]:
    """A Chromium whose microphone beeps and whose camera shows a test picture."""
    async with chromium(*FAKES) as opened:
        yield opened


async def trouble(visited: Visit, text: str) -> None:
    place = visited.page.locator("#trouble")

    async def told() -> bool:
        return await place.is_visible() and text in await place.inner_text()

    await until(told, f"{text!r} is told")


async def open_devices(page: Page) -> None:
    await page.locator("#agree").check()
    await page.locator("#open").click()


async def test_nothing_is_opened_or_sent_before_consent(beeping: Browser) -> None:
    sink = Sink()
    async with serving(ingest=sink) as (_, port), visit(beeping, port, "/capture") as visited:
        page = visited.page
        await page.add_init_script(COUNT_OPENED)
        await page.reload()
        assert await page.locator("#open").is_disabled()
        assert "expression, not inner state" in await page.locator(".setup").inner_text()
        await page.locator("#open").click(force=True)
        await page.wait_for_timeout(300)
        assert await page.evaluate("window.opened") == 0
        await open_devices(page)
        await page.wait_for_selector("#begin:visible")
        await page.wait_for_timeout(500)
        assert await page.evaluate("window.opened") == 1
        assert not any("ws" in url.split(":")[0] for url in visited.asked), "seen here, not sent"
        assert not await page.locator("#rec").is_visible()
        await page.locator("#agree").uncheck()
        assert await page.evaluate("document.getElementById('preview').srcObject") is None
        assert visited.wrong == []


async def test_sound_and_pictures_arrive_as_announced(beeping: Browser) -> None:
    sink = Sink()
    async with serving(ingest=sink) as (_, port), visit(beeping, port, "/capture") as visited:
        page = visited.page
        await page.locator('input[name="speaker"]').fill("Ada")
        await open_devices(page)
        await page.locator("#begin").click()
        await page.wait_for_selector("#rec:visible")
        assert await page.title() == "● REC · magtkd"
        assert f"go to 127.0.0.1:{port}" in await page.locator("#rec").inner_text()

        async def enough() -> bool:
            return len(sink.sound) > 75 and len(sink.pictures) > 8

        await until(enough, "three seconds of sound, and pictures")
        await page.locator("#mute").click()
        await page.locator("#pause").click()
        await page.wait_for_timeout(400)
        before, seen = len(sink.sound), len(sink.pictures)
        await page.wait_for_timeout(1000)
        silent = b"".join(sound for _, sound in sink.sound[before + 2 :])
        assert len(silent) > 16000 and set(silent) == {0}, "while muted silence is sent"
        assert len(sink.pictures) == seen
        await page.locator("#stop").click()
        await page.wait_for_selector("#open:visible")
        assert await page.locator("#open").is_disabled(), "who is there is asked again"
        assert not await page.locator("#rec").is_visible()
        assert await page.evaluate("document.getElementById('preview').srcObject") is None
        assert visited.wrong == []
    assert sink.ended
    assert sink.hello["speaker"] == "Ada" and sink.hello["subscribe"] is True
    rate = sink.hello["audio"]["sample_rate"]
    assert sink.hello["audio"]["encoding"] == "pcm_s16le" and rate == 16000
    heard = b"".join(sound for _, sound in sink.sound[:75])
    assert max(heard[1::2]) > 0, "the beeps are in it"
    stamps = [stamp for stamp, _ in sink.sound]
    samples = sum(len(sound) // 2 for _, sound in sink.sound[:-1])
    assert stamps == sorted(stamps)
    span = (stamps[-1] - stamps[0]) / 1e6
    assert span == pytest.approx(samples / rate, abs=0.15), "the stamps go with the sound"
    assert all(jpeg[:2] == b"\xff\xd8" and jpeg[-2:] == b"\xff\xd9" for _, jpeg in sink.pictures)
    gaps = (sink.pictures[-1][0] - sink.pictures[0][0]) / 1e6 / (len(sink.pictures) - 1)
    assert gaps >= 0.19, "no more pictures than the server wants"


async def test_a_lost_connection_is_taken_up_and_a_fault_ends_it_with_words(
    beeping: Browser,
) -> None:
    sink = Sink(cuts_off=20)
    async with serving(ingest=sink) as (_, port), visit(beeping, port, "/capture") as visited:
        page = visited.page
        await open_devices(page)
        await page.locator("#begin").click()

        async def resumed() -> bool:
            return "resume_token" in sink.hello and len(sink.sound) > 60

        await until(resumed, "it comes back and sends on")
        assert await page.locator("#rec").is_visible()
        assert await page.locator("#status").inner_text() == "sending"

    async def strict(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(wire.dump_message(READY))
        fault = wire.Error(code="too_fast", message="too much at once; send in real time")
        await connection.send(wire.dump_message(fault))
        await connection.close(1008, "too_fast")

    async with serving(ingest=strict) as (_, port), visit(beeping, port, "/capture") as visited:
        await open_devices(visited.page)
        await visited.page.locator("#begin").click()
        await trouble(visited, "too much at once")
        await visited.page.wait_for_selector("#rec", state="hidden")
        assert await visited.page.evaluate("document.getElementById('preview').srcObject") is None


async def test_without_permission_it_says_what_to_do() -> None:
    async with (
        chromium(FAKES[0]) as browser,
        serving(ingest=Sink()) as (_, port),
        visit(browser, port, "/capture") as visited,
    ):
        await open_devices(visited.page)
        await trouble(visited, "was not allowed to open")
        assert await visited.page.locator("#open").is_visible()


async def test_without_a_microphone_it_says_so(browser: Browser) -> None:
    async with (
        serving(ingest=Sink()) as (_, port),
        visit(browser, port, "/capture", permissions=["microphone", "camera"]) as visited,
    ):
        await open_devices(visited.page)
        await trouble(visited, "No microphone was found")


async def test_a_page_over_http_from_elsewhere_says_why_browsers_open_nothing() -> None:
    access = Access(rules=rules(allowed_hosts=["meeting.test"]))
    async with (
        chromium(*FAKES, "--host-resolver-rules=MAP meeting.test 127.0.0.1") as browser,
        serving(ingest=Sink(), access=access) as (_, port),
        visit(browser, port, "/capture", host="meeting.test") as visited,
    ):
        await open_devices(visited.page)
        await trouble(visited, "only for pages of this machine (localhost) or over https")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
async def test_over_https_it_works_from_elsewhere(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert", tmp_path / "key"
    made = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=meeting.test",
    ]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run(["openssl", *made, *files], check=True, capture_output=True)
    sink, access = Sink(), Access(rules=rules(allowed_hosts=["meeting.test"]))
    elsewhere: dict[str, Any] = {
        "host": "meeting.test",
        "scheme": "https",
        "ignore_https_errors": True,
    }
    async with (
        chromium(*FAKES, "--host-resolver-rules=MAP meeting.test 127.0.0.1") as browser,
        serving(ingest=sink, access=access, tls=open_tls(cert, key)) as (_, port),
        visit(browser, port, "/capture", **elsewhere) as visited,
    ):
        await open_devices(visited.page)
        await visited.page.locator("#begin").click()

        async def heard() -> bool:
            return len(sink.sound) > 10 and len(sink.pictures) > 1

        await until(heard, "sound and pictures arrive")
        assert visited.wrong == []
        assert visited.strangers == []
        assert any(url.startswith("wss://meeting.test") for url in visited.asked)


async def test_what_a_server_refuses_is_told(beeping: Browser) -> None:
    async def full(connection: ServerConnection) -> None:
        await connection.recv()
        busy = wire.Error(code="overload", message="8 conversations are going on; try again later")
        await connection.send(wire.dump_message(busy))
        await connection.close(1013, "overload")

    async with serving(ingest=full) as (_, port), visit(beeping, port, "/capture") as visited:
        await open_devices(visited.page)
        await visited.page.locator("#begin").click()
        await trouble(visited, "8 conversations are going on")
        assert not await visited.page.locator("#rec").is_visible()
    async with serving() as (_, port), visit(beeping, port, "/capture") as visited:
        await open_devices(visited.page)
        await visited.page.locator("#begin").click()
        await trouble(visited, "magtkd serve")
    access = Access(tokens=Tokens([parse_token("publish:sesame-0123456789")]))
    sink = Sink()
    async with (
        serving(ingest=sink, access=access) as (_, port),
        visit(beeping, port, "/capture") as visited,
    ):
        await open_devices(visited.page)
        await visited.page.locator("#begin").click()
        await trouble(visited, "wants a token")
        await visited.page.locator('input[name="token"]').fill("sesame-0123456789")
        await visited.page.locator("#begin").click()
        await visited.page.wait_for_selector("#rec:visible")


@asynccontextmanager
async def head(recording: Path, folder: Path) -> AsyncIterator[Browser]:
    """A Chromium whose microphone and camera play a recording."""
    picture = write_y4m(recording, folder / "camera.y4m")
    sound = folder / "microphone.wav"
    with av.open(str(recording)) as container, wave.open(str(sound), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(48_000)
        out.writeframes(bytes(2 * 48_000 * 2))
        resampler = av.AudioResampler("s16", "mono", 48_000)
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                out.writeframes(piece.to_ndarray().tobytes())
        out.writeframes(bytes(2 * 48_000 * 60))
    devices = (
        f"--use-file-for-fake-audio-capture={sound}%noloop",
        f"--use-file-for-fake-video-capture={picture}",
    )
    async with chromium(*FAKES, *devices) as browser:
        yield browser


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    models = load_models(ModelConfig(asr="pocketsphinx", threads=2))
    yield models
    models.close()


@pytest.mark.slow
async def test_a_browser_is_heard_and_seen_and_a_dashboard_shows_it(
    shared: Path, models: Models, tmp_path: Path
) -> None:
    """A face and its voice, from a browser's devices through the starter bundle to another page."""
    hub = Hub()
    events: list[wire.Event] = []
    hub.watchers.append(events.append)
    recording = shared / "media/video/talking_head_1.mp4"
    endpoint = IngestEndpoint(hub, SessionHost(models, hub.publish))
    async with (
        head(recording, tmp_path) as browser,
        EventServer(hub, port=0, ingest=endpoint) as server,
        endpoint,
        visit(browser, server.port) as watching,
        visit(browser, server.port, "/capture") as sending,
    ):
        await open_devices(sending.page)
        await sending.page.locator("#begin").click()
        await sending.page.wait_for_selector("#rec:visible")
        told = watching.page.locator("#utterances")

        rows = told.locator("li:not(.is-speaking)").filter(has=watching.page.locator(".badge"))

        async def final() -> bool:
            return await rows.count() > 0

        await until(final, "a final result on the dashboard", seconds=60)
        row = rows.first
        await row.locator("button").click()
        took_part = watching.page.locator("#parts .part:not(.is-absent) .name")
        in_time = not any(isinstance(e, wire.Status) and e.code == "giving_way" for e in events)
        if in_time:  # a machine with other work may leave pictures out
            assert {"● Voice", "● Face"} <= set(await took_part.all_inner_texts())
        shown = [label for label in LABELS if label in await row.locator(".badge").inner_text()]
        assert len(shown) == 1
        assert shown[0] in await sending.page.locator("#utterances").inner_text()
        await sending.page.locator("#stop").click()
        await sending.page.wait_for_selector("#open:visible")

        async def ended() -> bool:
            return await watching.page.locator("#connection").get_attribute("data-state") == "ended"

        await until(ended, "the dashboard knows that it is over")
        assert sending.wrong == watching.wrong == []
        assert sending.strangers == watching.strangers == []
    assert not {name for name in hub.counters if name.startswith("ingest_")} - {"ingest_sessions"}
