"""What a refused JSON input is told: the field, what is wrong with it, what to send."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.codec import input_bounds, json_inputs
from pipeline.codec.errors import DecodeError
from pipeline.codec.inputs import REASONS
from pipeline.codec.json_exact import exact_command, exact_completion
from pipeline.codec.json_object import DEPTH_MAX
from pipeline.core.enumerations import COMMAND_KINDS
from pipeline.core.records import Command, PracticeCompleted
from tests.codec.inputs_scene import (
    BASE,
    DECODER,
    ENCODERS,
    command_json,
    completion_json,
    refusal,
)

HALF = "x\ud83d"
NESTED = b"[" * DEPTH_MAX + b"]" * DEPTH_MAX


def more(members: bytes) -> bytes:
    return completion_json()[:-1] + b"," + members + b"}"


def without(name: str, *, of: bytes) -> bytes:
    fields = json.loads(of)
    del fields[name]
    return json.dumps(fields).encode()


FIELD_REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    ({"user_id": None}, "wrong_type", "user_id is null; send a text"),
    ({"user_id": 7}, "wrong_type", "user_id is a number; send a text"),
    ({"session_id": True}, "wrong_type", "session_id is a boolean; send a text"),
    ({"practice": ["breath"]}, "wrong_type", "practice is an array; send a text"),
    ({"tz": {}}, "wrong_type", "tz is an object; send a text"),
    ({"device_id": {}}, "wrong_type", "device_id is an object; send a text"),
    ({"app_version": []}, "wrong_type", "app_version is an array; send a text"),
    (
        {"completed_at": 1_772_346_600},
        "wrong_type",
        "completed_at is a number; send a text such as 2026-03-01T06:30:00.000+01:00",
    ),
    (
        {"started_at": "2026-03-01T06:10:00"},
        "instant_without_offset",
        "started_at is '2026-03-01T06:10:00': it has no offset from UTC; send RFC 3339 with an"
        " offset, such as 2026-03-01T06:30:00.000+01:00",
    ),
    (
        {"sent_at": "2026-03-01T24:00:00Z"},
        "invalid_instant",
        "sent_at is '2026-03-01T24:00:00Z': its hour is 24; the last one is 23, and midnight is"
        " 00:00; send RFC 3339 with an offset, such as 2026-03-01T06:30:00.000+01:00",
    ),
    (
        {"completed_at": "9" * 100_000},
        "invalid_instant",
        f"completed_at is '{'9' * 40}': it does not begin with a date such as 2026-03-01; send RFC"
        " 3339 with an offset, such as 2026-03-01T06:30:00.000+01:00",
    ),
    (
        {"completion_id": "x" * 257},
        "field_too_long",
        "completion_id has 257 characters; send at most 255",
    ),
    (
        {"session_id": HALF},
        "invalid_text",
        r"session_id has half a character, the lone surrogate \ud83d; send whole characters,"
        " because two names that were cut must not become one",
    ),
    ({"context": ["a"]}, "wrong_type", "context is an array; send an object of texts"),
]


@pytest.mark.parametrize(("changes", "reason", "detail"), FIELD_REFUSALS, ids=lambda v: "")
def test_a_refused_field_is_named_first(changes: dict[str, Any], reason: str, detail: str) -> None:
    error = refusal(completion_json(**changes))
    assert (error.reason, error.detail) == (reason, detail)
    (name,) = changes
    assert re.match(r"([a-z_]+)(?:\.\S+)? (?:is|has) ", error.detail)
    assert error.detail.startswith(name)


@pytest.mark.parametrize("name", ["completion_id", "user_id", "session_id", "tz"])
def test_half_a_character_is_refused_where_names_are_told_apart(name: str) -> None:
    error = refusal(completion_json(**{name: HALF}))
    assert error.reason == "invalid_text"
    assert error.detail.startswith(f"{name} has half a character")


@pytest.mark.parametrize(
    "name", ["request_id", "user_id", "actor", "ticket", "key_id", "withdraws", "tz"]
)
def test_half_a_character_is_refused_in_a_command_too(name: str) -> None:
    error = refusal(command_json(**{name: HALF}), command=True)
    assert error.reason == "invalid_text"
    assert error.detail.startswith(f"{name} has half a character")


@pytest.mark.parametrize("name", [name for name in BASE if name != "tz"])
def test_a_missing_field_is_named(name: str) -> None:
    error = refusal(without(name, of=completion_json()))
    assert (error.reason, error.detail) == ("missing_field", f"{name} is missing; send it")


def test_a_missing_field_of_a_command_is_named() -> None:
    error = refusal(without("actor", of=command_json()), command=True)
    assert (error.reason, error.detail) == ("missing_field", "actor is missing; send it")


def test_beside_a_missing_field_stands_what_may_be_meant_by_it() -> None:
    fields = {"userId": "u", "a": 1, "b" * 90: 2, "\ud83d": 3}
    error = refusal(json.dumps(fields | BASE).replace("user_id", "uid").encode())
    assert error.detail == (
        f"user_id is missing; send it (not known here, and ignored: 'userId', 'a', '{'b' * 40}…')"
    )
    assert r"'\ud83d'" in refusal(rb'{"\ud83d":1}').detail


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        (b'"tz":"Europe/Berlin"', "field 'tz' occurs twice; send it once"),
        (rb'"\u0074z":"UTC"', "field 'tz' occurs twice; send it once"),
        (b'"sent_at":null,"sent_at":null', "field 'sent_at' occurs twice; send it once"),
        (b'"extra":1,"extra":1', "field 'extra' occurs twice; send it once"),
        (b'"x":1,"":2,"":3,"x":4', "field 'x' occurs twice; send it once"),
        (rb'"\ud83d":1,"\ud83d":2', r"field '\ud83d' occurs twice; send it once"),
        (b'"context":{},"context":{"a":"b"}', "field 'context' occurs twice; send it once"),
        (b'"context":{"a":"","a":""}', "context has the key 'a' twice; send it once"),
        (rb'"context":{"a":"\"","\u0061":1}', "context has the key 'a' twice; send it once"),
        (b'"context":{"a":null,"a":"b"}', "context has the key 'a' twice; send it once"),
        (
            rb'"context":{"\ud83d":1,"\ud83d":2}',
            r"context has the key '\ud83d' twice; send it once",
        ),
        (
            b'"context":{' + b",".join(b'"%d":0' % n for n in range(90_000)) + b',"89999":1}',
            "context has the key '89999' twice; send it once",
        ),
    ],
    ids=lambda v: "",
)
def test_what_occurs_twice_is_named(members: bytes, detail: str) -> None:
    error = refusal(more(members))
    assert (error.reason, error.detail) == ("duplicate_field", detail)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"{", "Expecting property name"),
        (completion_json() * 2, "Extra data at character 207"),
        (completion_json() + b",", "Extra data at character 207"),
        (completion_json() + b"\x00", "Extra data at character 207"),
        (b'{"x', "Unterminated string starting at character 1"),
        (more(b'"x":NaN'), "NaN is no JSON"),
        (more(b'"x":[-Infinity]'), "-Infinity is no JSON"),
        (more(b'"context":{"a":Infinity}'), "Infinity is no JSON"),
        (more(b'"x":01'), "Expecting ',' delimiter"),
        (more(b'"x":+1'), "Expecting value"),
        (more(b'"x":0x1F'), "Expecting ',' delimiter"),
        (more(b'"x":.5'), "Expecting value"),
        (more(b'"x":1.'), "Expecting ',' delimiter"),
        (more(b"'x':1"), "property name enclosed in double quotes"),
        (more(b"x:1"), "property name enclosed in double quotes"),
        (more(b'"x":[1,]'), "at character"),
        (completion_json()[:-1] + b",}", "at character"),
        (more(b'"x":1 // note'), "at character"),
        (more(b'"x":1 /* note */'), "at character"),
        (more(b'"x":"\t"'), "Invalid control character"),
        (more(rb'"x":"\x41"'), "escape"),
        (more(rb'"x":"\u12"'), "escape"),
        (more(b'"x":"'), "Unterminated string"),
        (more(b'"x":undefined'), "Expecting value"),
        (more(b'"x":[' + NESTED + b"]"), "nested more than 100 deep"),
        (more(b'"x":' + b'{"":' * 100_000), "nested more than 100 deep"),
        (more(b'"context":' + b"[" * 500_000), "nested more than 100 deep"),
        (more(rb'"x":"\\",' + b'"y":[' + NESTED + b"]"), "nested more than 100 deep"),
        (more(b'"x":"' + b"\\" * 99_999), "escape"),
    ],
    ids=lambda v: "",
)
def test_what_is_no_json_is_told_why(value: bytes, why: str) -> None:
    error = refusal(value)
    assert error.reason == "malformed_json"
    assert why in error.detail
    assert error.detail.startswith("the value is malformed: ")
    assert error.detail.endswith("; send one JSON object")


def test_what_is_not_utf_8_is_told_where() -> None:
    value = more(b'"x":"\xff"')
    assert refusal(value).detail == (
        f"the value is not UTF-8, from byte {value.index(0xFF)} on; send JSON in UTF-8"
    )


def test_what_is_no_object_is_refused_by_whoever_asks() -> None:
    with pytest.raises(DecodeError, match="the value is an array; send one JSON object"):
        json_inputs.completion(b"[]")
    with pytest.raises(DecodeError, match="the value is a number; send one JSON object"):
        json_inputs.command(b"7")


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"kind": "refund"}, "kind is 'refund', which is not known to this release; send one of"),
        ({"kind": 1}, "kind is a number; send a text"),
        ({"local_date": 20_000}, "local_date is a number; send a text, YYYY-MM-DD"),
        ({"local_date": "20260301"}, "local_date is '20260301', which is no date; send it as"),
        ({"local_date": "2026-02-30"}, "local_date is '2026-02-30': there is no such date"),
        ({"local_date": "0001-12-31"}, "local_date is 0001-12-31; send a date of years 2 to 9998"),
        ({"payload": []}, "payload is an array; send a text in base64"),
        ({"payload": "QUI"}, "payload is a text that is not base64"),
        ({"payload": "QUI=QUI="}, "payload is a text that is not base64"),
        ({"payload": "A==="}, "payload is a text that is not base64"),
        ({"payload": "_-A="}, "payload is a text that is not base64"),
        ({"payload": "٠٠٠٠"}, "payload is a text that is not base64"),
        ({"payload_append_time": "now"}, "payload_append_time is 'now': it does not begin with"),
        ({"reason": "x" * 4_097}, "reason has 4097 characters; send at most 4096"),
        ({"tz": "x" * 257}, "tz has 257 characters; send at most 256"),
        ({"ticket": 17}, "ticket is a number; send a text"),
    ],
    ids=lambda v: "",
)
def test_a_refused_field_of_a_command_is_named_first(changes: dict[str, Any], detail: str) -> None:
    assert refusal(command_json(**changes), command=True).detail.startswith(detail)


def test_a_long_zone_of_a_command_is_refused_in_avro_too() -> None:
    command = Command("r-1", "user-1", "credit", "support:anna", tz="x" * 257)
    error = refusal(ENCODERS["Command"].encode(command), command=True)
    assert error.detail == "tz has 257 characters; send at most 256"


PIECES = (
    *(
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"null",
        b"true",
        b"01",
        b"1.5",
        b"-",
        b"1e9",
    ),
    *(b"NaN", b'"tz":"UTC",', b'"x":1,', rb"\u0022", rb"\ud83d", b"\xff", b"\xed\xa0\x80", b"\x00"),
    *(b" ", b"\n", b"\xef\xbb\xbf", rb"\"", rb"\\", b'"context":{"a":1},', b'"sent_at":null,'),
)
BODIES = [
    completion_json(),
    completion_json(app_build=412, flags={"a": [1, {"b": "[{"}], "c": None}, note='"é"'),
    completion_json(context={"a": 'say "so"', "b": 1.5, "c": None}, sent_at=None, device_id="d"),
]


@settings(max_examples=500)
@given(
    st.sampled_from(BODIES),
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 9), st.sampled_from(PIECES)), max_size=3
    ),
)
def test_the_fast_reading_and_the_exact_one_say_the_same_of_anything(
    body: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    value = bytearray(body)
    for at, removed, inserted in edits:
        value[at : at + removed] = inserted
    ignored = [0]
    try:
        fast = json_inputs.completion(bytes(value), ignored.append)
    except DecodeError as error:
        assert error.reason in REASONS
        with pytest.raises(DecodeError, match=re.escape(error.detail)):
            exact_completion(bytes(value))
    else:
        assert (fast, ignored[-1]) == exact_completion(bytes(value))


@settings(max_examples=300)
@given(
    st.binary(max_size=80)
    | st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=9),
        lambda held: (
            st.lists(held, max_size=3)
            | st.dictionaries(st.text(max_size=5) | st.sampled_from(list(BASE)), held, max_size=4)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_anything_at_all_is_a_record_or_a_refusal(value: bytes) -> None:
    for one in (value, b"{" + value, b"\xef\xbb\xbf {" + value, more(b'"x":' + value)):
        for decode in (DECODER.decode_completion, DECODER.decode_command):
            try:
                assert isinstance(decode(one), PracticeCompleted | Command)
            except DecodeError as error:
                assert error.reason in REASONS
                error.detail.encode()
        try:
            exact_command(one)
        except DecodeError as error:
            assert error.reason in REASONS


def test_a_refusal_names_as_many_characters_as_the_core_takes() -> None:
    for name, taken in (("user_id", 255), ("session_id", 255), ("practice", 64)):
        error = refusal(completion_json(**{name: "x" * 257}))
        assert error.detail == f"{name} has 257 characters; send at most {taken}"
    for name in ("request_id", "actor", "withdraws"):
        error = refusal(command_json(**{name: "x" * 257}), command=True)
        assert error.detail == f"{name} has 257 characters; send at most 255"


def test_an_unknown_kind_is_told_the_kinds_that_are_carried_out() -> None:
    error = refusal(command_json(kind="zzz"), command=True)
    _, _, kinds = error.detail.partition("send one of ")
    left_out = [kind for kind in COMMAND_KINDS if kind not in kinds.split(", ")]
    assert left_out == ["erase", "repair"]


def test_the_bounds_are_those_that_the_documents_name() -> None:
    assert (input_bounds.TEXT_CHARS_MAX, input_bounds.REASON_CHARS_MAX) == (256, 4_096)
    assert input_bounds.CONTEXT_ENTRIES_MAX == 64
    largest = {str(n).zfill(128): "x" * 1_024 for n in range(64)}
    assert DECODER.decode_completion(completion_json(context=largest)).context == largest
    assert DECODER.decode_completion(more(b'"x":' + NESTED[1:-1]))
