"""The server as the settings want it."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from magtkd_rt.config import LiveConfig, ServerConfig, load_config
from magtkd_rt.errors import InputError, ServerError
from magtkd_rt.server import Hub
from magtkd_rt.server.build import (
    hub_from,
    make_room,
    server_from,
    tokens_from,
    warnings_for,
)

A, B, C = "a" * 16, "b" * 16, "c" * 16


def test_tokens_come_from_options_file_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"publish:{B}")
    file.chmod(0o600)
    monkeypatch.setenv("MAGTKD_TOKEN", f"observe:{C}")
    tokens = tokens_from(ServerConfig(token=(A,), token_file=file))
    found = [token.roles for secret in (A, B, C) if (token := tokens.find(secret))]
    assert found == [{"observe", "publish"}, {"publish"}, {"observe"}]
    monkeypatch.setenv("MAGTKD_TOKEN", "short")
    with pytest.raises(InputError, match="MAGTKD_TOKEN: .*openssl rand"):
        tokens_from(ServerConfig())


def test_an_empty_variable_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGTKD_TOKEN", "")
    assert not tokens_from(ServerConfig())


def test_others_are_served_with_a_token_only() -> None:
    with pytest.raises(ServerError, match="--token-file"):
        server_from(ServerConfig(host="0.0.0.0"), Hub())
    server_from(ServerConfig(host="0.0.0.0", token=(A,)), Hub())


def test_what_nobody_should_want_is_warned_of(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("")
    key.chmod(0o644)
    assert warnings_for(ServerConfig()) == []
    (plain,) = warnings_for(ServerConfig(host="0.0.0.0", token_file=tmp_path))
    assert "no TLS; give --tls-cert" in plain
    seen, readable = warnings_for(ServerConfig(token=(A,), tls_cert=key, tls_key=key))
    assert "list of processes" in seen and A not in seen
    assert readable.endswith(f"chmod o-rwx {key}")


def test_the_hub_keeps_what_the_settings_say() -> None:
    config = ServerConfig(ring_events=5, ring_seconds=7, queue_messages=3, queue_bytes=2048)
    limits = hub_from(config, sessions=4).limits
    kept = (limits.ring_events, limits.ring_seconds, limits.sessions)
    assert kept == (5, 7, 4)
    assert (limits.queue_messages, limits.queue_bytes) == (3, 2048)


def test_room_is_made_for_the_sockets_as_far_as_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1024, 4096]

    def set_limits(_: int, limits: tuple[int, int]) -> None:
        now[:] = limits

    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(now))
    monkeypatch.setattr(resource, "setrlimit", set_limits)
    assert make_room(ServerConfig()) == []
    assert now == [1100 + 64 + 256, 4096]
    assert make_room(ServerConfig(max_connections=10)) == []
    assert now == [1420, 4096]
    (warning,) = make_room(ServerConfig(max_subscribers=10_000))
    assert now == [4096, 4096]
    assert warning.endswith("or give --max-connections 3840")


def test_a_token_has_no_place_in_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'token = ["{A}"]')
    with pytest.raises(InputError, match="unknown key 'token'") as caught:
        load_config(LiveConfig, file, {})
    assert A not in str(caught.value)
    file.write_text(
        'token_file = "tokens"\nmax_per_address = 5\nallow_origin = ["https://a.example"]'
    )
    config = load_config(LiveConfig, file, {"max_per_address": 6})
    assert (config.token_file, config.max_per_address) == (Path("tokens"), 6)


@pytest.mark.parametrize("key", ["max_subscribers", "queue_messages", "ring_seconds"])
def test_limits_make_sense(key: str) -> None:
    with pytest.raises(InputError, match=f"{key} = -1 makes no sense"):
        load_config(LiveConfig, None, {key: -1})
