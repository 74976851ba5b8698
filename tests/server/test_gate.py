"""What a request has to pass, without sockets."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

import pytest
from websockets.datastructures import Headers

from magtkd_rt.server import gate as gate_module
from magtkd_rt.server import throttle as throttle_module
from magtkd_rt.server.access import AccessRules, Refusal, check_bind
from magtkd_rt.server.gate import Access, Admission, Gate, Needs
from magtkd_rt.server.throttle import Throttle, address_key
from magtkd_rt.server.tokens import BOTH, Tokens, parse_token

LOOK, SEND = "look" * 8, "send" * 8
EVENTS = Needs("observe", websocket=True)
INGEST = Needs("publish", websocket=True)
HEALTH = Needs("observe", optional=True)
PORT = 8765
HOME, AWAY = "127.0.0.1", "192.0.2.7"


def gate(*tokens: str, requests: int = 600, clock: Callable[[], float] = time.monotonic) -> Gate:
    access = Access(AccessRules(any_address=True), Tokens([parse_token(text) for text in tokens]))
    return Gate(access, requests, clock=clock)


def ask(
    one: Gate, needs: Needs, secret: str | None = None, *, address: str = HOME
) -> int | Admission:
    headers = Headers({"Host": f"192.0.2.1:{PORT}"})
    if secret is not None:
        headers["Authorization"] = f"Bearer {secret}"
    answer = one.check(headers, address, PORT, needs)
    return answer.status.value if isinstance(answer, Refusal) else answer


def test_without_tokens_everybody_may_do_everything() -> None:
    one = gate()
    for needs in (EVENTS, INGEST, HEALTH, Needs()):
        assert ask(one, needs) == ask(one, needs, "whatever") == Admission(BOTH)


def test_roles() -> None:
    one = gate(f"observe:{LOOK}", f"publish:{SEND}")
    look, send = Admission(frozenset({"observe"})), Admission(frozenset({"publish"}))
    assert [ask(one, EVENTS, secret) for secret in (None, "x", LOOK, SEND)] == [401, 401, look, 403]
    assert [ask(one, INGEST, secret) for secret in (None, "x", LOOK, SEND)] == [401, 401, 403, send]
    nothing = Admission()
    assert [ask(one, HEALTH, secret) for secret in (None, "x", LOOK, SEND)] == [
        nothing, 401, look, send,
    ]  # fmt: skip
    assert ask(one, Needs()) == ask(one, Needs(), "x") == nothing


def test_an_expired_token_is_refused_and_says_so() -> None:
    token = parse_token(LOOK)
    soon = type(token)(token.digest, token.roles, expires=100.0)
    now = [99.0]
    one = Gate(Access(AccessRules(), Tokens([soon], clock=lambda: now[0])), 600)
    headers = Headers({"Host": "localhost", "Authorization": f"Bearer {LOOK}"})
    assert one.check(headers, HOME, PORT, EVENTS) == Admission(BOTH, 1.0)
    now[0] = 100.0
    refusal = one.check(headers, HOME, PORT, EVENTS)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, "expired" in refusal.reason) == (HTTPStatus.UNAUTHORIZED, True)


def test_who_guesses_is_not_listened_to_any_more() -> None:
    now = [0.0]
    one = gate(LOOK, clock=lambda: now[0])
    tried = [ask(one, EVENTS, f"{number:016}", address=AWAY) for number in range(50)]
    assert tried == [401] * gate_module.GUESSES + [429] * (50 - gate_module.GUESSES)
    assert ask(one, EVENTS, LOOK, address=AWAY) == 429  # right, but who could know
    assert ask(one, EVENTS, None, address=AWAY) == 401
    assert ask(one, EVENTS, LOOK, address=HOME) == Admission(BOTH)
    now[0] += gate_module.SECONDS_A_GUESS
    assert ask(one, EVENTS, LOOK, address=AWAY) == Admission(BOTH)
    assert [ask(one, EVENTS, "x" * 16, address=AWAY) for _ in range(3)] == [401, 429, 429]


def test_requests_of_one_address_are_bounded_but_not_this_machines_own() -> None:
    one = gate(requests=5)
    assert [ask(one, HEALTH, address=AWAY) for _ in range(7)] == [Admission(BOTH)] * 5 + [429] * 2
    assert ask(one, HEALTH, address="192.0.2.8") == Admission(BOTH)
    assert {ask(one, HEALTH, address=HOME) for _ in range(50)} == {Admission(BOTH)}


def test_a_refusal_says_when_to_come_back() -> None:
    one = gate(requests=1)
    headers = Headers({"Host": "localhost"})
    one.check(headers, AWAY, PORT, HEALTH)
    refusal = one.check(headers, AWAY, PORT, HEALTH)
    assert isinstance(refusal, Refusal)
    assert (refusal.counter, refusal.headers) == ("refused_rate", {"Retry-After": "60"})


def test_a_server_for_others_is_called_by_address_or_by_an_allowed_name() -> None:
    rules = AccessRules(allowed_hosts=frozenset({"box.lan"}), any_address=True)
    found = {
        host: rules.check(Headers({"Host": host}), PORT) is None
        for host in ("192.168.1.5:8765", "[fe80::1]:8765", "box.lan", "evil.example", "localhost")
    }
    assert found == {
        "192.168.1.5:8765": True,
        "[fe80::1]:8765": True,
        "box.lan": True,
        "evil.example": False,
        "localhost": True,
    }


def test_others_may_be_served_where_a_token_is_asked_for() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "box.lan"):
        check_bind(host, PORT, asks_for_token=True)


def test_a_throttle_forgets_addresses_rather_than_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle_module, "MAX_ADDRESSES", 10)
    throttle = Throttle(1, 0.001, clock=lambda: 0.0)
    assert all(throttle.take(f"10.0.0.{number}") for number in range(100))
    assert not throttle.take("10.0.0.99")
    assert len(throttle._left) == 10


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_what_counts_as_one_address(address: str, key: str) -> None:
    assert address_key(address) == key
