"""Values that change on the way: promotions, defaults of our fields, symbols, by examples.

Owns: what a field's value becomes. Does not own: which types match (test_avro_resolution.py).
"""

import math
import struct

import pytest

from pipeline.codec.avro_reader import AvroReader, UnresolvableSchemaError
from pipeline.codec.schemas import Schema
from tests.codec.avro_examples import field, read, record, refusal, z


@pytest.mark.parametrize(
    ("writer", "reader", "body", "value"),
    [
        ("int", "float", z(2**24 + 1), float(2**24)),
        ("int", "double", z(2**31 - 1), float(2**31 - 1)),
        ("long", "double", z(2**53 + 1), float(2**53)),
        ("long", "float", z(2**62 + 1), float(2**62)),
        # Half-way between two floats but for its last bit, which a double has no place for.
        ("long", "float", z(2**62 + 2**38 + 1), float(2**62 + 2**39)),
        ("long", "float", z(-(2**62) - 2**38 - 1), -float(2**62 + 2**39)),
        ("float", "float", struct.pack("<f", 0.1), struct.unpack("<f", struct.pack("<f", 0.1))[0]),
        ("float", "double", struct.pack("<f", 1.5), 1.5),
        ("double", "double", struct.pack("<d", 0.1), 0.1),
        ("double", "double", struct.pack("<d", -math.inf), -math.inf),
        ("null", "null", b"", None),
        ("boolean", "boolean", b"\x01", True),
    ],
)
def test_numbers_are_promoted(writer: str, reader: str, body: bytes, value: object) -> None:
    found = read(writer, reader, body)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("kind", ["float", "double", {"type": "fixed", "name": "F", "size": 3}])
def test_values_of_one_length_end_within_it(kind: object) -> None:
    assert refusal(kind, kind, b"ab").reason == "truncated_avro"
    assert refusal([kind, "null"], [kind, "null"], z(0) + b"ab").reason == "truncated_avro"


FULL = record(
    field("int", "x"),
    field({"type": "array", "items": "string"}, "y", default=["a"]),
    name="Full",
)


@pytest.mark.parametrize(
    ("kind", "default", "value"),
    [
        ("null", None, None),
        ("boolean", False, False),
        ("int", -(2**31), -(2**31)),
        ("long", 2**63 - 1, 2**63 - 1),
        ("float", 0.1, struct.unpack("<f", struct.pack("<f", 0.1))[0]),
        ("double", 1, 1.0),
        ("string", "é", "é"),
        ("bytes", "é", b"\xe9"),
        ({"type": "fixed", "name": "F", "size": 2}, "ÿa", b"\xffa"),
        ({"type": "enum", "name": "E", "symbols": ["a", "b"]}, "b", "b"),
        ({"type": "map", "values": "bytes"}, {"k": "a"}, {"k": b"a"}),
        ({"type": "array", "items": ["null", "int"]}, [None, 5], [None, 5]),
        (["null", "int"], None, None),
        (["null", "int"], 5, 5),
        (["null", FULL], {"x": 1}, [1, ["a"]]),
        (FULL, {"x": 1, "y": []}, [1, []]),
    ],
)
def test_a_default_is_what_a_read_would_give(kind: object, default: object, value: object) -> None:
    ours = Schema("R", "", record(field(kind, default=default)))
    reader = AvroReader(record(field("int", "unknown")), ours)
    found = reader.read(z(5), 0)[0]
    assert (found, type(found)) == (value, type(value))
    if isinstance(found, (list, dict)):
        found.clear()
        assert reader.read(z(5), 0) == [value]


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("null", 0),
        ("boolean", 1),
        ("int", 2**31),
        ("int", True),
        ("int", 1.5),
        ("long", -(2**63) - 1),
        ("float", 1e39),
        ("double", 10**400),
        ("double", math.nan),
        ("string", 5),
        ("bytes", "€"),
        ({"type": "fixed", "name": "F", "size": 2}, "abc"),
        ({"type": "enum", "name": "E", "symbols": ["a", "b"]}, "c"),
        ({"type": "map", "values": "int"}, []),
        ({"type": "map", "values": "int"}, {"k": "v"}),
        ({"type": "array", "items": "int"}, {}),
        ({"type": "array", "items": "int"}, [0] * 10_000),
        (["null", "int"], "x"),
        (FULL, {}),
        (FULL, []),
        (record(field("Self", "s", default={}), name="Self"), {}),
    ],
)
def test_a_default_of_another_type_is_a_mistake_of_ours(kind: object, default: object) -> None:
    ours = Schema("R", "", record(field(kind, default=default)))
    with pytest.raises(UnresolvableSchemaError, match="the default of our field f"):
        AvroReader(record(), ours)


def test_a_symbol_that_we_do_not_know_needs_a_default() -> None:
    theirs = {"type": "enum", "name": "E", "symbols": ["new", "a"]}
    ours = {"type": "enum", "name": "E", "symbols": ["b", "a"]}
    assert read(theirs, ours, z(1)) == "a"
    assert read(theirs, ours | {"default": "b"}, z(0)) == "b"
    error = refusal(theirs, ours, z(0))
    assert error.reason == "wrong_type"
    assert "f has a symbol of E that is not known here" in error.detail
