"""Avro bodies to values, strictly, from whatever version their writer had.

Owns: what a whole body is, and that every other outcome is one of two refusals.
Does not own: framing and reasons for other formats (inputs.py), the registry (registry.py), the
rules of schema resolution (avro_resolve.py) and of schemas (avro_types.py).
Invariants: decoding is total: whatever the schemas, there is a reader or UnresolvableSchemaError,
and whatever the bytes, a row or MalformedAvroError. The work and the memory for a body are
proportional to its length, by a factor that only our own schema knows; a body is accepted only if
it is exactly one value. fastavro is not used here because it takes what the format does not have:
negative branch and symbol numbers, booleans other than 0 and 1, numbers of any length, bytes left
over, and collections of empty items, which cost nothing to send and everything to read.
"""

from threading import Lock
from typing import Any

from pipeline.codec.avro_bounds import (
    MalformedAvroError,
    UnresolvableSchemaError,
    parse_writer_schema,
)
from pipeline.codec.avro_resolve import EMPTY_ITEMS_MAX, ITEMS_MAX, Resolver
from pipeline.codec.avro_skip import VALUE_DEPTH_MAX
from pipeline.codec.avro_types import parse_type
from pipeline.codec.schemas import JsonSchema, Schema

__all__ = [
    "EMPTY_ITEMS_MAX",
    "ITEMS_MAX",
    "VALUE_DEPTH_MAX",
    "AvroReader",
    "MalformedAvroError",
    "UnresolvableSchemaError",
    "parse_writer_schema",
]


class AvroReader:
    """Reads the bodies that one writer's schema has written.

    Args:
        writer: the schema that they were written with, of any origin.
        reader: our current schema of the same record.

    Raises:
        UnresolvableSchemaError: the one cannot be read as the other.
    """

    def __init__(self, writer: JsonSchema, reader: Schema) -> None:
        resolver = Resolver()
        self._read = resolver.resolve(parse_type(writer), parse_type(reader.tree), "")
        self._depth = resolver.depth
        self._one_at_a_time = Lock()

    def read(self, data: bytes, start: int) -> list[Any]:
        """Read one body.

        Args:
            data: bytes of any origin.
            start: where the body begins.

        Returns:
            The values of our fields, in their order; a record among them as such a list.

        Raises:
            MalformedAvroError: the bytes from `start` are not exactly one body, or one of which a
                union has what our field cannot be.
        """
        try:
            if self._depth.counts:
                with self._one_at_a_time:
                    self._depth.left = VALUE_DEPTH_MAX
                    row, end = self._read(data, start)
            else:
                row, end = self._read(data, start)
        except IndexError as error:
            raise MalformedAvroError("truncated_avro", "it ends within a field") from error
        except UnicodeDecodeError as error:
            raise MalformedAvroError("invalid_utf8", "a text is not UTF-8") from error
        if end > len(data):
            raise MalformedAvroError("truncated_avro", "it ends within a field")
        if end < len(data):
            raise MalformedAvroError("trailing_bytes", f"{len(data) - end} bytes follow the record")
        values: list[Any] = row
        return values
