"""The protocol as AsyncAPI 3.0: `python -m magtkd_rt.wire.asyncapi > docs/asyncapi.json`."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

from magtkd_rt.wire.base import PROTOCOL
from magtkd_rt.wire.schema import json_schema

_MEDIA: Final = (
    "One byte: 1 sound, 2 picture. Eight bytes: capture time of the first sample, or of the "
    "picture, in microseconds on a clock of the sender's that never goes back (unsigned, little "
    "endian). Then PCM as `hello` announced it, or one JPEG."
)
_FROM_CLIENT: Final = ("hello", "end")
_ONLY_INGEST: Final = ("ready", "ack", *_FROM_CLIENT)


def asyncapi() -> dict[str, Any]:
    """The document, told from the server's side: what it sends, and what it receives."""
    schema = json_schema()
    names = {
        kind: reference.rsplit("/", 1)[-1]
        for kind, reference in schema["discriminator"]["mapping"].items()
    }
    events = [kind for kind in names if kind not in _ONLY_INGEST]
    from_server = [kind for kind in names if kind not in _FROM_CLIENT]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"magtkd-rt, {PROTOCOL}",
            "version": "1",
            "description": "Expressions recognised in conversations, live: events out, sound and "
            "pictures in. docs/protocol.md says what may be relied on.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:8765",
                "protocol": "ws",
                "description": "Where it listens unless told otherwise; wss where TLS is on.",
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {
            "events": _channel(
                "/v1/events",
                f"The events of a session. The subprotocol {PROTOCOL} should be offered; a token "
                "may be offered as the second one instead of in the header.",
                events,
                query={
                    "session": {"type": "string", "description": "Left out: the current one."},
                    "since": {
                        "type": "integer",
                        "minimum": 0,
                        "description": "Everything after this seq; left out: a snapshot, then "
                        "what happens.",
                    },
                },
            ),
            "ingest": _channel(
                "/v1/ingest", "Sound and pictures of one sender.", [*names, "media"]
            ),
        },
        "operations": {
            "sendEvents": _operation("send", "events", events),
            "answerSender": _operation("send", "ingest", from_server),
            "receiveMedia": _operation("receive", "ingest", [*_FROM_CLIENT, "media"]),
        },
        "components": {
            "messages": {
                **{
                    kind: {
                        "name": kind,
                        "payload": {"$ref": f"#/components/schemas/{name}"},
                        "summary": schema["$defs"][name]["description"],
                    }
                    for kind, name in names.items()
                },
                "media": {
                    "name": "media",
                    "summary": "Sound or a picture, as a binary message.",
                    "description": _MEDIA,
                    "contentType": "application/octet-stream",
                    "payload": {"type": "string", "format": "binary"},
                },
            },
            "schemas": _moved(schema["$defs"]),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Where the server was started with tokens.",
                }
            },
        },
    }


@cache
def asyncapi_text() -> str:
    """The document as `docs/asyncapi.json` and `GET /asyncapi.json` hold it."""
    return json.dumps(asyncapi(), indent=2) + "\n"


def _channel(
    address: str, description: str, messages: list[str], query: dict[str, Any] | None = None
) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": address,
        "description": description,
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in messages},
    }
    if query is not None:
        channel["bindings"] = {"ws": {"method": "GET", "query": _object(query)}}
    return channel


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _operation(action: str, channel: str, messages: list[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{kind}"} for kind in messages],
    }


def _moved(value: Any) -> Any:
    """Definitions with their references where AsyncAPI has them."""
    if isinstance(value, dict):
        return {key: _moved(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner) for inner in value]
    if isinstance(value, str) and value.startswith("#/$defs/"):
        return value.replace("#/$defs/", "#/components/schemas/")
    return value


if __name__ == "__main__":
    print(asyncapi_text(), end="")
