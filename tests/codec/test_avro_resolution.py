"""Schema resolution by examples: what our readers make of what others write.

Owns: the cases from the field, and each rule of the specification. Does not own: generated pairs
(test_avro_pairs.py), hostile schemas (test_avro_schemas.py) and bodies (test_avro_reader.py).
"""

import copy
from typing import Any

import pytest

from pipeline.codec.avro_reader import AvroReader, MalformedAvroError, UnresolvableSchemaError
from pipeline.codec.schemas import Schema
from tests.codec.avro_examples import field, read, record, refusal, text, z
from tests.codec.samples import SAMPLES, SCHEMAS, fastavro_body, plain

OURS = SCHEMAS["PracticeCompleted"]
SAMPLE = plain(next(one for one in SAMPLES if type(one).__name__ == "PracticeCompleted"))
ROW = list(SAMPLE.values())
FIELDS = list(SAMPLE)
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}


def changed(**types: object) -> dict[str, Any]:
    """Our schema as somebody else has it, with other types of some fields."""
    tree = copy.deepcopy(OURS.tree)
    for one in tree["fields"]:
        one["type"] = types.get(one["name"], one["type"])
    return tree


def written(tree: dict[str, Any], **values: object) -> bytes:
    return fastavro_body(Schema("PracticeCompleted", "", tree), SAMPLE | values)


# Cases from the field.


def test_the_text_of_a_uuid_is_a_text() -> None:
    name = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
    tree = changed(completion_id={"type": "string", "logicalType": "uuid"})
    row = AvroReader(tree, OURS).read(written(tree, completion_id=name), 0)
    assert row == [name, *ROW[1:]]


def test_a_field_that_may_be_null_and_is_not_is_read() -> None:
    tree = changed(
        practice=["null", "string"], context={"type": "map", "values": ["null", "string"]}
    )
    reader = AvroReader(tree, OURS)
    assert reader.read(written(tree), 0) == ROW
    for values, why in (
        ({"practice": None}, "practice has null where string is expected"),
        ({"context": {"a": None}}, "a value of context has null where string is expected"),
    ):
        with pytest.raises(MalformedAvroError, match=why) as caught:
            reader.read(written(tree, **values), 0)
        assert caught.value.reason == "wrong_type"


def test_a_record_that_may_be_null_and_is_not_is_read() -> None:
    reader = AvroReader(["null", OURS.tree], OURS)
    assert reader.read(z(1) + written(OURS.tree), 0) == ROW
    with pytest.raises(MalformedAvroError, match="it has null where record is expected"):
        reader.read(z(0), 0)


def test_two_records_of_one_short_name_in_two_namespaces_are_two() -> None:
    tree = changed()
    phone = record(field("string", "model"), name="Info", namespace="com.acme.phone")
    watch = record(field("long", "pulse"), name="Info", namespace="com.acme.watch")
    extra = [field(phone, "phone"), field(watch, "watch"), field("com.acme.phone.Info", "tablet")]
    of_extra = {"phone": {"model": "P9"}, "watch": {"pulse": 61}, "tablet": {"model": "T-1000"}}
    for fields in (tree["fields"] + extra, extra + tree["fields"]):
        tree["fields"] = fields
        assert AvroReader(tree, OURS).read(written(tree, **of_extra), 0) == ROW


def test_javas_annotations_and_fields_of_every_type_are_read() -> None:
    java = {"type": "string", "avro.java.string": "String"}
    tree = changed(
        **dict.fromkeys(("completion_id", "user_id", "session_id", "practice", "tz"), java),
        context={"type": "map", "values": java, "avro.java.string": "String"},
        device_id=[java, "null"],
        started_at="long",
    )
    price = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    tree["fields"] += [
        field(price, "price"),
        field({"type": "fixed", "name": "Hash", "size": 3}, "hash"),
        field({"type": "enum", "name": "Mood", "symbols": ["GOOD", "BAD"]}, "mood"),
        field({"type": "map", "values": {"type": "array", "items": "float"}}, "curves"),
    ]
    plain_price = changed()
    plain_price["fields"] = [*tree["fields"][:11], field("bytes", "price"), *tree["fields"][12:]]
    body = written(plain_price, price=b"\x01", hash=b"abc", mood="BAD", curves={"a": [1.5, 2.5]})
    assert AvroReader(tree, OURS).read(body, 0) == ROW


def test_older_writers_are_read_with_our_defaults() -> None:
    tree = changed()
    tree["fields"] = tree["fields"][:7]
    row = AvroReader(tree, OURS).read(written(tree), 0)
    assert row == [*ROW[:7], None, None, None, {}]


# Logical types.

NUMBERS_OF_LONGS = (
    "time-micros",
    "timestamp-micros",
    "timestamp-nanos",
    "local-timestamp-millis",
    "local-timestamp-micros",
    "local-timestamp-nanos",
)


@pytest.mark.parametrize("logical", NUMBERS_OF_LONGS)
def test_a_number_that_means_something_else_is_refused(logical: str) -> None:
    other = {"type": "long", "logicalType": logical}
    with pytest.raises(UnresolvableSchemaError, match=f"has {logical} where timestamp-millis"):
        read(other, MILLIS, b"")
    error = refusal(["null", other], ["null", MILLIS], z(1) + z(5))
    assert error.reason == "wrong_type"
    assert read(["null", other], ["null", MILLIS], z(0)) is None
    assert read(other, "long", z(5)) == 5


@pytest.mark.parametrize(
    ("writer", "reader"),
    [
        ({"type": "int", "logicalType": "date"}, MILLIS),
        ({"type": "int", "logicalType": "time-millis"}, MILLIS),
        ({"type": "int", "logicalType": "time-millis"}, {"type": "int", "logicalType": "date"}),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
            {"type": "bytes", "logicalType": "decimal", "precision": 9},
        ),
    ],
)
def test_a_day_or_another_scale_is_refused_too(writer: object, reader: object) -> None:
    with pytest.raises(UnresolvableSchemaError, match="is expected"):
        read(writer, reader, b"")


@pytest.mark.parametrize(
    ("writer", "reader"),
    [
        ("long", MILLIS),
        ("int", MILLIS),
        (MILLIS, MILLIS),
        (MILLIS, "long"),
        ({"type": {"type": "long"}}, MILLIS),
        ({"type": "long", "logicalType": "epoch-of-our-own"}, MILLIS),
        ({"type": "long", "logicalType": "date"}, MILLIS),  # a date is an int: ignored
        ({"type": "long", "logicalType": ["timestamp-micros"]}, MILLIS),
        ({"type": "int", "logicalType": "date"}, "long"),
        ({"type": "int", "logicalType": "date"}, {"type": "int", "logicalType": "date"}),
    ],
)
def test_other_logical_types_leave_the_number(writer: object, reader: object) -> None:
    assert read(writer, reader, z(70)) == 70


# Unions.


def test_the_branch_that_was_written_decides() -> None:
    writer = ["string", "int", record(field("int", "x"), name="S")]
    reader = ["null", "long"]
    assert read(writer, reader, z(1) + z(7)) == 7
    assert "f has string where long is expected" in refusal(writer, reader, z(0) + z(0)).detail
    assert "f has record where long is expected" in refusal(writer, reader, z(2) + z(0)).detail


def test_of_our_branches_the_first_that_matches_is_taken() -> None:
    """Java takes the promotion that changes least; the specification takes the first."""
    number = read("int", ["null", "double", "int"], z(7))
    assert (number, type(number)) == (7.0, float)
    assert read("string", ["null", "bytes", "string"], text("x")) == b"x"
    longs = ["null", {"type": "array", "items": "long"}]
    assert read({"type": "array", "items": "int"}, longs, z(1) + z(5) + z(0)) == [5]
    choices = {"type": "array", "items": ["null", "int"]}
    assert read(choices, longs, z(1) + z(1) + z(5) + z(0)) == [5]


def test_of_our_branches_one_of_the_full_name_goes_before_one_of_the_short() -> None:
    reader = [
        record(field("string", "a", default="-"), name="X", namespace="a"),
        record(field("int", "b"), name="X", namespace="b"),
    ]
    writer = record(field("int", "b"), name="X", namespace="b")
    assert read(writer, reader, z(5)) == [5]
    assert read(writer, reader[:1], z(5)) == ["-"]


def test_of_our_branches_none_matches() -> None:
    with pytest.raises(UnresolvableSchemaError, match="f has boolean where int is expected"):
        read("boolean", ["null", "int"], b"")
    with pytest.raises(UnresolvableSchemaError, match="f has boolean where union is expected"):
        read("boolean", [], b"")


def test_two_branches_are_told_apart_in_every_spelling_of_their_numbers() -> None:
    long_zero, long_one = b"\x80\x00", b"\x82\x00"
    for writer, null, other in (
        (["null", "int"], long_zero, long_one),
        (["int", "null"], long_one, long_zero),
    ):
        assert read(writer, ["null", "int"], null) is None
        assert read(writer, ["null", "int"], other + z(7)) == 7


# Names.


def test_names_are_those_of_their_namespace() -> None:
    inner = record(field("int", "x"), name="In")  # a.b.In, by the namespace of what it is in
    outer = record(
        field(inner, "first"),
        field("In", "second"),
        field("a.b.In", "third"),
        field({"type": "In"}, "fourth"),
        name="a.b.Out",
        namespace="ignored",
    )
    writer = record(field(outer, "o"), field("int", "f"), name="R", namespace="z")
    reader = AvroReader(writer, Schema("R", "", record(field("int"))))
    assert reader.read(z(1) + z(2) + z(3) + z(4) + z(5), 0) == [5]


def test_a_name_without_a_namespace_is_found_from_within_one() -> None:
    bare = {"type": "fixed", "name": "Bare", "size": 2, "namespace": ""}
    within = record(field("Bare", "x"), name="In", namespace="a")
    writer = record(field(bare, "b"), field(within, "w"), field("int"), namespace="z")
    reader = AvroReader(writer, Schema("R", "", record(field("int"))))
    assert reader.read(b"abcd" + z(5), 0) == [5]


def test_types_of_two_namespaces_match_by_their_names() -> None:
    for kind, body, value in (
        ({"type": "enum", "name": "K", "symbols": ["a"]}, z(0), "a"),
        ({"type": "fixed", "name": "K", "size": 1}, b"x", b"x"),
        (record(field("int", "x"), name="K"), z(5), [5]),
    ):
        theirs = {**kind, "namespace": "b"}
        assert read(theirs, {**kind, "namespace": "a"}, body) == value
        assert read(theirs, {**kind, "name": "L", "aliases": ["K"]}, body) == value
        assert read(theirs, {**kind, "name": "L", "aliases": ["b.K"]}, body) == value
        assert read(theirs, {**kind, "name": "L", "aliases": ["K", "M"]}, body) == value
        with pytest.raises(UnresolvableSchemaError, match="f is of K, not of L"):
            read(theirs, {**kind, "name": "L", "aliases": None}, body)


def test_fields_are_found_by_their_aliases() -> None:
    def row(*writer: dict[str, Any], body: bytes = z(1) + z(2)) -> list[Any]:
        ours = record(
            field("int", "a", aliases=["old", "older"]),
            field("int", "b", aliases=["old"], default=9),
        )
        return AvroReader(record(*writer), Schema("R", "", ours)).read(body, 0)

    assert row(field("int", "older"), field("int", "b")) == [1, 2]
    assert row(field("int", "old"), field("int", "a")) == [2, 1]
    assert row(field("int", "older"), field("int", "old")) == [2, 9]
    assert row(field("int", "a"), field("int", "older")) == [1, 9]


def test_fixed_of_two_sizes_do_not_match() -> None:
    one, two = ({"type": "fixed", "name": "F", "size": size} for size in (1, 2))
    with pytest.raises(UnresolvableSchemaError, match="f has a fixed of 1 bytes where"):
        read(one, two, b"")


# Records that have themselves.

NODE = record(field("int", "value"), field(["null", "Node"], "next"), name="Node")
TREE = record(
    field("string", "label"), field({"type": "array", "items": "Tree"}, "below"), name="Tree"
)


def chain(length: int) -> bytes:
    return b"".join(z(n) + z(1) for n in range(length - 1)) + z(length) + z(0)


def test_a_list_of_records_is_passed_over_and_read() -> None:
    writer = record(field(NODE, "list"), field(["null", "Node"], "more"), field("int"))
    body = chain(3) + z(1) + chain(2) + z(7)
    assert AvroReader(writer, Schema("R", "", record(field("int")))).read(body, 0) == [7]
    assert read(NODE, NODE, chain(3)) == [0, [1, [3, None]]]


def test_a_tree_of_records_is_passed_over_and_read() -> None:
    leaf = text("l") + z(0)
    body = text("root") + z(2) + leaf + text("b") + z(-1) + z(len(leaf)) + leaf + z(0) + z(0)
    assert read(TREE, TREE, body) == ["root", [["l", []], ["b", [["l", []]]]]]
    writer = record(field(TREE, "tree"), field("int"))
    assert AvroReader(writer, Schema("R", "", record(field("int")))).read(body + z(7), 0) == [7]


def test_a_record_that_cannot_be_read_is_refused_wherever_it_is_used_again() -> None:
    theirs = record(field(["null", "Bad"], "next"), field("string", "x"), name="Bad")
    ours = record(field(["null", "Bad"], "next"), field("int", "x"), name="Bad")
    writer = record(field(["null", theirs], "a"), field(["null", "Bad"], "b"))
    reader = Schema("R", "", record(field(["null", ours], "a"), field(["null", "Bad"], "b")))
    assert AvroReader(writer, reader).read(z(0) + z(0), 0) == [None, None]
    for body in (z(1), z(0) + z(1)):
        with pytest.raises(MalformedAvroError, match=r"a\.x has string where int is expected"):
            AvroReader(writer, reader).read(body, 0)
    with pytest.raises(UnresolvableSchemaError, match=r"a\.x has string where int"):
        AvroReader(record(field(["null", theirs], "a"), field("Bad", "b")), reader)


def test_a_record_is_of_another_name() -> None:
    with pytest.raises(UnresolvableSchemaError, match="it is of Other, not of PracticeCompleted"):
        AvroReader({**OURS.tree, "name": "Other"}, OURS)
