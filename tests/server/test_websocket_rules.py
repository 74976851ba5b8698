"""RFC 6455 frame by frame, in the manner of the Autobahn test suite (docs/conformance.md)."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from echo_server import MESSAGE_BYTES, echo_server

pytestmark = pytest.mark.anyio

TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
Frame = tuple[int, bytes]


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0) -> bytes:
    """A masked frame of a client."""
    mask, size = os.urandom(4), len(payload)
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += b"\xfe" + size.to_bytes(2)
    else:
        head += b"\xff" + size.to_bytes(8)
    pad = (mask * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload) ^ int.from_bytes(pad)).to_bytes(size)
    return head + mask + masked


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2) + reason)


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """A frame of the server: never masked, never in pieces here."""
    first, second = await reader.readexactly(2)
    assert first & 0xF0 == 0x80 and second < 128
    size = second
    if second > 125:
        size = int.from_bytes(await reader.readexactly(2 if second == 126 else 8))
    return first & 0x0F, await reader.readexactly(size)


@asynccontextmanager
async def dial() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with echo_server() as server, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            "GET /v1/ingest HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        yield reader, writer
        writer.close()


async def talk(sent: bytes, *, answers: int = 0, chop: int | None = None) -> list[Frame]:
    """What the server answers, to its close.

    Args:
        sent: what is sent.
        answers: frames to wait for before a close is sent, too; none is where this is 0.
        chop: bytes that are written at once.
    """
    async with dial() as (reader, writer):
        step = chop or len(sent)
        for begin in range(0, len(sent), step):
            writer.write(sent[begin : begin + step])
            if chop:
                await asyncio.sleep(0)
        found = [await read_frame(reader) for _ in range(answers)]
        if answers:
            writer.write(BYE)
        while not found or found[-1][0] != CLOSE:
            found.append(await read_frame(reader))
        assert await reader.read() == b""  # the server closes the connection
        return found


def code_of(found: list[Frame]) -> int:
    opcode, payload = found[-1]
    assert opcode == CLOSE
    return int.from_bytes(payload[:2])


BYE = closing(1000)
OK = (CLOSE, (1000).to_bytes(2))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65535, 65536, MESSAGE_BYTES])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_messages_of_any_size_come_back(opcode: int, size: int) -> None:
    payload = b"*" * size if opcode == TEXT else os.urandom(size)
    assert await talk(frame(opcode, payload), answers=1) == [(opcode, payload), OK]


async def test_bytes_may_come_one_by_one() -> None:
    payload = "Κόσμε 🙂".encode()
    sent = frame(TEXT, payload) + frame(PING, b"?")
    found = await talk(sent, answers=2, chop=1)
    assert sorted(found[:2]) == [(TEXT, payload), (PONG, b"?")]


@pytest.mark.parametrize("size", [0, 1, 125])
async def test_pings_are_answered_with_their_content(size: int) -> None:
    payload = os.urandom(size)
    assert await talk(frame(PING, payload) + BYE) == [(PONG, payload), OK]


async def test_pongs_are_not_answered() -> None:
    sent = frame(PONG, b"unasked") + frame(PING, b"asked") + BYE
    assert await talk(sent) == [(PONG, b"asked"), OK]


async def test_fragments_are_joined_and_pings_between_are_answered_at_once() -> None:
    sent = (
        frame(TEXT, b"so ", fin=False)
        + frame(PING, b"1")
        + frame(CONT, b"it ", fin=False)
        + frame(PING, b"2")
        + frame(CONT, b"", fin=False)
        + frame(CONT, b"goes")
    )
    assert await talk(sent, answers=3) == [(PONG, b"1"), (PONG, b"2"), (TEXT, b"so it goes"), OK]


async def test_a_character_may_be_split_between_fragments() -> None:
    whole = "🙂".encode()
    sent = frame(TEXT, whole[:1], fin=False) + frame(CONT, whole[1:3], fin=False)
    assert await talk(sent + frame(CONT, whole[3:]), answers=1) == [(TEXT, whole), OK]


@pytest.mark.parametrize(
    "sent",
    [
        frame(CONT, b"x"),
        frame(CONT, b"x", fin=False),
        frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"),
        frame(PING, b"x" * 126),
        frame(PING, b"x", fin=False),
        frame(PONG, b"x", fin=False),
        frame(CLOSE, b"x"),
        frame(CLOSE, (1000).to_bytes(2) + b"x" * 124),
        *(frame(TEXT, b"x", reserved=bits) for bits in range(1, 8)),
        *(frame(opcode, b"x") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        b"\x81\x01x",
    ],
)
async def test_what_breaks_the_rules_is_closed_with_1002(sent: bytes) -> None:
    assert code_of(await talk(sent)) == 1002


@pytest.mark.parametrize(
    "wrong",
    [b"\x80", b"\xff", b"\xc0\xaf", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
     b"\xf8\x88\x80\x80\x80", b"\xce", b"ok \xe2\x82", b"\xf0\x9f\x99"],
)  # fmt: skip
async def test_text_that_is_not_utf8_is_closed_with_1007(wrong: bytes) -> None:
    assert code_of(await talk(frame(TEXT, wrong))) == 1007
    split = frame(TEXT, wrong[:1], fin=False) + frame(CONT, wrong[1:])
    assert code_of(await talk(split)) == 1007
    assert code_of(await talk(closing(1000, wrong))) in (1002, 1007)


async def test_a_message_too_large_is_closed_with_1009() -> None:
    assert code_of(await talk(frame(BINARY, bytes(MESSAGE_BYTES + 1)))) == 1009
    half = bytes(MESSAGE_BYTES // 2)
    sent = frame(BINARY, half, fin=False) + frame(CONT, half, fin=False) + frame(CONT, b"x")
    assert code_of(await talk(sent)) == 1009


async def test_a_claim_of_terabytes_is_closed_before_any_of_it_comes() -> None:
    assert code_of(await talk(b"\x82\xff" + (1 << 40).to_bytes(8) + bytes(4))) == 1009
    assert code_of(await talk(b"\x82\xff" + (1 << 63).to_bytes(8) + bytes(4))) in (1002, 1009)


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
)
async def test_a_close_is_answered_with_its_code_and_reason(code: int) -> None:
    payload = code.to_bytes(2) + b"x" * 123
    assert await talk(frame(CLOSE, payload)) == [(CLOSE, payload)]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535])
async def test_a_close_with_a_code_that_may_not_be_sent_is_a_mistake(code: int) -> None:
    assert code_of(await talk(closing(code))) == 1002


async def test_a_close_without_a_code_is_answered_alike() -> None:
    assert await talk(frame(CLOSE)) == [(CLOSE, b"")]


@pytest.mark.parametrize("after", [frame(TEXT, b"late"), frame(PING, b"late"), BYE, b"\xff" * 50])
async def test_after_a_close_nothing_counts(after: bytes) -> None:
    assert await talk(BYE + after) == [OK]


async def test_a_close_amid_fragments_is_a_close() -> None:
    sent = frame(TEXT, b"so ", fin=False) + BYE + frame(CONT, b"it goes")
    assert await talk(sent) == [OK]
