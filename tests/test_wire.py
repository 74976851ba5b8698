"""The protocol's types against their generated schema, and what readers must put up with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from magtkd_rt import wire

SCHEMA_FILE = Path(__file__).resolve().parents[1] / "docs" / "schema.json"
REMEDY = "python -m magtkd_rt.wire > docs/schema.json"
ANY_MESSAGE: TypeAdapter[wire.AnyMessage] = TypeAdapter(wire.AnyMessage)
LIMITS = wire.IngestLimits(
    max_message_bytes=1 << 20, ahead_seconds=2.0, pictures_per_second=10.0, resume_seconds=30.0
)


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def every_message(script: Any) -> list[Any]:
    started = script.started()
    events = [started, *script.utterance("u1"), script.speech("u2"), script.dropped("u2")]
    events += [script.emotion("u1", "revised"), script.status()]
    speech, result = script.speech("u3"), script.emotion("u4")
    return [
        *events,
        script.ended(),
        wire.Snapshot(seq=0, session=None, open_utterances=[], recent=[]),
        wire.Snapshot(seq=script.seq, session=started, open_utterances=[speech], recent=[result]),
        wire.Error(code="bad_request", message="no"),
        wire.Hello(audio=wire.AudioFormat(sample_rate=16_000), video=wire.VideoFormat()),
        wire.Ready(session_id="s", resume_token="t", limits=LIMITS),
        wire.Ack(kind=wire.SOUND, t=1.5),
        wire.End(),
    ]


def test_schema_file_is_current() -> None:
    assert SCHEMA_FILE.read_text() == wire.schema_text(), f"write it anew: {REMEDY}"


def test_schema_is_printed_by_the_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "magtkd_rt.wire"], capture_output=True, text=True, check=True
    )
    assert done.stdout == SCHEMA_FILE.read_text()


def test_every_message_fits_the_schema(
    script: Any, validator: jsonschema.Draft202012Validator
) -> None:
    messages = every_message(script)
    for message in messages:
        validator.validate(json.loads(wire.dump_message(message)))
    told = {message.type for message in messages}
    assert told == set(validator.schema["discriminator"]["mapping"])


@pytest.mark.parametrize(
    "damage",
    [
        {"confidence": 1.2},
        {"seq": 0},
        {"seq": None},
        {"stage": "maybe"},
        {"type": "feeling"},
        {"modalities": {"smell": {"present": True}}},
        {"latency": {}},
    ],
)
def test_schema_and_types_refuse_the_same_damage(
    script: Any, validator: jsonschema.Draft202012Validator, damage: dict[str, Any]
) -> None:
    fields = json.loads(wire.dump_message(script.emotion("u1"))) | damage
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(fields)
    with pytest.raises(ValidationError):
        wire.parse_message(json.dumps(fields))


def test_messages_survive_the_wire(script: Any) -> None:
    for message in every_message(script):
        assert ANY_MESSAGE.validate_json(wire.dump_message(message)) == message


def test_times_carry_their_zone(script: Any) -> None:
    assert '"emitted_at":"2025-03-01T12:00:00Z"' in wire.dump_message(script.status())


def test_words_without_times_are_left_out(
    script: Any, validator: jsonschema.Draft202012Validator
) -> None:
    transcript = script.words("u1").model_copy(update={"words": None})
    fields = json.loads(wire.dump_message(transcript))
    assert "words" not in fields
    validator.validate(fields)
    assert wire.parse_message(json.dumps(fields)) == transcript


def test_unknown_fields_are_ignored(script: Any) -> None:
    event = script.status()
    fields = json.loads(wire.dump_message(event)) | {"mood": "new in a later version"}
    assert wire.parse_message(json.dumps(fields)) == event


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"type":"status"}', '{"type":1}'])
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        wire.parse_message(text)


def test_numbers_that_json_lacks_are_refused(script: Any) -> None:
    fields = script.status().model_dump() | {"lag_ms": float("nan")}
    with pytest.raises(ValidationError):
        wire.Status.model_validate(fields)
