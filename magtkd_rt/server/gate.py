"""Everything that a request has to pass before anybody answers it, in one place."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from websockets.datastructures import Headers

from magtkd_rt.server.access import AccessRules, Refusal, check_subprotocols, is_loopback
from magtkd_rt.server.throttle import Throttle, address_key
from magtkd_rt.server.tokens import BOTH, Role, Token, Tokens, presented_secret

GUESSES: Final = 10
"""Wrong tokens that an address may show at once ..."""
SECONDS_A_GUESS: Final = 10.0
"""... and how long until it may show another."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may connect.

    Attributes:
        rules: the hosts and origins that are accepted.
        tokens: one of them is needed; without any, everybody is let in whom the rules let in.
    """

    rules: AccessRules = field(default_factory=AccessRules)
    tokens: Tokens = field(default_factory=Tokens)


@dataclass(frozen=True, slots=True)
class Admission:
    """What somebody may do who was let in.

    Attributes:
        roles: by the token; all where no token is asked for.
        seconds_left: for how long the token is still good, None for ever.
    """

    roles: frozenset[Role] = frozenset()
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """What a path asks for.

    Attributes:
        role: that the token must have; None where nobody needs a token.
        optional: a request without a token, or with one of another role, is let in as well, to
            see less.
        websocket: whether the subprotocol is looked at.
    """

    role: Role | None = None
    optional: bool = False
    websocket: bool = False


class Gate:
    """Judges requests.

    Args:
        access: who may connect.
        requests_per_minute: of one address that is not this machine's own.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        access: Access,
        requests_per_minute: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = access.rules
        self._tokens = access.tokens
        self._requests = Throttle(requests_per_minute, requests_per_minute / 60, clock=clock)
        self._guesses = Throttle(GUESSES, 1 / SECONDS_A_GUESS, clock=clock)

    def check(self, headers: Headers, address: str, port: int, needs: Needs) -> Admission | Refusal:
        """Let a request in or say why not.

        Args:
            headers: of the request.
            address: of the peer, in figures.
            port: that the server listens on.
            needs: what the path asks for.
        """
        who = address_key(address)
        if not is_loopback(who) and not self._requests.take(who):
            return _too_often("refused_rate", "too many requests", self._requests.wait(who))
        refusal = self._rules.check(headers, port)
        if refusal is None and needs.websocket:
            refusal = check_subprotocols(headers)
        return refusal or self._check_token(headers, who, needs)

    def _check_token(self, headers: Headers, who: str, needs: Needs) -> Admission | Refusal:
        if not self._tokens:
            return Admission(BOTH)
        if needs.role is None:
            return Admission()
        secret = presented_secret(headers)
        if secret is None:
            return Admission() if needs.optional else _unauthorized("a token is needed")
        # Somebody who guesses is not listened to any more, not even with the right one.
        if wait := self._guesses.wait(who):
            return _too_often("refused_token", "too many wrong tokens", wait)
        token = self._tokens.find(secret)
        if token is None:
            self._guesses.take(who)
            return _unauthorized("this token is not known here")
        return self._admit(token, needs)

    def _admit(self, token: Token, needs: Needs) -> Admission | Refusal:
        left = self._tokens.seconds_left(token)
        if left is not None and left <= 0:
            return _unauthorized("this token has expired")
        if needs.role not in token.roles and not needs.optional:
            may = " and ".join(sorted(token.roles))
            reason = f"this token may {may}, not {needs.role}"
            return Refusal(HTTPStatus.FORBIDDEN, "refused_token", reason)
        return Admission(token.roles, left)


def _unauthorized(reason: str) -> Refusal:
    return Refusal(
        HTTPStatus.UNAUTHORIZED,
        "refused_token",
        f"{reason}; send Authorization: Bearer TOKEN",
        {"WWW-Authenticate": 'Bearer realm="magtkd"'},
    )


def _too_often(counter: str, reason: str, wait: int) -> Refusal:
    return Refusal(
        HTTPStatus.TOO_MANY_REQUESTS,
        counter,
        f"{reason} from your address; try again in {wait} s",
        {"Retry-After": str(wait)},
    )
