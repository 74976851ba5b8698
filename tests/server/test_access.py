"""Which Host and Origin headers are accepted."""

from __future__ import annotations

import pytest
from websockets.datastructures import Headers

from magtkd_rt.errors import ServerError
from magtkd_rt.server.access import check_bind, check_subprotocols, rules

PORT = 8765


def status(*fields: tuple[str, str]) -> int | None:
    headers = Headers()
    for name, value in fields:
        headers[name] = value
    allowed = rules(["https://Dashboard.example/"], ["box.lan"])
    refusal = allowed.check(headers, PORT)
    return None if refusal is None else refusal.status


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8765", "localhost:8765", "LOCALHOST", "[::1]:8765", "127.9.9.9:1", "box.lan:8765"],
)
def test_hosts_of_this_machine_are_accepted(host: str) -> None:
    assert status(("Host", host)) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8765",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8765",
        "192.168.1.5:8765",
        "0.0.0.0:8765",
        "localhost.",
        "2130706433",
    ],
)
def test_other_hosts_are_refused(host: str) -> None:
    assert status(("Host", host)) == 403


@pytest.mark.parametrize("host", ["", "a b", "user@localhost", "localhost:8765/x", "[::1", "::1"])
def test_what_is_no_host_is_refused(host: str) -> None:
    assert status(("Host", host)) == 400


def test_host_must_be_given_once() -> None:
    assert status() == 400
    assert status(("Host", "localhost"), ("Host", "localhost")) == 400


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:8765",
        "http://127.0.0.1:8765",
        "https://[::1]:8765",
        "http://LocalHost:8765",
        "https://dashboard.example",
    ],
)
def test_own_and_allowed_origins_are_accepted(origin: str) -> None:
    assert status(("Host", "127.0.0.1:8765"), ("Origin", origin)) is None


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.example",
        "http://localhost:8766",
        "http://localhost",
        "http://localhost:8765.evil.example",
        "http://evil.example:8765",
        "http://dashboard.example",
        "https://dashboard.example.evil.example",
        "file://",
        "ftp://localhost:8765",
    ],
)
def test_other_origins_are_refused(origin: str) -> None:
    assert status(("Host", "127.0.0.1:8765"), ("Origin", origin)) == 403


def test_a_second_origin_cannot_hide_behind_a_good_one() -> None:
    good, bad = ("Origin", "http://localhost:8765"), ("Origin", "http://evil.example")
    assert status(("Host", "localhost:8765"), good, bad) == 403


def test_a_forwarded_port_is_its_own_origin() -> None:
    assert status(("Host", "localhost:9000"), ("Origin", "http://localhost:9000")) is None


@pytest.mark.parametrize(
    ("offer", "accepted"),
    [(None, True), ("magtkd.v1", True), ("x, magtkd.v1", True), ("magtkd.v2", False), ("", False)],
)
def test_subprotocols(offer: str | None, accepted: bool) -> None:
    headers = Headers() if offer is None else Headers({"Sec-WebSocket-Protocol": offer})
    assert (check_subprotocols(headers) is None) == accepted


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_only_this_machine_may_be_listened_on(host: str) -> None:
    with pytest.raises(ServerError, match="use --host 127.0.0.1"):
        check_bind(host, PORT)


@pytest.mark.parametrize("port", [-1, 65536])
def test_ports_are_checked(port: int) -> None:
    with pytest.raises(ServerError, match="is not a port"):
        check_bind("127.0.0.1", port)
