"""Reading and writing messages, and their JSON Schema."""

from __future__ import annotations

import json
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter

from magtkd_rt.wire.base import PROTOCOL
from magtkd_rt.wire.events import Error, Event, ServerMessage, Snapshot
from magtkd_rt.wire.ingest import Ack, ClientMessage, End, Hello, Ready

IngestMessage = Annotated[ServerMessage | Ready | Ack, Field(discriminator="type")]
"""Anything the server sends on `/v1/ingest`."""

AnyMessage = Annotated[IngestMessage | Hello | End, Field(discriminator="type")]
"""Any text message of the protocol, whoever sends it."""

_SERVER_MESSAGE: TypeAdapter[ServerMessage] = TypeAdapter(ServerMessage)
_INGEST_MESSAGE: TypeAdapter[IngestMessage] = TypeAdapter(IngestMessage)
_CLIENT_MESSAGE: TypeAdapter[ClientMessage] = TypeAdapter(ClientMessage)
_ANY_MESSAGE: TypeAdapter[AnyMessage] = TypeAdapter(AnyMessage)


def parse_message(text: str | bytes) -> ServerMessage:
    """Read one message of the server on `/v1/events`.

    Raises:
        pydantic.ValidationError: the text is no message of this protocol.
    """
    return _SERVER_MESSAGE.validate_json(text)


def parse_ingest_message(text: str | bytes) -> Event | Snapshot | Error | Ready | Ack:
    """Read one message of the server on `/v1/ingest`.

    Raises:
        pydantic.ValidationError: the text is no message of this protocol.
    """
    return _INGEST_MESSAGE.validate_json(text)


def parse_client_message(text: str | bytes) -> ClientMessage:
    """Read one text message of a client on `/v1/ingest`.

    Raises:
        pydantic.ValidationError: the text is no message of this protocol.
    """
    return _CLIENT_MESSAGE.validate_json(text)


def dump_message(message: BaseModel) -> str:
    """One message as compact JSON."""
    return message.model_dump_json()


def json_schema() -> dict[str, Any]:
    """The JSON Schema of every text message, as it is when sent."""
    schema = _ANY_MESSAGE.json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{PROTOCOL}: any text message",
        **schema,
    }


@cache
def schema_text() -> str:
    """The JSON Schema as `docs/schema.json` and `GET /schema.json` hold it."""
    return json.dumps(json_schema(), indent=2) + "\n"
