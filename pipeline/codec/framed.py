"""Confluent's framing of an input: which schema a value names, and its body read with that.

Owns: which bytes are framed, the readers that were made, the reason when a value is refused here.
Does not own: how schemas are found (writers.py), what a body means (inputs.py), JSON.
Invariants: whatever the bytes, the outcome is a row, a `DecodeError` that names the schema id from
where it could be read on, or `RegistryUnavailableError`; the readers are bounded in number.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from pipeline.codec.avro import MAGIC
from pipeline.codec.avro_reader import AvroReader, MalformedAvroError, UnresolvableSchemaError
from pipeline.codec.errors import DecodeError, SchemaNotReadableError, UnknownSchemaIdError
from pipeline.codec.schemas import JsonSchema, Schema

WriterSchemas: TypeAlias = Callable[[int], JsonSchema]
"""Returns the schema of an id; raises UnknownSchemaIdError, UnresolvableSchemaError,
SchemaNotReadableError or RegistryUnavailableError."""

READERS_MAX: Final = 1_024
"""Max remembered readers of one record; a subject has fewer versions (subject_table.py)."""

_FRAMING_BYTES: Final = 5
_SHOWN_MAX: Final = 16


def schema_id_in(value: bytes | None) -> int | None:
    """Return the schema id that a value names; None when it is not framed."""
    if value is None or len(value) < _FRAMING_BYTES or value[0] != MAGIC:
        return None
    return int.from_bytes(value[1:_FRAMING_BYTES], "big", signed=True)


class FramedReader:
    """Reads the framed values of one record, of any version.

    Args:
        schema: ours.
        writer_schema: finds the schema of an id.
    """

    def __init__(self, schema: Schema, writer_schema: WriterSchemas) -> None:
        self._schema = schema
        self._writer_schema = writer_schema
        self._readers: dict[int, AvroReader | str] = {}

    def read(self, value: bytes | None) -> tuple[list[Any], int]:
        """Return the row of a value and the id of its schema.

        Raises:
            DecodeError: it is not framed, or cannot be read.
            RegistryUnavailableError: its schema could not be asked for; try again.
        """
        if value is None:
            raise DecodeError("null_value", "the value is null; inputs have no tombstones")
        if not value:
            raise DecodeError("empty_value", "the value is empty; send a record")
        if value[0] != MAGIC:
            raise DecodeError(
                "unknown_format",
                f"the value begins with {value[:_SHOWN_MAX].hex(' ')}; send Avro in Confluent's"
                " framing (first byte 00, then the schema id), or a JSON object (first byte {); a"
                " schema id in a header (__value_schema_id) is not read",
            )
        if len(value) < _FRAMING_BYTES:
            raise DecodeError(
                "truncated_framing", "the value ends within its schema id; send all of it"
            )
        schema_id = int.from_bytes(value[1:_FRAMING_BYTES], "big", signed=True)
        reader = self._readers.get(schema_id) or self._reader(schema_id)
        if isinstance(reader, str):
            raise DecodeError(
                "unresolvable_schema",
                f"schema id {schema_id} cannot be read as {self._schema.name}: {reader}; use the"
                " schema of the topic's own subject",
                schema_id,
            )
        try:
            return reader.read(value, _FRAMING_BYTES), schema_id
        except MalformedAvroError as error:
            raise DecodeError(
                error.reason,
                f"{error.detail}; send {self._schema.name} as schema id {schema_id} has it",
                schema_id,
            ) from error

    def _reader(self, schema_id: int) -> AvroReader | str:
        reader: AvroReader | str
        try:
            reader = AvroReader(self._writer_schema(schema_id), self._schema)
        except UnknownSchemaIdError as error:
            raise DecodeError("unknown_schema_id", f"{error}; {error.fix}", schema_id) from error
        except SchemaNotReadableError as error:
            raise DecodeError("schema_not_readable", f"{error}; {error.fix}", schema_id) from error
        except UnresolvableSchemaError as error:
            reader = str(error) or "it is no schema"
        if len(self._readers) >= READERS_MAX:
            del self._readers[next(iter(self._readers))]
        self._readers[schema_id] = reader
        return reader
