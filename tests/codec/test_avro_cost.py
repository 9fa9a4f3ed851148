"""The work for a body is proportional to its length, whatever its schema is.

Owns: schemas and bodies made to cost more, each with its bound in steps; how deep values may be.
Does not own: schemas that are refused (test_avro_schemas.py), the count (avro_steps.py).
"""

import threading
from typing import Any

import pytest

from pipeline.codec.avro_reader import (
    EMPTY_ITEMS_MAX,
    ITEMS_MAX,
    VALUE_DEPTH_MAX,
    AvroReader,
    MalformedAvroError,
)
from pipeline.codec.schemas import Schema
from tests.codec.avro_examples import field, read, record, refusal, z
from tests.codec.avro_steps import allowed, memory_of, steps_of

OURS = Schema("R", "", record(field("int")))
HUGE = 2**62
MEMORY_BYTES_MAX = 150_000
"""Of what is passed over nothing is kept: this is for the calls of 64 levels."""


def array(items: object) -> dict[str, Any]:
    return {"type": "array", "items": items}


def fixed(size: int, name: str = "F") -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size}


def wide(
    kind: object, *more: dict[str, Any], count: int = 2_000, name: str = "W"
) -> dict[str, Any]:
    return record(*(field(kind, f"f{n}") for n in range(count)), *more, name=name)


def skipping(kind: object) -> AvroReader:
    return AvroReader(record(field(kind, "extra"), field("int")), OURS)


NODE = record(field("int", "value"), field(["null", "Node"], "next"), name="Node")
FOREST = record(field(array("Forest"), "trees"), name="Forest")
SELF = record(field("Self", "self"), name="Self")
SELF_TWICE = record(field("Self", "a"), field("Self", "b"), name="Self")
FAN = record(*(field(["null", "Fan"], f"f{n}") for n in range(200)), name="Fan")


def doubling(kind: object) -> dict[str, Any]:
    """Sixty records of which each has the one before twice."""
    kinds = [record(field(kind, "a"), field(kind, "b"), name="D0")]
    for n in range(1, 60):
        kinds.append(record(field(f"D{n - 1}", "a"), field(f"D{n - 1}", "b"), name=f"D{n}"))
    return record(*(field(one, f"x{n}") for n, one in enumerate(kinds)), name="Doubling")


SKIPPED: list[tuple[str, object, bytes, str | None]] = [
    ("nulls", array("null"), z(HUGE) + z(0), None),
    ("nulls in many blocks", array("null"), z(HUGE) * 1_000 + z(0), None),
    ("nulls, sized", array("null"), z(-HUGE) + z(0) + z(0), None),
    ("empty records", array(record(name="E")), z(HUGE) + z(0), None),
    ("records of nulls", array(wide("null")), z(HUGE) + z(0), None),
    ("fixed of nothing", array(fixed(0)), z(HUGE) + z(0), None),
    ("arrays of nulls", array(array("null")), z(3) + (z(HUGE) + z(0)) * 3 + z(0), None),
    ("unions of nulls", array(["null"]), z(HUGE), "truncated_avro"),
    ("unions of nulls", array(["null"]), z(500) + z(0) * 501, None),
    ("maps of nulls", {"type": "map", "values": "null"}, z(HUGE), "truncated_avro"),
    ("maps of nulls", {"type": "map", "values": "null"}, z(50) + z(0) * 51, None),
    ("maps of arrays", {"type": "map", "values": array("null")}, z(HUGE), "truncated_avro"),
    ("bytes of a length", array(fixed(5)), z(HUGE), "truncated_avro"),
    ("floats", array("float"), z(HUGE), "truncated_avro"),
    ("floats", array("float"), z(20_000) + b"1234" * 20_000 + z(0), None),
    ("floats beyond the end", array(wide("float")), z(10), "truncated_avro"),
    ("numbers", array("long"), z(20_000) + z(1) * 20_000 + z(0), None),
    ("numbers beyond the end", array("long"), z(9_999), "truncated_avro"),
    ("wide items", array(wide("null", field("int", "i"))), z(500) + z(1) * 500 + z(0), None),
    ("items with a branch", array(wide("null", field(["null"], "u"))), z(99) + z(0) * 100, None),
    ("items of wide floats", array(wide("float", field("int", "i"))), z(1), "truncated_avro"),
    ("arrays within", array(array(array("int"))), z(9_999) + z(9_999) * 50, "truncated_avro"),
    ("a negative size", array("int"), z(-1) + z(-1) + z(5) + z(0), "malformed_avro"),
    ("a size too small", array("int"), z(-1) + z(0) + z(5) + z(0), "malformed_avro"),
    ("a size too large", array("float"), z(-1) + z(5) + b"12345" + z(0), "malformed_avro"),
    ("the smallest count", array("int"), z(-(2**63)) + z(0), "truncated_avro"),
    ("a record of itself", SELF, b"", "malformed_avro"),
    ("two of itself", SELF_TWICE, b"\x01" * 1_000, "malformed_avro"),
    ("many of two of itself", array(SELF_TWICE), z(1_000) + b"\x01" * 1_000, "truncated_avro"),
    ("a few of two of itself", array(SELF_TWICE), z(9) + b"\x01" * 1_000, "malformed_avro"),
    ("wide records of itself", FAN, z(1) * 60, "malformed_avro"),
    ("wide records of itself", FAN, z(1) * 60 + z(0) * (200 + 60 * 199), None),
    ("a list", NODE, (z(1) + z(1)) * 20 + z(1) + z(0), None),
    ("a list", NODE, (z(1) + z(1)) * 100_000, "malformed_avro"),
    ("trees", FOREST, z(1) * 25 + z(0) * 25, "truncated_avro"),
    ("trees", FOREST, z(1) * 100_000, "malformed_avro"),
    ("wide forest", FOREST, z(9_000) + z(0) * 9_001, None),
    ("nothing, doubled", doubling("null"), b"", None),
    ("floats, doubled", doubling("float"), b"1234", "truncated_avro"),
    ("numbers, doubled", doubling("int"), z(1) * 90, "truncated_avro"),
    ("many of nothing, doubled", array(doubling("null")), z(HUGE) + z(0), None),
]


@pytest.mark.parametrize(
    ("kind", "body", "reason"), [pytest.param(*rest, id=name) for name, *rest in SKIPPED]
)
def test_what_is_passed_over_costs_by_its_bytes(
    kind: object, body: bytes, reason: str | None
) -> None:
    reader = skipping(kind)
    body += z(7)
    if reason is None:
        assert reader.read(body, 0) == [7]
    else:
        with pytest.raises(MalformedAvroError) as caught:
            reader.read(body, 0)
        assert caught.value.reason == reason
    steps_of(reader, body, allowed(body))
    assert memory_of(reader, body) < MEMORY_BYTES_MAX


KEPT: list[tuple[str, object, bytes, str | None]] = [
    ("nulls", array("null"), z(EMPTY_ITEMS_MAX) + z(0), None),
    ("nulls", array("null"), z(EMPTY_ITEMS_MAX + 1) + z(0), "collection_too_large"),
    ("nulls in blocks", array("null"), z(1) * EMPTY_ITEMS_MAX + z(0), None),
    ("nulls in blocks", array("null"), z(1) * (EMPTY_ITEMS_MAX + 1), "collection_too_large"),
    ("empty records", array(record(name="E")), z(HUGE) + z(0), "collection_too_large"),
    ("arrays of nulls", array(array("null")), z(9) + (z(64) + z(0)) * 9 + z(0), None),
    ("floats", array("float"), z(ITEMS_MAX), "truncated_avro"),
    ("numbers", array("int"), z(ITEMS_MAX) + z(1) * ITEMS_MAX + z(0), None),
    ("numbers", array("int"), z(ITEMS_MAX + 1), "collection_too_large"),
    ("numbers in blocks", array("int"), (z(1) + z(5)) * 10_001, "collection_too_large"),
    ("numbers of a size", array("int"), z(-2) + z(2) + z(1) * 2 + z(0), None),
    ("numbers of another size", array("int"), z(-2) + z(3) + z(1) * 2 + z(0), "malformed_avro"),
    ("a map's size", {"type": "map", "values": "int"}, z(-1) + z(9) + z(0) * 3, "malformed_avro"),
    ("a list", NODE, (z(1) + z(1)) * 20 + z(1) + z(0), None),
    ("a list", NODE, (z(1) + z(1)) * 100_000, "malformed_avro"),
    ("trees", FOREST, z(1) * 100_000, "malformed_avro"),
    ("a record of itself", SELF, b"", "malformed_avro"),
]


@pytest.mark.parametrize(
    ("kind", "body", "reason"), [pytest.param(*rest, id=name) for name, *rest in KEPT]
)
def test_what_is_kept_costs_by_its_bytes(kind: object, body: bytes, reason: str | None) -> None:
    schema = Schema("R", "", record(field(kind), name="R"))
    reader = AvroReader(schema.tree, schema)
    if reason is None:
        reader.read(body, 0)
    else:
        with pytest.raises(MalformedAvroError) as caught:
            reader.read(body, 0)
        assert caught.value.reason == reason
    steps_of(reader, body, allowed(body, EMPTY_ITEMS_MAX * 4))


def test_defaults_cost_by_the_items_that_have_them() -> None:
    large = {f"k{n}": "v" for n in range(100)}
    theirs = array(record(name="S"))
    ours = array(record(field({"type": "map", "values": "string"}, "m", default=large), name="S"))
    assert read(theirs, ours, z(2) + z(0)) == [[large], [large]]
    assert refusal(theirs, ours, z(HUGE) + z(0)).reason == "collection_too_large"


def test_a_list_may_be_as_deep_as_the_bound() -> None:
    def body(length: int) -> bytes:
        return (z(1) + z(1)) * (length - 1) + z(1) + z(0)

    for reader, more in (
        (skipping(NODE), z(7)),
        (AvroReader(record(field(NODE)), Schema("R", "", record(field(NODE)))), b""),
    ):
        deepest = VALUE_DEPTH_MAX - 1  # the outermost record is a level too
        reader.read(body(deepest) + more, 0)
        for _ in range(2):  # a refusal leaves no trace in the count
            with pytest.raises(MalformedAvroError, match="deeper than 64 levels") as caught:
                reader.read(body(deepest + 1) + more, 0)
            assert caught.value.reason == "malformed_avro"
        reader.read(body(deepest) + more, 0)


def test_threads_do_not_count_each_others_levels() -> None:
    reader = skipping(NODE)
    body = (z(1) + z(1)) * 62 + z(1) + z(0) + z(7)
    wrong: list[object] = []

    def work() -> None:
        for _ in range(60):
            try:
                if reader.read(body, 0) != [7]:
                    wrong.append("value")
            except MalformedAvroError as error:
                wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
