"""What is generated from the protocol beside the schema: AsyncAPI, types for JavaScript."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from magtkd_rt.wire.asyncapi import asyncapi, asyncapi_text
from magtkd_rt.wire.schema import json_schema
from magtkd_rt.wire.typescript import typescript_text

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS: dict[str, tuple[str, Callable[[], str]]] = {
    "magtkd_rt.wire.asyncapi": ("docs/asyncapi.json", asyncapi_text),
    "magtkd_rt.wire.typescript": ("clients/messages.d.ts", typescript_text),
}


@pytest.mark.parametrize("module", DOCUMENTS)
def test_the_file_is_current(module: str) -> None:
    path, text = DOCUMENTS[module]
    assert (ROOT / path).read_text() == text(), f"write it anew: python -m {module} > {path}"


@pytest.mark.parametrize("module", DOCUMENTS)
def test_the_module_prints_it(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module], capture_output=True, text=True, check=True
    )
    assert done.stdout == (ROOT / DOCUMENTS[module][0]).read_text()
    assert done.stderr == ""


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_reference_of_asyncapi_leads_somewhere() -> None:
    document = asyncapi()
    found = list(references(document))
    assert len(found) > 50
    for reference in found:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_asyncapi_knows_every_message_and_who_sends_it() -> None:
    document = asyncapi()
    kinds = json_schema()["discriminator"]["mapping"].keys()
    assert document["components"]["messages"].keys() == kinds | {"media"}
    sent = {
        name: {reference.rsplit("/", 1)[-1] for reference in references(operation["messages"])}
        for name, operation in document["operations"].items()
    }
    assert sent["receiveMedia"] == {"hello", "end", "media"}
    assert sent["answerSender"] == kinds - {"hello", "end"}
    assert sent["sendEvents"] == sent["answerSender"] - {"ready", "ack"}


def test_every_message_has_a_type_in_typescript() -> None:
    text = typescript_text()
    for kind, reference in json_schema()["discriminator"]["mapping"].items():
        assert f'  type: "{kind}";' in text
        assert f"export interface {reference.rsplit('/', 1)[-1]} {{" in text
    assert "any" not in text.replace("Any", "").split()
