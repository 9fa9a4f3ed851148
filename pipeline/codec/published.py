"""Published records, from whatever version of their schema wrote them.

Owns: framed Avro of our outputs to the records of core/records.py.
Does not own: inputs, which anybody may have written (inputs.py), the registry (registry.py).
Invariant: instants and dates stay the integers that they are in the records.

fastavro is used here, and not for inputs: it takes some bytes that are no Avro, but what is read
here was encoded by a worker, and only workers may write to the outputs.
"""

import io
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeAlias, TypeVar

import fastavro
import msgspec

from pipeline.codec.avro import MAGIC
from pipeline.codec.errors import CodecError
from pipeline.codec.schemas import JsonSchema, Schema
from pipeline.core.records import Record

WriterSchemas: TypeAlias = Callable[[int], JsonSchema]
"""Returns the schema of an id; raises UnknownSchemaIdError or RegistryUnavailableError."""

_FRAMING_BYTES: Final = 5
_preparing: Final = threading.Lock()
"""msgspec prepares a type at its first use, and crashes when a second thread uses it meanwhile."""
_R = TypeVar("_R", bound=Record)


class NotPublishedError(CodecError):
    """A record on an output topic is not what a worker publishes.

    **Operator action**: find out who else writes to the topic (`awaway topics acls` says who may);
    the reader passes over the record and says so.
    """


class PublishedReader(Generic[_R]):
    """Reads the records of one kind.

    Args:
        kind: the record's type.
        schema: ours.
        writer_schema: the schema of an id.
    """

    def __init__(self, kind: type[_R], schema: Schema, writer_schema: WriterSchemas) -> None:
        with _preparing:
            msgspec.json.Decoder(kind)
        self._kind = kind
        self._ours = fastavro.parse_schema(_plain(schema.tree))
        self._writer_schema = writer_schema
        self._writers: dict[int, Any] = {}

    def read(self, value: bytes) -> _R:
        """Read one framed value.

        Raises:
            NotPublishedError: it is not such a record.
            RegistryError: its schema is not known.
        """
        writer = self._writer(schema_id_of(value))
        body = io.BytesIO(value)
        body.seek(_FRAMING_BYTES)
        try:
            row = fastavro.schemaless_reader(body, writer, self._ours)
            return msgspec.convert(row, self._kind)
        except (EOFError, ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            raise NotPublishedError(
                f"not a {self._kind.__name__}", why=f"{type(error).__name__}: {error}"
            ) from error

    def _writer(self, schema_id: int) -> Any:
        writer = self._writers.get(schema_id)
        if writer is None:
            tree = self._writer_schema(schema_id)
            try:
                writer = fastavro.parse_schema(_plain(tree))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise NotPublishedError(
                    f"schema {schema_id} is no Avro schema", why=str(error)
                ) from error
            self._writers[schema_id] = writer
        return writer


def schema_id_of(value: bytes) -> int:
    """Return the id that the framing names.

    Raises:
        NotPublishedError: it is not framed.
    """
    if len(value) <= _FRAMING_BYTES or value[0] != MAGIC:
        raise NotPublishedError("not a framed record")
    return int.from_bytes(value[1:_FRAMING_BYTES], "big")


def has_revision_second(schema: JsonSchema) -> bool:
    """Return whether a schema begins as `revision_of` needs it: with `user_id`, then `revision`."""
    fields = schema.get("fields", []) if isinstance(schema, Mapping) else []
    first = [(field.get("name"), field.get("type")) for field in fields[:2]]
    return first == [("user_id", "string"), ("revision", "long")]


def revision_of(value: bytes) -> int:
    """Return the revision of a framed progress record, without decoding the rest.

    Args:
        value: written with a schema that `has_revision_second`.

    Raises:
        NotPublishedError: it ends before.
    """
    try:
        length, at = _number(value, _FRAMING_BYTES)
        return _number(value, at + length)[0]
    except IndexError:
        raise NotPublishedError("a progress record ends within its revision") from None


def audit_link_of(value: bytes) -> tuple[str, int]:
    """Return generation and sequence of a framed audit entry, without decoding the rest.

    Raises:
        NotPublishedError: it ends before.
    """
    try:
        length, at = _number(value, _FRAMING_BYTES)  # audit_id
        length, at = _number(value, at + length)
        generation = value[at : at + length].decode()
        _, at = _number(value, at + length)  # partition
        return generation, _number(value, at)[0]
    except (IndexError, UnicodeDecodeError):
        raise NotPublishedError("an audit entry ends within its sequence") from None


def _number(value: bytes, at: int) -> tuple[int, int]:
    """Return an Avro long and where it ends."""
    byte = value[at]
    unsigned = byte & 0x7F
    shift = 0
    while byte & 0x80:
        at += 1
        shift += 7
        byte = value[at]
        unsigned |= (byte & 0x7F) << shift
    return unsigned >> 1 ^ -(unsigned & 1), at + 1


def _plain(node: JsonSchema) -> JsonSchema:
    """Return a schema without its logical types, so that numbers stay numbers."""
    if isinstance(node, dict):
        return {name: _plain(inner) for name, inner in node.items() if name != "logicalType"}
    if isinstance(node, list):
        return [_plain(inner) for inner in node]
    return node
