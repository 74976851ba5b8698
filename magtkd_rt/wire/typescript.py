"""The messages as TypeScript: `python -m magtkd_rt.wire.typescript > clients/messages.d.ts`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from magtkd_rt.wire.schema import json_schema

_HEAD = """\
// Every text message of magtkd.v1. Generated: python -m magtkd_rt.wire.typescript
// Fields that an older server may leave out are optional; unknown fields are to be ignored.
"""
_PLAIN = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean",
          "null": "null"}  # fmt: skip


def typescript_text() -> str:
    """The declarations as `clients/messages.d.ts` holds them."""
    schema = json_schema()
    parts = [_HEAD]
    for name, definition in schema["$defs"].items():
        parts.append("\n".join(_interface(name, definition)))
    mapping = schema["discriminator"]["mapping"]
    union = "\n".join(f"  | {_type({'$ref': mapping[kind]})}" for kind in mapping)
    said = "/** Any text message of the protocol, whoever sends it. */"
    parts.append(f"{said}\nexport type AnyMessage =\n{union};\n")
    return "\n".join(parts)


def _interface(name: str, definition: dict[str, Any]) -> Iterator[str]:
    yield from _comment(definition, "")
    yield f"export interface {name} {{"
    required = definition.get("required", [])
    for field, schema in definition.get("properties", {}).items():
        yield from _comment(schema, "  ")
        # A constant is what tells types apart, so it is always there.
        mark = "" if field in required or "const" in schema else "?"
        yield f"  {field}{mark}: {_type(schema)};"
    yield "}\n"


def _comment(schema: dict[str, Any], indent: str) -> Iterator[str]:
    if text := " ".join(schema.get("description", "").split()):
        yield f"{indent}/** {text} */"


def _type(schema: dict[str, Any]) -> str:
    """A schema as a TypeScript type.

    Raises:
        ValueError: it uses a word of JSON Schema that is not known here.
    """
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_type(choice) for choice in schema["anyOf"])
    kind = schema.get("type")
    if kind == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(map(_type, schema['prefixItems']))}]"
        inner = _type(schema["items"])
        return f"({inner})[]" if " " in inner else f"{inner}[]"
    if kind == "object":
        keys = _type(schema["propertyNames"]) if "propertyNames" in schema else "string"
        value = _type(schema["additionalProperties"])
        return (
            f"Partial<Record<{keys}, {value}>>" if keys != "string" else f"Record<string, {value}>"
        )
    if kind in _PLAIN:
        return _PLAIN[kind]
    raise ValueError(f"no TypeScript type is known for {schema}")


if __name__ == "__main__":
    print(typescript_text(), end="")
