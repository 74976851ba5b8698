"""Tokens: secrets that say what somebody who connects may do."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from websockets.datastructures import Headers

from magtkd_rt import wire
from magtkd_rt.errors import InputError

Role = Literal["observe", "publish"]
"""`observe`: read events, metrics and the details of `/health`. `publish`: send media."""

TOKEN_VARIABLE: Final = "MAGTKD_TOKEN"
"""Environment variable with one more token; unlike an option, others cannot see it."""

BOTH: Final[frozenset[Role]] = frozenset({"observe", "publish"})
_ROLES: Final[dict[str, frozenset[Role]]] = {
    "observe": frozenset({"observe"}),
    "publish": frozenset({"publish"}),
}
_SECRET: Final = re.compile(r"[A-Za-z0-9._~+-]{16,256}", re.ASCII)
"""What may stand both behind `Bearer` and in Sec-WebSocket-Protocol; long enough to be no word."""
_OTHERS_MAY_READ: Final = stat.S_IROTH
_MAX_FILE: Final = 1 << 20
_MAKE_ONE: Final = "make one with `openssl rand -hex 32`"


@dataclass(frozen=True, slots=True)
class Token:
    """One secret, kept as its hash.

    Attributes:
        digest: SHA-256 of the secret.
        roles: what its bearer may do.
        expires: seconds since 1970 at which it is no longer good; None for never.
    """

    digest: bytes = field(repr=False)
    roles: frozenset[Role] = BOTH
    expires: float | None = None


class Tokens:
    """All secrets of a server.

    Args:
        tokens: may be empty: then none is asked for.
        clock: seconds since 1970.
    """

    def __init__(
        self, tokens: Sequence[Token] = (), *, clock: Callable[[], float] = time.time
    ) -> None:
        self._tokens = tuple(tokens)
        self._clock = clock

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def find(self, secret: str) -> Token | None:
        """The token with this secret. How long that takes says nothing about the secrets."""
        digest = _digest(secret)
        found = None
        for token in self._tokens:  # to the end, wherever it is found
            if hmac.compare_digest(digest, token.digest):
                found = token
        return found

    def seconds_left(self, token: Token) -> float | None:
        """For how long it is still good: 0 or less where it has expired, None for ever."""
        return None if token.expires is None else token.expires - self._clock()


def presented_secret(headers: Headers) -> str | None:
    """The secret that a request bears, None where it bears none.

    It stands in `Authorization: Bearer SECRET` or, from a browser, which cannot set that header
    for a websocket, as the entry of Sec-WebSocket-Protocol after the protocol's name. What looks
    like neither is given as it is: a wrong secret.
    """
    given = headers.get_all("Authorization")
    if given:
        scheme, _, secret = given[0].partition(" ")
        return secret.strip() if scheme.lower() == "bearer" and len(given) == 1 else ""
    offers = ",".join(headers.get_all("Sec-WebSocket-Protocol")).split(",")
    names = [name.strip() for name in offers]
    if wire.PROTOCOL in names:
        after = names[names.index(wire.PROTOCOL) + 1 :]
        return after[0] if after else None
    return None


def parse_token(text: str) -> Token:
    """Read `SECRET`, `observe:SECRET` or `publish:SECRET`; a bare secret may do both.

    Raises:
        InputError: it is none of these; the message does not repeat the secret.
    """
    role, colon, secret = text.partition(":")
    if not colon:
        role, secret = "", text
    if colon and role not in _ROLES:
        raise InputError(
            "a token begins with a role that there is not",
            remedy="write SECRET, observe:SECRET or publish:SECRET",
        )
    if not _SECRET.fullmatch(secret):
        raise InputError(
            "a token needs 16 to 256 letters, digits or any of - . _ ~ +", remedy=_MAKE_ONE
        )
    return Token(_digest(secret), _ROLES[role] if colon else BOTH)


def read_token_file(path: Path) -> list[Token]:
    """Read tokens, one a line as `parse_token` takes them, `#` begins a comment.

    Behind a token may stand `expires=2030-01-31T12:00:00Z`.

    Raises:
        InputError: it cannot be read, anybody on this machine could read it, or a line is wrong.
    """
    tokens = []
    for number, line in enumerate(read_private(path).splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            tokens.append(_parse_line(words))
        except InputError as error:
            raise InputError(
                f"line {number} of {path}: {error.problem}", remedy=error.remedy
            ) from error
    if not tokens:
        raise InputError(f"{path} holds no token", remedy=f"{_MAKE_ONE}, one a line")
    return tokens


def read_private(path: Path) -> str:
    """The text of a file that not everybody on this machine may read.

    Raises:
        InputError: it cannot be read, is no text, or everybody may read it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_MAX_FILE)
    except OSError as error:
        raise InputError(
            f"the token file {path} cannot be read ({error.strerror})",
            remedy="give one that can be read with --token-file FILE",
        ) from error
    if mode & _OTHERS_MAY_READ:
        raise InputError(
            f"everybody on this machine may read the token file {path}",
            remedy=f"take that away with: chmod o-rwx {path}",
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text", remedy="write one token a line") from error


def _parse_line(words: Sequence[str]) -> Token:
    token = parse_token(words[0])
    if len(words) == 1:
        return token
    key, _, value = words[1].partition("=")
    if key != "expires" or len(words) > 2:
        raise InputError(
            "only expires=TIME may stand behind a token", remedy="put # before a comment"
        )
    try:
        when = datetime.fromisoformat(value)
    except ValueError as error:
        raise InputError(
            f"{value!r} is no time", remedy="write it like 2030-01-31T12:00:00Z"
        ) from error
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return Token(token.digest, token.roles, when.timestamp())


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
