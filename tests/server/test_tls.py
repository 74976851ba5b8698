"""TLS with certificates made on the spot."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from magtkd_rt import wire
from magtkd_rt.clients import subscribe
from magtkd_rt.config import ServerConfig
from magtkd_rt.errors import ServerError
from magtkd_rt.server import EventServer, Hub
from magtkd_rt.server import app as app_module
from magtkd_rt.server.build import server_from
from magtkd_rt.server.tls import open_tls

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes them")

Pair = tuple[Path, Path]


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def make_pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pair]:
    """A certificate for localhost and its key."""

    def make(days: int = 30) -> Pair:
        folder = tmp_path_factory.mktemp("tls")
        cert, key, request, names = (folder / n for n in ("cert", "key", "request", "names"))
        names.write_text("subjectAltName=DNS:localhost,DNS:box.lan,IP:127.0.0.1")
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        openssl("req", *curve, "-keyout", key, "-out", request, "-subj", "/CN=localhost")
        signed = ("-signkey", key, "-extfile", names, "-days", days)
        openssl("x509", "-req", "-in", request, *signed, "-out", cert)
        return cert, key

    return make


@pytest.fixture(scope="module")
def pair(make_pair: Callable[..., Pair]) -> Pair:
    return make_pair()


def test_both_or_none(pair: Pair) -> None:
    assert open_tls(None, None) is None
    with pytest.raises(ServerError, match="give --tls-key FILE too"):
        open_tls(pair[0], None)
    with pytest.raises(ServerError, match="give --tls-cert FILE too"):
        open_tls(None, pair[1])


def test_the_certificate_says_how_the_server_is_called(pair: Pair) -> None:
    tls = open_tls(*pair)
    assert tls is not None
    assert tls.names == ("localhost", "box.lan")


def test_what_cannot_be_used_is_named_with_the_remedy(
    make_pair: Callable[..., Pair], pair: Pair, tmp_path: Path
) -> None:
    cert, key = pair
    junk = tmp_path / "junk"
    junk.write_bytes(b"\x00\xff junk")
    locked = tmp_path / "locked"
    openssl("pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", locked)
    for given, says in {
        (tmp_path / "none", key): "none cannot be read .* give --tls-cert a PEM file",
        (cert, tmp_path): "cannot be read .* give --tls-key a PEM file",
        (junk, key): "are no certificate and key.*BEGIN CERTIFICATE",
        (cert, junk): "are no certificate and key",
        (key, cert): "are no certificate and key",
        (cert, locked): "asks for a password; .* openssl pkey",
        (cert, make_pair()[1]): "does not belong to the certificate",
        make_pair(days=-1): "is not valid .*expired.* openssl x509",
    }.items():
        with pytest.raises(ServerError, match=says):
            open_tls(*given)


@pytest.mark.anyio
async def test_a_subscriber_over_tls_with_a_token(pair: Pair, script: Any) -> None:
    secret = "0123456789abcdef"
    config = ServerConfig(port=0, tls_cert=pair[0], tls_key=pair[1], token=(secret,))
    trust = ssl.create_default_context(cafile=pair[0])
    hub = Hub()
    async with server_from(config, hub) as server:
        assert server.url.startswith("wss://127.0.0.1:")
        hub.publish(script.started())
        hub.publish(script.ended())
        url = server.url.replace("127.0.0.1", "localhost")
        got = [e async for e in subscribe(url, since=0, token=secret, tls_context=trust)]
        assert [event.type for event in got] == ["session.started", "session.ended"]
        with pytest.raises(ServerError, match="401 a token is needed"):
            await anext(subscribe(url, since=0, tls_context=trust))
        with pytest.raises(ServerError, match="is not trusted .* --ca FILE"):
            await anext(subscribe(url, since=0, token=secret))
        with pytest.raises(ServerError, match="no server answers"):
            await anext(subscribe(url.replace("wss", "ws"), since=0))


@pytest.mark.anyio
async def test_a_name_of_the_certificate_is_a_host_of_the_server(pair: Pair, script: Any) -> None:
    hub = Hub()
    hub.publish(script.started())
    trust = ssl.create_default_context(cafile=pair[0])
    config = ServerConfig(port=0, tls_cert=pair[0], tls_key=pair[1])
    async with server_from(config, hub) as server:
        url = f"wss://box.lan:{server.port}/v1/events?since=0"
        async with connect(url, host="127.0.0.1", ssl=trust, proxy=None) as peer:
            assert wire.parse_message(await peer.recv()).type == "session.started"


@pytest.mark.anyio
async def test_silent_handshakes_are_cut_off(
    pair: Pair, health: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "OPEN_SECONDS", 0.3)
    async with EventServer(Hub(), port=0, tls=open_tls(*pair)) as server:
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(20)]
        async with asyncio.timeout(5):
            assert [await reader.read() for reader, _ in silent] == [b""] * 20
        for _, writer in silent:
            writer.close()
