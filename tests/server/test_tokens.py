"""Secrets: how they are written, read and compared."""

from __future__ import annotations

import hmac
from pathlib import Path

import pytest
from websockets.datastructures import Headers

from magtkd_rt.errors import InputError
from magtkd_rt.server.tokens import (
    BOTH,
    Tokens,
    parse_token,
    presented_secret,
    read_token_file,
)

A, B, C = "a" * 16, "b" * 32, "Zz9.-_~+" * 4


@pytest.mark.parametrize(
    ("text", "roles"), [(A, BOTH), (f"observe:{B}", {"observe"}), (f"publish:{C}", {"publish"})]
)
def test_a_token_has_the_roles_that_it_begins_with(text: str, roles: set[str]) -> None:
    token = parse_token(text)
    assert token.roles == roles
    found = Tokens([parse_token("publish:" + "x" * 20), token]).find(text.rpartition(":")[2])
    assert found == token


@pytest.mark.parametrize(
    "text",
    ["", "short", "a" * 15, "a" * 257, "a" * 16 + " ", "ä" * 16, "a" * 15 + ",", f"watch:{A}",
     f":{A}", f"observe:observe:{A}", "observe:", "a" * 16 + "="],
)  # fmt: skip
def test_what_is_no_token_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_token(text)
    assert len(text) < 8 or text not in str(caught.value)


@pytest.mark.parametrize("wrong", ["", A[:-1], A + "a", A.upper(), B, "\udcff" * 16, "é" * 16])
def test_only_the_very_secret_is_found(wrong: str) -> None:
    assert Tokens([parse_token(A)]).find(wrong) is None


def test_every_token_is_compared_wherever_the_right_one_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[bytes] = []
    real = hmac.compare_digest

    def counting(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    tokens = Tokens([parse_token(text) for text in (A, B, C)])
    for secret in (A, C, "nobody's"):
        compared.clear()
        tokens.find(secret)
        assert len(compared) == 3


def test_a_file_of_tokens(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(
        f"# ours\n\n{A}\n  observe:{B} expires=2030-01-31T12:00:00Z # guests\n"
        f"publish:{C} expires=2001-01-01\n"
    )
    path.chmod(0o640)
    now = 1_800_000_000.0
    tokens = Tokens(read_token_file(path), clock=lambda: now)
    left = [tokens.seconds_left(token) for s in (A, B, C) if (token := tokens.find(s))]
    assert left == [None, 1_896_091_200 - now, 978_307_200 - now]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# nothing\n", "holds no token"),
        (f"{A}\nshort\n", "line 2 of .* 16 to 256"),
        (f"{A} expires=tomorrow", "line 1 of .* 'tomorrow' is no time"),
        (f"{A} until=2030-01-01", "only expires=TIME"),
        (f"{A} {B}", "only expires=TIME"),
        (f"{A} expires=2030-01-01 2031", "only expires=TIME"),
    ],
)
def test_a_wrong_file_of_tokens_is_named_by_its_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(InputError, match=says) as caught:
        read_token_file(path)
    assert A not in str(caught.value) and B not in str(caught.value)


def test_a_file_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(A)
    path.chmod(0o644)
    with pytest.raises(InputError, match=f"chmod o-rwx {path}"):
        read_token_file(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_token_file(tmp_path / "none")
    with pytest.raises(InputError, match="cannot be read"):
        read_token_file(tmp_path)


@pytest.mark.parametrize(
    ("fields", "secret"),
    [
        ([], None),
        ([("Authorization", f"Bearer {A}")], A),
        ([("Authorization", f"bearer  {A} ")], A),
        ([("Authorization", f"Basic {A}")], ""),
        ([("Authorization", A)], ""),
        ([("Authorization", f"Bearer {A}"), ("Authorization", f"Bearer {B}")], ""),
        ([("Sec-WebSocket-Protocol", f"magtkd.v1, {A}")], A),
        ([("Sec-WebSocket-Protocol", "magtkd.v1"), ("Sec-WebSocket-Protocol", A)], A),
        ([("Sec-WebSocket-Protocol", "magtkd.v1")], None),
        ([("Sec-WebSocket-Protocol", f"{A}, magtkd.v1")], None),
        ([("Sec-WebSocket-Protocol", "x")], None),
        ([("Authorization", f"Bearer {B}"), ("Sec-WebSocket-Protocol", f"magtkd.v1,{A}")], B),
    ],
)
def test_where_a_request_bears_its_secret(
    fields: list[tuple[str, str]], secret: str | None
) -> None:
    headers = Headers()
    for name, value in fields:
        headers[name] = value
    assert presented_secret(headers) == secret
