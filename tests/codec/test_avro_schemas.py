"""Schemas of any origin: what is read of them, and what is refused before it costs anything.

Owns: hostile text, hostile trees, the bounds on both. Does not own: hostile bodies
(test_avro_cost.py, test_avro_reader.py).
"""

import json
import time
from typing import Any

import pytest

from pipeline.codec.avro_bounds import JSON_DEPTH_MAX, NAME_CHARS_MAX, SCHEMA_CHARS_MAX
from pipeline.codec.avro_reader import (
    AvroReader,
    MalformedAvroError,
    UnresolvableSchemaError,
    parse_writer_schema,
)
from pipeline.codec.avro_types import FIXED_BYTES_MAX, SYMBOLS_MAX, TYPE_DEPTH_MAX, TYPES_MAX
from pipeline.codec.schemas import Schema
from tests.codec.avro_examples import field, record, z
from tests.codec.samples import SCHEMAS

OURS = Schema("R", "", record(field("int")))
EMPTY = Schema("R", "", record())


def skipping(kind: object) -> AvroReader:
    """A reader that passes over a field of the type."""
    return AvroReader(record(field(kind, "extra"), field("int")), OURS)


def fixed(name: str = "F", size: object = 1, **more: object) -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size, **more}


def enum(*symbols: object, **more: object) -> dict[str, Any]:
    return {"type": "enum", "name": "E", "symbols": list(symbols), **more}


@pytest.mark.parametrize("name", SCHEMAS)
def test_our_own_schemas_are_within_the_bounds(name: str) -> None:
    schema = SCHEMAS[name]
    AvroReader(parse_writer_schema(schema.text), schema)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ('{"a":"', "not JSON"),
        ('{"a":"\\', "not JSON"),
        ("\ufeff{}", "not JSON"),
        ("9" * 5_000, "not JSON"),
        ('syntax = "proto3";', "not JSON"),
        ("[" * (JSON_DEPTH_MAX + 1), "nested too deep"),
        ('{"type":' * 1_000 + '"string"' + "}" * 1_000, "nested too deep"),
        ("[" * SCHEMA_CHARS_MAX, "nested too deep"),
        (" " * (SCHEMA_CHARS_MAX + 1), "262145 characters, at most 262144"),
        ('{"type":"string","type":"long"}', "the key 'type' twice"),
        ('{"doc":{"\\u0061":1,"a":2}}', "the key 'a' twice"),
        ('{"default":NaN}', "it has NaN"),
        ('{"default":-Infinity}', "it has -Infinity"),
    ],
)
def test_text_that_is_refused_before_it_is_parsed(text: str, why: str) -> None:
    with pytest.raises(UnresolvableSchemaError, match=why):
        parse_writer_schema(text)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ('"string"', "string"),
        ("[" * JSON_DEPTH_MAX + "]" * JSON_DEPTH_MAX, None),
        ('{"doc":"[[[[\\"{{{' + "[" * 1_000 + '"}', None),
        ("[{}],[" + "]", UnresolvableSchemaError),
    ],
)
def test_brackets_count_where_they_are_brackets(text: str, tree: object) -> None:
    if tree is UnresolvableSchemaError:
        with pytest.raises(UnresolvableSchemaError, match="not JSON"):
            parse_writer_schema(text)
    else:
        assert parse_writer_schema(text) == (tree or json.loads(text))


def test_a_key_twice_among_thousands_takes_no_longer() -> None:
    text = "{" + ",".join(f'"{n:x}":0' for n in range(25_000)) + ',"61a7":0}'
    started_s = time.perf_counter()
    with pytest.raises(UnresolvableSchemaError, match="the key '61a7' twice"):
        parse_writer_schema(text)
    assert time.perf_counter() - started_s < 2


@pytest.mark.parametrize("unit", ['"', '\\"', '"\\', '"a\\"', '{"a":', "\\", "[]", '"",'])
def test_any_text_takes_time_by_its_length(unit: str) -> None:
    text = unit * (SCHEMA_CHARS_MAX // len(unit))
    started_s = time.perf_counter()
    with pytest.raises(UnresolvableSchemaError):
        parse_writer_schema(text)
    assert time.perf_counter() - started_s < 2


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (5, "5 is no type"),
        (None, "None is no type"),
        (10**99, "a number of more than 64 bits is no type"),
        ({}, "None is no type"),
        ({"type": 1.5}, "1.5 is no type"),
        ({"type": {}}, "None is no type"),
        ("Nowhere", "type 'Nowhere' is not defined before it is used"),
        ({"type": "Nowhere"}, "'Nowhere' is not defined"),
        ({"type": "array"}, "None is no type"),
        ({"type": "map"}, "None is no type"),
        ([["null"]], "a union is a branch of a union"),
        (["null", {"type": ["int"]}], "a union is a branch of a union"),
        (["null", "null"], "a union has 'null' twice"),
        (["int", {"type": "int", "logicalType": "date"}], "a union has 'int' twice"),
        ([fixed(), "F"], "a union has 'F' twice"),
        ([fixed(), fixed()], "'F' is defined twice"),
        (fixed("string"), "'string' is defined twice"),
        (fixed("R"), "'R' is defined twice"),
        (fixed("f-1"), "'f-1' is no name"),
        (fixed("1f"), "'1f' is no name"),
        (fixed(""), "'' is no name"),
        (fixed("f\n"), "is no name"),
        (fixed("n..f"), "is no name"),
        (fixed(".f"), "is no name"),
        (fixed("f", namespace="a b"), "'a b.f' is no name"),
        (fixed("f" * (NAME_CHARS_MAX + 1)), "is no name"),
        (fixed(name="f", namespace=5), "the fixed 'f' has no name, or no namespace, of text"),
        ({"type": "fixed", "size": 1}, "the fixed None has no name"),
        (fixed(name=["f"]), "the fixed a list has no name"),  # type: ignore[arg-type]
        (fixed(name={"f": 1}), "the fixed an object has no name"),  # type: ignore[arg-type]
        (fixed("f", aliases="g"), "its aliases are 'g'"),
        (fixed("f", aliases=[5]), "its aliases are not all of text"),
        (fixed(size=-1), "the size of 'F' is -1"),
        (fixed(size=FIXED_BYTES_MAX + 1), "the size of 'F' is 16777217"),
        (fixed(size=10**99), "the size of 'F' is a number of more than 64 bits"),
        (fixed(size=True), "the size of 'F' is True"),
        (fixed(size="5"), "the size of 'F' is '5'"),
        (fixed(size=5.0), "the size of 'F' is 5.0"),
        (enum(), "'E' has no symbols, or one twice"),
        (enum("a", "a"), "'E' has no symbols, or one twice"),
        (enum("a", 5), "5 is no name"),
        (enum("a b"), "'a b' is no name"),
        (enum("a" * (NAME_CHARS_MAX + 1)), "is no name"),
        (enum("a", default="b"), "the default of 'E' is none of its symbols"),
        (enum("a", default=["a"]), "the default of 'E' is none of its symbols"),
        ({"type": "enum", "name": "E"}, "its symbols are None"),
        ({"type": "record", "name": "S"}, "its fields are None"),
        ({"type": "record", "name": "S", "fields": {"a": 1}}, "its fields are an object"),
        (record("a", name="S"), "'a' is a field of 'S'"),  # type: ignore[arg-type]
        (record({"type": "int"}, name="S"), "None is no name"),
        (record(field("int", 5), name="S"), "5 is no name"),  # type: ignore[arg-type]
        (record(field("int"), field("int"), name="S"), "'S' has the field 'f' twice"),
        (record(field("int", aliases={}), name="S"), "its aliases are an object"),
        (record({"name": "a"}, name="S"), "None is no type"),
    ],
)
def test_trees_that_are_no_schema(kind: object, why: str) -> None:
    with pytest.raises(UnresolvableSchemaError, match=why) as caught:
        skipping(kind)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


def test_a_number_that_python_does_not_write_down() -> None:
    with pytest.raises(UnresolvableSchemaError, match="a number of more than 64 bits"):
        skipping(10**5_000)


@pytest.mark.parametrize("tree", [None, 5, "R", [], {}, "string", [OURS.tree, "x"], {"type": []}])
def test_outermost_types_that_are_not_ours(tree: object) -> None:
    with pytest.raises(UnresolvableSchemaError):
        AvroReader(tree, OURS)


def test_a_writer_may_say_more_than_we_read() -> None:
    tree = record(
        field({"type": "string", "default": object()}, "extra", doc=5, order="?", default=object()),
        field("int", aliases=None, logicalType="timestamp-micros"),
        doc=["x"],
        aliases=None,
        namespace=None,
    )
    assert AvroReader({**tree, "type": "error"}, OURS).read(z(1) + b"x" + z(5), 0) == [5]


def nested(kind: object, levels: int) -> object:
    for _ in range(levels):
        kind = {"type": "array", "items": kind}
    return kind


def test_a_schema_a_thousand_deep_is_refused_as_text_and_as_a_tree() -> None:
    for kind in (nested("string", 1_000), nested("string", TYPE_DEPTH_MAX - 1)):
        with pytest.raises(UnresolvableSchemaError, match="more than 64 types within each other"):
            skipping(kind)
    body = z(1) * (TYPE_DEPTH_MAX - 2) + z(0) + z(0) * (TYPE_DEPTH_MAX - 2) + z(5)
    assert skipping(nested("string", TYPE_DEPTH_MAX - 2)).read(body, 0) == [5]
    endless: list[object] = []
    endless.append({"type": "array", "items": endless})
    with pytest.raises(UnresolvableSchemaError, match="within each other"):
        skipping(endless)


def flat(count: int) -> list[dict[str, Any]]:
    """Records of which each has the one before, without being written within each other."""
    first = record(field("int", "n"), name="L0")
    return [first, *(record(field(f"L{n - 1}", "n"), name=f"L{n}") for n in range(1, count))]


def test_types_within_each_other_by_their_names_are_not_deep() -> None:
    writer = record(*(field(one, f"x{n}") for n, one in enumerate(flat(300))), field("int"))
    reader = AvroReader(writer, OURS)
    # Of what may be so deep, levels are counted in the body.
    with pytest.raises(MalformedAvroError, match="deeper than 64 levels"):
        reader.read(z(1) * 301, 0)
    few = record(*(field(one, f"x{n}") for n, one in enumerate(flat(60))), field("int"))
    assert AvroReader(few, OURS).read(z(1) * 60 + z(5), 0) == [5]


def test_types_that_are_met_from_their_outside_may_be_too_deep() -> None:
    """No branch of the union can be ours, so that none is worked out before the last is skipped."""
    choice = field(["int", *flat(100)])
    with pytest.raises(UnresolvableSchemaError, match="within each other"):
        AvroReader(record(choice, field("L99", "last")), OURS)


def test_what_is_too_deep_is_refused_wherever_it_is_used_again() -> None:
    again = record(field(["null", "Loop"], "loop"), name="Again")
    loop = record(field(again, "again"), field("L99", "deep"), name="Loop")
    theirs = record(field(loop, "x"), name="Mine")
    writer = record(
        field(["int", *flat(100)]), field(["null", theirs], "g"), field("Again", "extra")
    )
    mine = field(["null", record(name="Mine")], "g", default=None)
    reader = AvroReader(writer, Schema("R", "", record(field("int"), mine)))
    assert reader.read(z(0) + z(5) + z(0) + z(0), 0) == [5, None]
    for body in (z(1), z(0) + z(1)):
        with pytest.raises(MalformedAvroError, match="within each other") as caught:
            reader.read(z(0) + z(5) + body, 0)
        assert caught.value.reason == "wrong_type"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (record(*(field("int", f"f{n}") for n in range(TYPES_MAX)), name="S"), "4096 types"),
        ([fixed(f"F{n}") for n in range(TYPES_MAX)], "4096 types"),
        (enum(*(f"s{n}" for n in range(SYMBOLS_MAX + 1))), "16384 symbols"),
    ],
)
def test_a_schema_of_too_many_types_is_refused(kind: object, why: str) -> None:
    with pytest.raises(UnresolvableSchemaError, match=f"it has more than {why}"):
        skipping(kind)


def test_our_own_schema_is_no_deeper_than_a_writers() -> None:
    deep = Schema("R", "", record(field(nested("int", 70))))
    with pytest.raises(UnresolvableSchemaError, match="within each other"):
        AvroReader(deep.tree, deep)
    chained = record(*(field(one, f"x{n}") for n, one in enumerate(flat(70))))
    theirs = record(field(["null", *flat(70)], "y"), field(["L69", "null"], "x69"))
    ours = Schema(
        "R", "", record(field(["null", *flat(70)], "z", default=None), field("L69", "x69"))
    )
    AvroReader(chained, Schema("R", "", chained))
    with pytest.raises(UnresolvableSchemaError, match="within each other"):
        AvroReader(theirs, ours)
