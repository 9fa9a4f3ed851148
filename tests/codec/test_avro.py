"""The encoder that is made for a schema, against fastavro."""

import hashlib
import io
from types import SimpleNamespace
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.codec import varint
from pipeline.codec.avro import SCHEMA_ID_MAX, AvroEncoder, framing
from pipeline.codec.avro_source import OptionalTexts, SourceWriter, Texts
from pipeline.codec.errors import EncodeError, SchemaFileError
from pipeline.codec.schemas import RECORDS, Schema
from pipeline.core.records import AuditEntry, Record
from tests.codec.samples import SAMPLES, SCHEMAS, fastavro_body, from_plain, plain, values_of

ENCODERS = {name: AvroEncoder(SCHEMAS[name], 7) for name in RECORDS}
BY_NAME = {type(record).__name__: record for record in SAMPLES}
AUDIT = next(record for record in SAMPLES if isinstance(record, AuditEntry))


def encoder_of(*fields: dict[str, Any]) -> AvroEncoder:
    tree = {"type": "record", "name": "Odd", "fields": list(fields)}
    return AvroEncoder(Schema("Odd", "", tree), 1)


@pytest.mark.parametrize("name", RECORDS)
@settings(max_examples=60)
@given(data=st.data())
def test_it_writes_the_bytes_that_fastavro_writes(name: str, data: st.DataObject) -> None:
    tree = data.draw(values_of(SCHEMAS[name].tree))
    body = fastavro_body(SCHEMAS[name], tree)
    record = from_plain(name, tree)
    assert ENCODERS[name].encode_body(record) == body
    assert ENCODERS[name].encode(record) == b"\x00\x00\x00\x00\x07" + body


@pytest.mark.parametrize("record", SAMPLES, ids=lambda record: type(record).__name__)
def test_lists_encode_as_tuples_do(record: Record) -> None:
    listed = SimpleNamespace(
        **{
            name: list(value) if isinstance(value := getattr(record, name), tuple) else value
            for name in record.__struct_fields__
        }
    )
    encoder = ENCODERS[type(record).__name__]
    assert encoder.encode(listed) == encoder.encode(record)


@pytest.mark.parametrize("length", [8_191, 16_384, varint.SMALL - 1, varint.SMALL, 1_000_000])
def test_texts_and_bytes_of_any_length(length: int) -> None:
    for name, field, value in (
        ("PracticeCompleted", "completion_id", "x" * length),
        ("PracticeCompleted", "tz", "é" * length),
        ("Command", "reason", "x" * length),
        ("Command", "payload", b"x" * length),
        ("PracticeCompleted", "context", {"x" * length: "y", "k": "z" * length}),
        ("AuditEntry", "unlock_ids", ("x" * length,)),
        ("AuditEntry", "unlock_ids", ("x",) * (length % 70_000)),
    ):
        record = msgspec.structs.replace(BY_NAME[name], **{field: value})
        assert ENCODERS[name].encode_body(record) == fastavro_body(SCHEMAS[name], plain(record))


def test_the_audit_record_is_made_in_two_parts() -> None:
    encoder = ENCODERS["AuditEntry"]
    body = encoder.encode_body_before_last(AUDIT)
    digest = hashlib.sha256(body).digest()
    whole = encoder.frame_with_last(body, digest)
    assert whole == encoder.encode(msgspec.structs.replace(AUDIT, hash=digest))
    read = fastavro.schemaless_reader(
        io.BytesIO(whole[5:]), fastavro.parse_schema(SCHEMAS["AuditEntry"].tree), None
    )
    assert isinstance(read, dict)
    assert read["hash"] == digest


def test_the_part_before_the_last_field_may_hold_anything_long() -> None:
    record = msgspec.structs.replace(AUDIT, actor="x" * 100_000)
    encoder = ENCODERS["AuditEntry"]
    body = encoder.encode_body_before_last(record)
    assert encoder.frame_with_last(body, record.hash)[5:] == encoder.encode_body(record)


@pytest.mark.parametrize(
    ("name", "field", "value", "path"),
    [
        ("AuditEntry", "audit_id", 5, "AuditEntry.audit_id is not a string"),
        ("AuditEntry", "audit_id", b"bytes", "AuditEntry.audit_id is not a string"),
        ("AuditEntry", "audit_id", None, "AuditEntry.audit_id is not a string"),
        ("AuditEntry", "audit_id", "\ud800", "AuditEntry.audit_id is not a string that UTF-8"),
        ("AuditEntry", "generation", None, "AuditEntry.generation is not a string"),
        ("AuditEntry", "generation", 5, "AuditEntry.generation is not a string"),
        ("AuditEntry", "reason", 5, "AuditEntry.reason is not a string"),
        ("AuditEntry", "user_id", 5, "AuditEntry.user_id is not a string"),
        ("AuditEntry", "partition", 2**31, "AuditEntry.partition is not a 32-bit integer"),
        ("AuditEntry", "partition", -(2**31) - 1, "AuditEntry.partition is not a 32-bit integer"),
        ("AuditEntry", "partition", 1.5, "AuditEntry.partition is not a 32-bit integer"),
        ("AuditEntry", "sequence", 2**63, "AuditEntry.sequence is not a 64-bit integer"),
        ("AuditEntry", "sequence", -(2**63) - 1, "AuditEntry.sequence is not a 64-bit integer"),
        ("AuditEntry", "sequence", 2**200, "AuditEntry.sequence is not a 64-bit integer"),
        ("AuditEntry", "sequence", "1", "AuditEntry.sequence is not a 64-bit integer"),
        ("AuditEntry", "local_date", 2**31, "AuditEntry.local_date is not a 32-bit integer"),
        ("AuditEntry", "local_date", "x", "AuditEntry.local_date is not a 32-bit integer"),
        ("AuditEntry", "verdict", "nonsense", "AuditEntry.verdict is not one of unknown, accepted"),
        ("AuditEntry", "verdict", None, "AuditEntry.verdict is not one of"),
        ("AuditEntry", "unlock_ids", "abc", "AuditEntry.unlock_ids is not a tuple or list"),
        ("AuditEntry", "unlock_ids", None, "AuditEntry.unlock_ids is not a tuple or list"),
        ("AuditEntry", "unlock_ids", (1,), r"AuditEntry.unlock_ids\[0\] is not a string"),
        ("AuditEntry", "cause", None, "AuditEntry.cause is not a Cause with the field topic"),
        ("AuditEntry", "prev_hash", "text", "AuditEntry.prev_hash is not bytes"),
        ("AuditEntry", "prev_hash", 3, "AuditEntry.prev_hash is not bytes"),
        ("Command", "payload", "text", "Command.payload is not bytes"),
        ("Command", "payload", "", "Command.payload is not bytes"),
        ("Command", "payload_append_time", 2**63, "payload_append_time is not a 64-bit integer"),
        ("GeometryUpdated", "figure_completed", 1, "figure_completed is not a boolean"),
        ("PracticeCompleted", "context", [("a", "b")], "context is not a dict"),
        ("PracticeCompleted", "context", None, "context is not a dict"),
        ("PracticeCompleted", "context", {"a": 1}, "context.a is not a string"),
        ("PracticeCompleted", "context", {1: "a"}, "context is not a string"),
        ("PortalUnlocked", "next_portal", "x", "next_portal is not a NextPortal"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    name: str, field: str, value: object, path: str
) -> None:
    record = msgspec.structs.replace(BY_NAME[name], **{field: value})
    encoder = ENCODERS[name]
    for encode in (encoder.encode, encoder.encode_body):
        with pytest.raises(EncodeError, match=path):
            encode(record)


def test_the_refusal_does_not_print_a_whole_value() -> None:
    record = msgspec.structs.replace(AUDIT, prev_hash="x" * 10_000)
    with pytest.raises(EncodeError) as caught:
        ENCODERS["AuditEntry"].encode_body_before_last(record)
    assert len(str(caught.value)) < 300


def test_numbers_that_fit_are_written_whatever_their_size() -> None:
    for number in (0, 1, -1, 63, 64, 8_191, 8_192, 16_383, 16_384, 2**31, 2**62, -(2**63)):
        record = msgspec.structs.replace(AUDIT, sequence=number, append_time=-number - 1)
        assert ENCODERS["AuditEntry"].encode_body(record) == fastavro_body(
            SCHEMAS["AuditEntry"], plain(record)
        )


def test_many_distant_numbers_stay_right() -> None:
    for n in range(6_000):
        number = n * 7_919_777_777
        assert varint.long(number) == varint.zigzag(number)


def test_recurring_instants_are_bounded_in_number() -> None:
    instants = varint.Instants()
    for n in range(-10, 9_000):
        assert instants[n * 7] == varint.zigzag(n * 7)
    assert len(instants) <= 4_096


def test_a_cause_is_told_from_an_equal_one_and_from_its_neighbour() -> None:
    other = msgspec.structs.replace(AUDIT.cause, offset=AUDIT.cause.offset + 1)
    for cause in (AUDIT.cause, other, AUDIT.cause, msgspec.structs.replace(other), other):
        for name in ("AuditEntry", "ProgressUpdated", "DeadLetter"):
            record = msgspec.structs.replace(BY_NAME[name], cause=cause)
            assert ENCODERS[name].encode_body(record) == fastavro_body(SCHEMAS[name], plain(record))


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_varints_have_64_bits(number: int) -> None:
    with pytest.raises(OverflowError):
        varint.long(number)
    with pytest.raises(OverflowError):
        varint.zigzag(number)


@pytest.mark.parametrize("schema_id", [-1, SCHEMA_ID_MAX + 1])
def test_ids_that_the_framing_cannot_hold(schema_id: int) -> None:
    with pytest.raises(ValueError, match="does not fit the framing"):
        framing(schema_id)


def test_recurring_texts_are_bounded_in_number_and_length() -> None:
    texts = Texts(varint.TABLE)
    for n in range(9_000):
        assert texts[f"t{n}"] == varint.zigzag(len(f"t{n}")) + f"t{n}".encode()
    assert len(texts) <= 8_192
    before = len(texts)
    assert texts["x" * 300] == varint.zigzag(300) + b"x" * 300
    assert len(texts) == before
    assert OptionalTexts(varint.PRESENT_TABLE)[None] == b"\x00"


@pytest.mark.parametrize(
    "kind",
    [
        "float",
        {"type": "array", "items": "double"},
        ["string", "null"],
        ["null", "string", "int"],
        ["null", "float"],
        {"type": "float"},
        {"type": "fixed", "name": "F", "size": 2},
    ],
)
def test_types_that_no_record_of_ours_uses_are_refused(kind: object) -> None:
    with pytest.raises(SchemaFileError, match="is not supported"):
        encoder_of({"name": "odd", "type": kind})


@pytest.mark.parametrize("kind", ["float", {"type": "fixed", "name": "F", "size": 2}])
def test_the_source_writer_refuses_them_by_itself(kind: object) -> None:
    with pytest.raises(SchemaFileError, match="is not supported"):
        SourceWriter().source([{"name": "odd", "type": kind}])


def test_optional_values_of_every_kind() -> None:
    inner = {"type": "record", "name": "Inner", "fields": [{"name": "n", "type": "int"}]}
    fields: list[dict[str, Any]] = [
        {"name": "a", "type": ["null", {"type": "int", "logicalType": "date"}]},
        {"name": "b", "type": ["null", {"type": "array", "items": inner}]},
        {"name": "c", "type": ["null", "Inner"]},
        {"name": "d", "type": ["null", "boolean"]},
        {"name": "e", "type": ["null", {"type": "enum", "name": "E", "symbols": ["x", "y"]}]},
        {"name": "f", "type": ["null", {"type": "map", "values": "long"}]},
        {"name": "g", "type": {"type": "string"}},
        {"name": "h", "type": ["null", {"type": "string"}]},
    ]
    encoder = encoder_of(*fields)
    whole = {
        **{"a": 70_000, "b": [{"n": 1}], "c": {"n": -2}, "d": False, "e": "y", "f": {"k": -1}},
        **{"g": "g", "h": "h"},
    }
    empty = {**dict.fromkeys(whole), "g": ""}
    for tree in (whole, empty):
        as_objects = {
            name: SimpleNamespace(n=-2) if name == "c" and value else value
            for name, value in tree.items()
        }
        if tree["b"]:
            as_objects["b"] = [SimpleNamespace(n=1)]
        record = SimpleNamespace(**as_objects)
        assert encoder.encode_body(record) == fastavro_body(encoder.schema, tree)


@pytest.mark.parametrize("record", SAMPLES, ids=lambda record: type(record).__name__)
def test_the_plain_encoder_agrees_when_a_long_text_calls_for_it(record: Record) -> None:
    name = type(record).__name__
    field = "reason" if name == "DeadLetter" else record.__struct_fields__[0]
    long = msgspec.structs.replace(record, **{field: "x" * 40_000})
    assert ENCODERS[name].encode_body(long) == fastavro_body(SCHEMAS[name], plain(long))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("GeometryUpdated", {"user_id": "x" * 40_000, "figure_completed": False}),
        ("PracticeCompleted", {"user_id": "x" * 40_000, "context": {}}),
    ],
)
def test_the_plain_encoder_and_what_is_empty(name: str, changes: dict[str, Any]) -> None:
    record = msgspec.structs.replace(BY_NAME[name], **changes)
    assert ENCODERS[name].encode_body(record) == fastavro_body(SCHEMAS[name], plain(record))
