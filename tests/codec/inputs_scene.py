"""What the tests of the inputs share: a registry of three schemas, a decoder, values to change."""

import json
from typing import Any

import pytest

from pipeline.codec.avro import AvroEncoder
from pipeline.codec.avro_reader import UnresolvableSchemaError
from pipeline.codec.errors import (
    DETAIL_CHARS_MAX,
    DecodeError,
    RegistryUnavailableError,
    SchemaNotReadableError,
    UnknownSchemaIdError,
)
from pipeline.codec.inputs import REASONS, InputDecoder
from pipeline.codec.schemas import JsonSchema
from pipeline.core.records import Command, PracticeCompleted
from tests.codec.samples import SAMPLES, SCHEMAS

COMPLETION = next(record for record in SAMPLES if isinstance(record, PracticeCompleted))
COMMAND = next(record for record in SAMPLES if isinstance(record, Command))
IDS = {1: "PracticeCompleted", 2: "Command", 3: "ProgressUpdated"}
NOT_AVRO, SILENT, FORBIDDEN = 8, 9, 10


def writer_schema(schema_id: int) -> JsonSchema:
    if schema_id in IDS:
        return SCHEMAS[IDS[schema_id]].tree
    if schema_id == NOT_AVRO:
        raise UnresolvableSchemaError("it is PROTOBUF, not Avro")
    if schema_id == SILENT:
        raise RegistryUnavailableError("no answer")
    if schema_id == FORBIDDEN:
        raise SchemaNotReadableError("HTTP 403 for 60 s", fix="let us read it")
    raise UnknownSchemaIdError("none")


DECODER = InputDecoder(SCHEMAS, writer_schema)
ENCODERS = {name: AvroEncoder(SCHEMAS[name], schema_id) for schema_id, name in IDS.items()}

BASE: dict[str, Any] = {
    "completion_id": "c-1",
    "user_id": "user-1",
    "session_id": "s-1",
    "practice": "breath",
    "started_at": "2026-03-01T06:10:00.000+01:00",
    "completed_at": "2026-03-01T06:30:00.250+01:00",
    "tz": "Europe/Berlin",
}
COMMAND_BASE: dict[str, Any] = {
    "request_id": "r-1",
    "user_id": "user-1",
    "kind": "credit",
    "actor": "support:anna",
}


def completion_json(**changes: object) -> bytes:
    return json.dumps(BASE | changes).encode()


def command_json(**changes: object) -> bytes:
    return json.dumps(COMMAND_BASE | changes).encode()


def refusal(value: bytes | None, *, command: bool = False) -> DecodeError:
    decode = DECODER.decode_command if command else DECODER.decode_completion
    with pytest.raises(DecodeError) as caught:
        decode(value)
    error = caught.value
    assert error.stage == "decode"
    assert error.reason in REASONS
    assert 0 < len(error.detail) <= DETAIL_CHARS_MAX
    return error
