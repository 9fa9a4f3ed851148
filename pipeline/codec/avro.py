"""Records to Confluent-framed Avro.

Owns: the framing, and the choice between the encoder made for the schema and the plain one.
Does not own: schema ids (registry.py), decoding (avro_reader.py), the audit chain (core/audit.py).
Layout: one zero byte, the schema id in four bytes big endian, the Avro body. An audit record's
body ends with its `hash` field, so it is made in two parts: the body before the last field, over
which the hash is taken, then the whole.
Invariant: byte for byte what `fastavro.schemaless_writer` writes.
"""

from collections.abc import Callable
from typing import Any, Final

from pipeline.codec import varint
from pipeline.codec.avro_checked import Write, compile_checked
from pipeline.codec.avro_source import MISFITS, SourceWriter, compiled
from pipeline.codec.schemas import Schema

MAGIC: Final = 0
"""The first byte of a framed value."""

SCHEMA_ID_MAX: Final = 2**31 - 1


def framing(schema_id: int) -> bytes:
    """Return the five bytes that stand before an Avro body.

    Args:
        schema_id: 0 to SCHEMA_ID_MAX, as the registry gave it.

    Raises:
        ValueError: outside.
    """
    if not 0 <= schema_id <= SCHEMA_ID_MAX:
        raise ValueError(f"schema id {schema_id} does not fit the framing")
    return bytes((MAGIC,)) + schema_id.to_bytes(4, "big")


class AvroEncoder:
    """Encodes the records of one schema.

    Args:
        schema: of a record.
        schema_id: the id that the registry in use has for it.

    Attributes:
        source: the Python source that was made for the schema.

    Raises:
        SchemaFileError: the schema uses a type that no record of ours has.
        ValueError: the schema id does not fit the framing.
    """

    def __init__(self, schema: Schema, schema_id: int) -> None:
        self.schema = schema
        self.schema_id = schema_id
        self._prefix = framing(schema_id)
        fields = schema.tree["fields"]
        named: dict[str, Write] = {}
        self._plain: list[tuple[str, Write]] = [
            (str(field["name"]), compile_checked(field["type"], named)) for field in fields
        ]
        writer = SourceWriter()
        self.source = writer.source(fields)
        functions = compiled(self.source, {**writer.names, "PREFIX": self._prefix}, schema.name)
        self._encode: Callable[[Any], bytes] = functions["encode"]
        self._encode_body: Callable[[Any], bytes] = functions["encode_body"]
        self._encode_before_last: Callable[[Any], bytes] = functions["encode_body_before_last"]

    def encode(self, record: object) -> bytes:
        """Return the whole framed value of a record.

        Raises:
            EncodeError: a field does not fit its type.
        """
        try:
            return self._encode(record)
        except MISFITS:
            return self._prefix + self._encode_plain(record, len(self._plain))

    def encode_body(self, record: object) -> bytes:
        """Return the Avro body alone.

        Raises:
            EncodeError: a field does not fit its type.
        """
        try:
            return self._encode_body(record)
        except MISFITS:
            return self._encode_plain(record, len(self._plain))

    def encode_body_before_last(self, record: object) -> bytes:
        """Return the Avro body without its last field, which the record need not have yet.

        Raises:
            EncodeError: a field does not fit its type.
        """
        try:
            return self._encode_before_last(record)
        except MISFITS:
            return self._encode_plain(record, len(self._plain) - 1)

    def frame_with_last(self, body_before_last: bytes, last: bytes) -> bytes:
        """Return the whole framed value of a record whose last field is of type bytes.

        Args:
            body_before_last: from `encode_body_before_last`.
            last: the last field's value.
        """
        return b"".join((self._prefix, body_before_last, varint.TABLE[len(last)], last))

    def _encode_plain(self, record: object, fields: int) -> bytes:
        name = self.schema.name
        return b"".join(
            write(getattr(record, field, None), f"{name}.{field}")
            for field, write in self._plain[:fields]
        )
