"""What a subscriber's query asks for, whatever it is."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magtkd_rt.server.hub import SubscriptionRefused
from magtkd_rt.server.requests import read_query


def read(path: str) -> tuple[str | None, int | None] | str:
    """What is read, or the code of the refusal."""
    try:
        return read_query(path)
    except SubscriptionRefused as refused:
        return refused.message.code


@given(st.text(), st.integers(0, 10**15 - 1))
def test_what_is_asked_for_is_read(session: str, since: int) -> None:
    query = urlencode({"session": session, "since": since})
    assert read(f"/v1/events?{query}") == (session, since)


@given(st.text())
def test_whatever_is_asked_is_answered(query: str) -> None:
    found = read(f"/v1/events?{query}")
    assert found == "bad_request" or isinstance(found, tuple)


@given(st.binary(), st.sampled_from(["since", "session", "since=1&since", "%73ince", ""]))
def test_whatever_bytes_are_asked_are_answered(value: bytes, name: str) -> None:
    found = read(f"/v1/events?{name}={quote(value)}")
    if isinstance(found, str):
        assert found == "bad_request"
    else:
        session, since = found
        assert session is None or isinstance(session, str)
        assert since is None or 0 <= int(since) < 10**15


@pytest.mark.parametrize(
    "query",
    [
        "since=-1", "since=1.0", "since=1e3", "since=", "since=NaN", "since=0x10", "since=١",
        "since=+1", "since=%201", "since=1%0a", "since=9999999999999999", "since=1&since=1",
        "session=a&session=b", "&".join(f"a{n}=1" for n in range(17)),
    ],
)  # fmt: skip
def test_what_is_no_number_or_too_much_is_refused(query: str) -> None:
    assert read(f"/v1/events?{query}") == "bad_request"


def test_nothing_asked_is_nothing_read() -> None:
    assert read("/v1/events") == read("/v1/events?") == read("/v1/events?other=1") == (None, None)
    assert read("/v1/events?session=") == ("", None)
