"""Everything that can arrive on an input topic."""

import base64
import json
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.codec import input_bounds, inputs
from pipeline.codec.avro import framing
from pipeline.codec.errors import (
    DETAIL_CHARS_MAX,
    DecodeError,
    RegistryUnavailableError,
)
from pipeline.codec.framed import READERS_MAX, schema_id_in
from pipeline.codec.inputs import KEY_REASONS, REASONS, InputDecoder, check_key, names_no_user
from pipeline.codec.instants import INSTANT_MAX, INSTANT_MIN, LOCAL_DATE_MAX, LOCAL_DATE_MIN
from pipeline.codec.json_array import bare
from pipeline.codec.partitioner import partition_of
from pipeline.codec.schemas import JsonSchema
from pipeline.core.enumerations import COMMAND_KINDS
from pipeline.core.records import Command, PracticeCompleted
from tests.codec.inputs_scene import (
    COMMAND,
    COMPLETION,
    DECODER,
    ENCODERS,
    SILENT,
    command_json,
    completion_json,
    refusal,
)
from tests.codec.samples import SCHEMAS


def test_a_completion_in_json() -> None:
    full = completion_json(
        sent_at="2026-03-01T05:31:00Z",
        device_id="d",
        app_version="1",
        context={"mood": 'calm "very"', "k": ""},
    )
    assert DECODER.decode_completion(full) == PracticeCompleted(
        "c-1",
        "user-1",
        "s-1",
        "breath",
        1_772_341_800_000,
        1_772_343_000_250,
        "Europe/Berlin",
        1_772_343_060_000,
        "d",
        "1",
        {"mood": 'calm "very"', "k": ""},
        60,
    )


def test_optional_fields_may_be_absent_or_null() -> None:
    absent = DECODER.decode_completion(completion_json())
    nulls = dict.fromkeys(("sent_at", "device_id", "app_version", "context"))
    assert DECODER.decode_completion(completion_json(**nulls)) == absent
    assert DECODER.decode_completion(completion_json(context={})) == absent
    assert absent.sent_at is None
    assert absent.context == {}


def test_two_completions_do_not_share_their_context() -> None:
    first = DECODER.decode_completion(completion_json())
    first.context["left"] = "behind"
    assert DECODER.decode_completion(completion_json()).context == {}


@settings(max_examples=60)
@given(
    st.fixed_dictionaries(
        {name: st.text(max_size=30) for name in ("completion_id", "user_id", "session_id", "tz")},
        optional={
            "device_id": st.none() | st.text(max_size=30),
            "context": st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=5),
        },
    )
)
def test_any_text_survives_both_forms(fields: dict[str, Any]) -> None:
    record = DECODER.decode_completion(completion_json(**fields))
    for name, value in fields.items():
        assert getattr(record, name) == value
    framed = ENCODERS["PracticeCompleted"].encode(record)
    assert DECODER.decode_completion(framed) == msgspec.structs.replace(record, offset_minutes=None)


def test_a_command_in_json() -> None:
    value = command_json(
        kind="redrive",
        reason="because",
        ticket="T-1",
        local_date="2024-02-29",
        key_id="k",
        withdraws="r-0",
        payload=base64.b64encode(b"\x00raw").decode(),
        payload_append_time="1970-01-01T00:00:01Z",
        operation="rebuild.approve",
        subject="rb-1: half a \ud83d, mended",
        payload_topic="completions",
        payload_cause="awaway.completions[3]@17",
    )
    days = (date(2024, 2, 29) - date(1970, 1, 1)).days
    assert DECODER.decode_command(value) == Command(
        "r-1",
        "user-1",
        "redrive",
        "support:anna",
        "because",
        "T-1",
        days,
        "k",
        "r-0",
        b"\x00raw",
        1_000,
        None,
        "rebuild.approve",
        "rb-1: half a \ufffd, mended",
        "completions",
        "awaway.completions[3]@17",
    )


@pytest.mark.parametrize("kind", COMMAND_KINDS)
def test_every_kind_of_command_is_taken_in_both_forms(kind: str) -> None:
    record = DECODER.decode_command(command_json(kind=kind))
    assert record.kind == kind
    assert DECODER.decode_command(ENCODERS["Command"].encode(record)) == record


def test_labels_in_avro_are_bounded_too() -> None:
    labels = dict.fromkeys(map(str, range(65)), "x" * 1_025)
    record = msgspec.structs.replace(COMPLETION, context=labels, app_version="x" * 257)
    read = DECODER.decode_completion(ENCODERS["PracticeCompleted"].encode(record))
    assert read.app_version == "x" * 256
    assert read.context == dict.fromkeys(map(str, range(64)), "x" * 1_024)


def test_inputs_in_avro() -> None:
    assert DECODER.decode_completion(ENCODERS["PracticeCompleted"].encode(COMPLETION)) == COMPLETION
    assert DECODER.decode_command(ENCODERS["Command"].encode(COMMAND)) == COMMAND


@pytest.mark.parametrize(
    ("record", "changes", "reason"),
    [
        (COMPLETION, {"started_at": INSTANT_MIN - 1}, "instant_out_of_range"),
        (COMPLETION, {"completed_at": INSTANT_MAX + 1}, "instant_out_of_range"),
        (COMPLETION, {"sent_at": 2**62}, "instant_out_of_range"),
        (COMPLETION, {"user_id": "x" * 257}, "field_too_long"),
        (
            COMPLETION,
            {"context": dict.fromkeys(map(str, range(10_001)), "")},
            "collection_too_large",
        ),
        (COMMAND, {"reason": "x" * 4_097}, "field_too_long"),
        (COMMAND, {"actor": "x" * 257}, "field_too_long"),
        (COMMAND, {"operation": "x" * 257}, "field_too_long"),
        (COMMAND, {"subject": "x" * 4_097}, "field_too_long"),
        (COMMAND, {"payload_cause": "x" * 4_097}, "field_too_long"),
        (COMMAND, {"payload_append_time": -(2**62)}, "instant_out_of_range"),
        (COMMAND, {"local_date": LOCAL_DATE_MAX + 1}, "date_out_of_range"),
        (COMMAND, {"local_date": LOCAL_DATE_MIN - 1}, "date_out_of_range"),
        (COMMAND, {"kind": "unknown"}, "unknown_kind"),
    ],
)
def test_bounds_hold_in_avro_too(
    record: PracticeCompleted | Command, changes: dict[str, Any], reason: str
) -> None:
    value = ENCODERS[type(record).__name__].encode(msgspec.structs.replace(record, **changes))
    error = refusal(value, command=isinstance(record, Command))
    assert error.reason == reason
    assert error.schema_id == int.from_bytes(value[1:5], "big")


def test_the_largest_that_is_taken() -> None:
    largest = msgspec.structs.replace(
        COMPLETION,
        completion_id="é" * inputs.TEXT_CHARS_MAX,
        started_at=INSTANT_MIN,
        completed_at=INSTANT_MAX,
        context={
            str(n).zfill(input_bounds.CONTEXT_KEY_CHARS_MAX): "x"
            * input_bounds.CONTEXT_VALUE_CHARS_MAX
            for n in range(input_bounds.CONTEXT_ENTRIES_MAX)
        },
    )
    assert DECODER.decode_completion(ENCODERS["PracticeCompleted"].encode(largest)) == largest


def test_the_schema_id_is_told_wherever_it_could_be_read() -> None:
    assert refusal(framing(77) + b"x").schema_id == 77
    assert refusal(b"\x00\xff\xff\xff\xff").schema_id == -1
    assert refusal(framing(1)).schema_id == 1
    assert refusal(framing(3)).schema_id == 3
    assert refusal(b"\x00\x00").schema_id is None
    assert refusal(completion_json(tz=1)).schema_id is None


def test_what_a_value_names_as_its_schema() -> None:
    assert schema_id_in(framing(77) + b"x") == 77
    assert schema_id_in(framing(77)) == 77
    assert schema_id_in(b"\x00\xff\xff\xff\xff") == -1
    for value in (None, b"", b"\x00\x00", b"{}   ", b"\x01\x00\x00\x00\x01"):
        assert schema_id_in(value) is None


def test_a_schema_id_in_a_header_is_told_how_to_come() -> None:
    body = ENCODERS["PracticeCompleted"].encode(COMPLETION)[5:]
    error = refusal(body)
    assert error.reason == "unknown_format"
    assert "__value_schema_id" in error.detail


def test_a_registry_that_does_not_answer_is_no_fault_of_the_record() -> None:
    with pytest.raises(RegistryUnavailableError):
        DECODER.decode_completion(framing(SILENT) + b"x")


def test_a_schema_is_asked_for_once_while_it_is_remembered() -> None:
    asked: list[int] = []

    def counting(schema_id: int) -> JsonSchema:
        asked.append(schema_id)
        return SCHEMAS["PracticeCompleted"].tree if schema_id % 2 else {"type": "string"}

    decoder = InputDecoder(SCHEMAS, counting)
    body = ENCODERS["PracticeCompleted"].encode(COMPLETION)[5:]
    for schema_id in (1, 1, 2, 2, 1, 2):
        value = framing(schema_id) + body
        if schema_id == 1:
            assert decoder.decode_completion(value) == COMPLETION
        else:
            with pytest.raises(DecodeError, match="cannot be read as PracticeCompleted"):
                decoder.decode_completion(value)
    assert asked == [1, 2]
    for schema_id in range(3, 2 * READERS_MAX + 9, 2):
        assert decoder.decode_completion(framing(schema_id) + body) == COMPLETION
    assert len(asked) == READERS_MAX + 5
    assert len(decoder._completions._readers) == READERS_MAX
    assert decoder.decode_completion(framing(1) + body) == COMPLETION  # the oldest was left out
    assert asked[-1] == 1


@settings(max_examples=300)
@given(st.binary(max_size=120))
def test_nothing_but_decode_errors_comes_of_noise(noise: bytes) -> None:
    for value in (noise, b"{" + noise, framing(1) + noise, framing(2) + noise):
        for decode in (DECODER.decode_completion, DECODER.decode_command):
            try:
                decode(value)
            except DecodeError as error:
                assert error.reason in REASONS


@settings(max_examples=200)
@given(st.data())
def test_nothing_but_decode_errors_comes_of_damaged_json(data: st.DataObject) -> None:
    value = bytearray(completion_json(context={"a": "b"}, sent_at="2026-03-01T06:30:00Z"))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        record = DECODER.decode_completion(bytes(value))
    except DecodeError as error:
        assert error.reason in REASONS
    else:
        assert json.loads(bare(bytes(value)))["user_id"] == record.user_id


def test_a_long_detail_is_cut_and_still_a_text() -> None:
    error = DecodeError("wrong_type", "x" * 10_000)
    assert len(error.detail) == DETAIL_CHARS_MAX
    assert error.as_dict()["fields"] == {"reason": "wrong_type", "schema_id": None}


USER = "user-é"
HOME = partition_of(USER.encode(), 4)


def test_a_key_that_is_right() -> None:
    check_key(USER.encode(), USER, HOME, 4)


def test_only_an_operation_may_be_about_nobody() -> None:
    for kind in COMMAND_KINDS:
        nobodys = Command("r-1", "", kind, "ops:lea")
        assert names_no_user(nobodys) == (kind == "operation")
        assert not names_no_user(msgspec.structs.replace(nobodys, user_id=USER))
    assert not names_no_user(msgspec.structs.replace(COMPLETION, user_id=""))


@pytest.mark.parametrize(
    ("key", "partition", "reason", "hint"),
    [
        (None, HOME, "no_key", "send the user id"),
        (b"", HOME, "no_key", "send the user id"),
        (b"\xff\xfe", HOME, "key_not_utf8", "in UTF-8"),
        (framing(1) + b"user", HOME, "key_not_user", "'\\\\x00"),
        (b"\xff" * 1_000_000, HOME, "key_not_utf8", "ff ff"),
        (b"someone else", HOME, "key_not_user", "'someone else'"),
        (USER.upper().encode(), HOME, "key_not_user", "the value's user_id"),
        (b"x" * 1_000_000, HOME, "key_not_user", "xxx"),
        (USER.encode(), HOME ^ 1, "wrong_partition", "partitioner=murmur2_random"),
    ],
)
def test_keys_that_are_wrong(key: bytes | None, partition: int, reason: str, hint: str) -> None:
    with pytest.raises(DecodeError, match=hint) as caught:
        check_key(key, USER, partition, 4)
    assert caught.value.stage == "transport"
    assert caught.value.reason == reason
    assert reason in KEY_REASONS
    assert len(caught.value.detail) < 400
