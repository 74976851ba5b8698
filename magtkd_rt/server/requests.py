"""Reading what a request asks for, and answering in JSON."""

from __future__ import annotations

import re
from http import HTTPStatus
from urllib.parse import parse_qs

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from magtkd_rt.server.hub import SubscriptionRefused


def read_query(path: str) -> tuple[str | None, int | None]:
    """The session and the since that a subscriber asks for.

    Raises:
        SubscriptionRefused: they are given twice, or since is no number.
    """
    try:
        fields = parse_qs(path.partition("?")[2], keep_blank_values=True, max_num_fields=16)
    except ValueError as error:
        raise SubscriptionRefused(
            "bad_request",
            "too many parameters",
            remedy="session and since are all there are",
        ) from error
    for name in ("session", "since"):
        if len(fields.get(name, [])) > 1:
            raise SubscriptionRefused(
                "bad_request", f"{name} is given more than once", remedy="give it once"
            )
    session, since = fields.get("session", [None])[0], fields.get("since", [None])[0]
    if since is not None and re.fullmatch(r"[0-9]{1,15}", since, re.ASCII) is None:
        raise SubscriptionRefused(
            "bad_request",
            f"since={since[:32]!r} is not a number",
            remedy="give the seq of the last event you have, or 0 for all",
        )
    return session, None if since is None else int(since)


def path_of(request: Request) -> str:
    """The path of a request, without its query."""
    return request.path.partition("?")[0]


def json_response(status: HTTPStatus, text: str) -> Response:
    """A JSON response that ends the connection and is not to be stored."""
    return plain_response(status, text.encode(), "application/json; charset=utf-8")


def plain_response(status: HTTPStatus, body: bytes, kind: str) -> Response:
    """A response of the given media type that ends the connection and is not to be stored."""
    headers = Headers(
        {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, body)
