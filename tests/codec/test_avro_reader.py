"""The strict reader: agreement with fastavro where it accepts, bounds where bytes are hostile."""

import copy
import io
import time
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.codec import varint
from pipeline.codec.avro_reader import (
    ITEMS_MAX,
    AvroReader,
    MalformedAvroError,
    UnresolvableSchemaError,
)
from pipeline.codec.schemas import Schema
from tests.codec.samples import SAMPLES, SCHEMAS, fastavro_body, from_plain, plain, values_of

COMPLETION = SCHEMAS["PracticeCompleted"]
INPUTS = ("PracticeCompleted", "Command")
READERS = {name: AvroReader(SCHEMAS[name].tree, SCHEMAS[name]) for name in INPUTS}
BY_NAME = {type(record).__name__: record for record in SAMPLES}
z = varint.zigzag


def record_of(*fields: dict[str, Any], name: str = "R") -> Schema:
    return Schema(name, "", {"type": "record", "name": name, "fields": list(fields)})


def field(kind: object, name: str = "f", **more: object) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def read_one(writer: object, reader: object, body: bytes) -> Any:
    """Write with one type, read with another."""
    return AvroReader(record_of(field(writer)).tree, record_of(field(reader))).read(body, 0)[0]


@pytest.mark.parametrize("name", INPUTS)
@settings(max_examples=60)
@given(data=st.data())
def test_it_reads_what_was_written(name: str, data: st.DataObject) -> None:
    tree = data.draw(values_of(SCHEMAS[name].tree))
    body = fastavro_body(SCHEMAS[name], tree)
    row = READERS[name].read(b"12345" + body, 5)
    assert type(BY_NAME[name])(*row) == from_plain(name, tree)


@pytest.mark.parametrize("name", INPUTS)
def test_no_part_of_a_body_is_a_body(name: str) -> None:
    body = fastavro_body(SCHEMAS[name], plain(BY_NAME[name]))
    for end in range(len(body)):
        with pytest.raises(MalformedAvroError):
            READERS[name].read(body[:end], 0)
    with pytest.raises(MalformedAvroError) as caught:
        READERS[name].read(body + b"\x00", 0)
    assert caught.value.reason == "trailing_bytes"


@settings(max_examples=300)
@given(st.data())
def test_what_it_accepts_of_damaged_bytes_is_what_another_reader_sees(data: st.DataObject) -> None:
    body = bytearray(fastavro_body(COMPLETION, plain(BY_NAME["PracticeCompleted"])))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        row = READERS["PracticeCompleted"].read(bytes(body), 0)
    except MalformedAvroError:
        return
    plain_longs = copy.deepcopy(COMPLETION.tree)
    for one in plain_longs["fields"]:
        if one["name"].endswith("_at"):
            one["type"] = ["null", "long"] if isinstance(one["type"], list) else "long"
    read = fastavro.schemaless_reader(io.BytesIO(body), fastavro.parse_schema(plain_longs), None)
    assert isinstance(read, dict)
    assert row == list(read.values())


@given(st.binary(max_size=200))
def test_noise_is_refused_or_read_but_never_raises_anything_else(noise: bytes) -> None:
    for name in INPUTS:
        try:
            row = READERS[name].read(noise, 0)
        except MalformedAvroError as error:
            assert error.reason
        else:
            assert len(row) == len(SCHEMAS[name].tree["fields"])


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("string", z(-1) + b"x", "malformed_avro"),
        ("string", z(-100) + b"x", "malformed_avro"),
        ("string", z(2**62) + b"abc", "truncated_avro"),
        ("string", z(3) + b"ab", "truncated_avro"),
        ("string", z(2) + b"\xff\xfe", "invalid_utf8"),
        ("string", z(3) + b"\xed\xa0\x80", "invalid_utf8"),
        ("string", b"", "truncated_avro"),
        ("string", z(100) + b"x" * 101, "trailing_bytes"),
        ("bytes", z(-1), "malformed_avro"),
        ("bytes", z(2**62), "truncated_avro"),
        ("boolean", b"\x02", "malformed_avro"),
        ("boolean", b"", "truncated_avro"),
        ("int", z(2**31), "number_out_of_range"),
        ("int", z(-(2**31) - 1), "number_out_of_range"),
        ("long", b"\x80" * 10 + b"\x01", "number_out_of_range"),
        ("long", b"\xff" * 9 + b"\x03", "number_out_of_range"),
        ("long", b"\x80", "truncated_avro"),
        ("long", b"\x80" * 1_000_000, "number_out_of_range"),
        (["null", "string"], z(2), "malformed_avro"),
        (["null", "string"], z(-1) + z(1) + b"x", "malformed_avro"),
        ({"type": "map", "values": "string"}, z(2**62), "collection_too_large"),
        ({"type": "map", "values": "string"}, z(-(2**62)) + z(0), "collection_too_large"),
        ({"type": "map", "values": "string"}, z(ITEMS_MAX + 1), "collection_too_large"),
        ({"type": "map", "values": "string"}, z(ITEMS_MAX), "truncated_avro"),
        (
            {"type": "map", "values": "string"},
            (z(1) + z(0) + z(0)) * 2 + z(0),
            "duplicate_field",
        ),
        ({"type": "enum", "name": "E", "symbols": ["a"], "default": "a"}, z(1), "malformed_avro"),
        ({"type": "enum", "name": "E", "symbols": ["a"], "default": "a"}, z(-1), "malformed_avro"),
    ],
)
def test_bytes_that_are_no_value(kind: object, body: bytes, reason: str) -> None:
    with pytest.raises(MalformedAvroError) as caught:
        read_one(kind, kind, body)
    assert caught.value.reason == reason


def test_maps_come_in_blocks_with_or_without_their_size() -> None:
    kind = {"type": "map", "values": "string"}
    entry = [z(1) + bytes((97 + n,)) + z(0) for n in range(3)]
    body = z(1) + entry[0] + z(-2) + z(6) + entry[1] + entry[2] + z(0)
    assert read_one(kind, kind, body) == {"a": "", "b": "", "c": ""}


def test_numbers_at_the_edges() -> None:
    for number in (2**63 - 1, -(2**63), 0, -1, 63, -64, 64):
        assert read_one("long", "long", z(number)) == number
    for number in (2**31 - 1, -(2**31)):
        assert read_one("int", "long", z(number)) == number


@pytest.mark.parametrize(
    ("writer", "reader", "body", "expected"),
    [
        ("int", "long", z(5), 5),
        ("bytes", "string", z(1) + b"x", "x"),
        ("string", "bytes", z(1) + b"x", b"x"),
        ("string", ["null", "string"], z(1) + b"x", "x"),
        ("null", ["null", "string"], b"", None),
        (["string", "null"], ["null", "string"], z(1), None),
        (["string", "null"], ["null", "string"], z(0) + z(1) + b"x", "x"),
        (["string"], "string", z(0) + z(1) + b"x", "x"),
        ({"type": {"type": "string"}}, "string", z(1) + b"x", "x"),
        ("long", {"type": "long", "logicalType": "timestamp-millis"}, z(7), 7),
        (
            {"type": "enum", "name": "E", "symbols": ["new", "a"]},
            {"type": "enum", "name": "E", "symbols": ["other", "a"], "default": "other"},
            z(0),
            "other",
        ),
        (
            {"type": "enum", "name": "E", "symbols": ["new", "a"]},
            {"type": "enum", "name": "E", "symbols": ["other", "a"], "default": "other"},
            z(1),
            "a",
        ),
        (
            {"type": "record", "name": "S", "fields": [field("int", "x"), field("int", "y")]},
            {
                "type": "record",
                "name": "S",
                "fields": [field("int", "y"), field("int", "z", default=4)],
            },
            z(1) + z(2),
            [2, 4],
        ),
    ],
)
def test_older_and_newer_writers_are_understood(
    writer: object, reader: object, body: bytes, expected: object
) -> None:
    assert read_one(writer, reader, body) == expected


@pytest.mark.parametrize(
    ("writer", "reader", "why"),
    [
        ("long", "int", "long where int"),
        ("null", "string", "null where string"),
        (["null", "int"], "string", "f has null where string"),
        ([], "string", "an empty union"),
        ("float", "string", "float where string"),
        ({"type": "map", "values": "int"}, {"type": "map", "values": "string"}, "int where string"),
        ({"type": "map", "values": "string"}, "string", "map where string"),
        ({"type": "array", "items": "string"}, {"type": "map", "values": "string"}, "array where"),
        (
            {"type": "long", "logicalType": "timestamp-micros"},
            {"type": "long", "logicalType": "timestamp-millis"},
            "timestamp-micros where timestamp-millis",
        ),
        ("Nowhere", "string", "'Nowhere' is not defined"),
        (
            {"type": "record", "name": "A", "fields": []},
            {"type": "record", "name": "B", "fields": []},
            "of A",
        ),
        (
            {"type": "enum", "name": "E", "symbols": ["a"]},
            {"type": "record", "name": "E", "fields": []},
            "enum where record",
        ),
        ({"type": "map"}, {"type": "map", "values": "string"}, "not an Avro schema"),
        (5, "string", "not an Avro schema"),
        ({}, "string", "not an Avro schema"),
    ],
)
def test_schemas_that_cannot_be_read_as_ours(writer: object, reader: object, why: str) -> None:
    with pytest.raises(UnresolvableSchemaError, match=why):
        read_one(writer, reader, b"")


def test_a_field_that_is_missing_needs_a_default() -> None:
    with pytest.raises(UnresolvableSchemaError, match="lacks the field f"):
        AvroReader(record_of().tree, record_of(field("string")))


def test_two_rows_do_not_share_a_default() -> None:
    reader = AvroReader(
        record_of().tree, record_of(field({"type": "map", "values": "string"}, default={}))
    )
    reader.read(b"", 0)[0]["left"] = "behind"
    assert reader.read(b"", 0) == [{}]


EXTRA: list[tuple[object, bytes]] = [
    ("null", b""),
    ("boolean", b"\x01"),
    ("int", z(70)),
    ("long", z(-(2**62))),
    ("float", b"1234"),
    ("double", b"12345678"),
    ("bytes", z(3) + b"abc"),
    ("string", z(200) + b"x" * 200),
    ({"type": "fixed", "name": "X", "size": 6}, b"abcdef"),
    ({"type": "enum", "name": "X", "symbols": ["a", "b"]}, z(1)),
    ({"type": "array", "items": "long"}, z(2) + z(1) + z(2) + z(0)),
    ({"type": "array", "items": ["null", "int"]}, z(2) + z(0) + z(1) + z(9) + z(0)),
    ({"type": "array", "items": {"type": "fixed", "name": "X", "size": 1}}, z(1) + b"x" + z(0)),
    ({"type": "map", "values": "null"}, z(1) + z(1) + b"k" + z(0)),
    (["null", "string"], z(1) + z(1) + b"x"),
    (["null", "string"], z(0)),
    ({"type": "array", "items": "float"}, z(2) + b"12345678" + z(-1) + z(4) + b"1234" + z(0)),
    ({"type": "map", "values": "string"}, (z(1) + (z(1) + b"k" + z(1) + b"\xff")) * 2 + z(0)),
    (
        {"type": "record", "name": "X", "fields": [field("int", "x"), field("int", "y")]},
        z(1) + z(2),
    ),
]


@pytest.mark.parametrize(("kind", "bytes_of_it"), EXTRA)
def test_fields_that_we_do_not_know_are_passed_over(kind: object, bytes_of_it: bytes) -> None:
    writer = record_of(field(kind, "extra"), field("string"))
    reader = AvroReader(writer.tree, record_of(field("string")))
    assert reader.read(bytes_of_it + z(1) + b"x", 0) == ["x"]


def test_a_type_that_is_used_again_by_its_name() -> None:
    inner = {"type": "record", "name": "X", "fields": [field("int", "x")]}
    writer = record_of(
        field(inner, "a"), field({"type": "array", "items": "X"}, "b"), field("string")
    )
    reader = AvroReader(writer.tree, record_of(field("string")))
    assert reader.read(z(5) + z(1) + z(6) + z(0) + z(1) + b"x", 0) == ["x"]


def test_our_own_type_that_is_used_again_by_its_name() -> None:
    inner = {"type": "record", "name": "X", "fields": [field("int", "x")]}
    schema = record_of(field(inner, "a"), field(["null", "X"], "b"))
    assert AvroReader(schema.tree, schema).read(z(5) + z(1) + z(6), 0) == [[5], [6]]


def test_a_body_whose_counts_lie_costs_no_more_than_its_length() -> None:
    """A megabyte of entries of one byte each is stopped at the bound; a thousand maps of it too."""
    kind = {"type": "array", "items": {"type": "array", "items": "boolean"}}
    reader = AvroReader(record_of(field(kind, "extra")).tree, record_of())
    started_s = time.perf_counter()
    with pytest.raises(MalformedAvroError):
        reader.read((z(9_999) + z(9_999)) + b"\x01" * 1_000_000, 0)
    assert time.perf_counter() - started_s < 2
