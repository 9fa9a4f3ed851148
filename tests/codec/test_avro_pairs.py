"""The reader held to another one, by generated pairs of schemas and values.

Owns: what fastavro makes of each pair, and where it deviates from the specification.
Does not own: the pairs (avro_pairs.py), Java's result (test_avro_java.py).
"""

import io
from typing import Any

import fastavro
from fastavro.read import SchemaResolutionError
from hypothesis import given, settings

from pipeline.codec.avro_reader import AvroReader, MalformedAvroError, UnresolvableSchemaError
from pipeline.codec.schemas import Schema
from tests.codec.avro_model import Type
from tests.codec.avro_pairs import Pair, pairs

REFUSED = "refused"
FAILED = "failed"
"""fastavro falls over a type that is used again by its name where the other schema has a union, or
another type of the name; a test below has an example."""


def ours(pair: Pair, body: bytes) -> Any:
    """What the reader gives, or `REFUSED`."""
    try:
        reader = AvroReader(pair.writer_json, Schema("R", "", pair.reader_json))
        return reader.read(body, 0)
    except (UnresolvableSchemaError, MalformedAvroError) as error:
        if isinstance(error, MalformedAvroError):
            assert error.reason == "wrong_type"  # the body is one; a branch of it is not ours
        return REFUSED


def fastavros(pair: Pair, body: bytes) -> Any:
    """What fastavro gives, in our form, `REFUSED` or `FAILED`."""
    writer = fastavro.parse_schema(without_logical_types(pair.writer_json))
    reader = fastavro.parse_schema(pair.reader_json)
    try:
        read = fastavro.schemaless_reader(io.BytesIO(body), writer, reader)
    except SchemaResolutionError:
        return REFUSED
    except (TypeError, KeyError):
        return FAILED
    return as_row(pair.reader, read)


def without_logical_types(tree: Any) -> Any:
    """A schema whose values fastavro gives as they are; ours has no logical types either."""
    if isinstance(tree, list):
        return [without_logical_types(one) for one in tree]
    if not isinstance(tree, dict):
        return tree
    kept = {key: one for key, one in tree.items() if key != "logicalType"}
    return {
        key: one if key == "default" else without_logical_types(one) for key, one in kept.items()
    }


def as_row(kind: Type, read: Any) -> Any:
    """fastavro's form of a value in ours: its defaults stay JSON, ours are values."""
    if kind.kind == "union":
        return as_row(next(one for one in kind.inner if _is_of(one, read)), read)
    if kind.kind == "record":
        return [as_row(one.type, read[one.name]) for one in kind.fields]
    if kind.kind == "array":
        return [as_row(kind.inner[0], one) for one in read]
    if kind.kind == "map":
        return {key: as_row(kind.inner[0], one) for key, one in read.items()}
    if kind.kind in ("bytes", "fixed") and isinstance(read, str):
        return read.encode("latin-1")
    return read


def _is_of(kind: Type, read: Any) -> bool:
    """Whether a value can be of a branch; the branches that are drawn can be told apart."""
    if kind.kind == "record":
        return isinstance(read, dict) and read.keys() == {one.name for one in kind.fields}
    if kind.kind == "enum":
        return isinstance(read, str) and read in kind.symbols
    if kind.kind == "fixed":
        return isinstance(read, (bytes, str)) and len(read) == kind.size
    types: dict[str, type | tuple[type, ...]] = {
        "null": type(None),
        "boolean": bool,
        "int": int,
        "long": int,
        "float": float,
        "double": float,
        "bytes": (bytes, str),
        "string": str,
        "array": list,
        "map": dict,
    }
    return isinstance(read, types[kind.kind])


@settings(max_examples=150)
@given(pairs())
def test_a_pair_is_read_as_fastavro_reads_it(pair: Pair) -> None:
    body = pair.body()
    read = ours(pair, body)
    assert fastavros(pair, body) in (read, FAILED)
    assert ours(pair, pair.body(sized=True)) == read


def test_where_fastavro_falls_over_we_read() -> None:
    symbols = {"type": "enum", "name": "E", "symbols": ["a", "b"]}
    writer = Type("record", "R", "n", fields=[])
    writer_json = {
        "type": "record",
        "name": "n.R",
        "fields": [{"name": "first", "type": symbols}, {"name": "again", "type": "E"}],
    }
    reader_json = {
        "type": "record",
        "name": "n.R",
        "fields": [{"name": "again", "type": ["null", symbols]}],
    }
    pair = Pair(writer, writer, {}, writer_json, reader_json)
    assert fastavros(pair, b"\x00\x02") == FAILED
    assert ours(pair, b"\x00\x02") == ["b"]
