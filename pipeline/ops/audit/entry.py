"""An audit entry as bytes, without decoding it.

Owns: where an entry's chain, sequence and hashes are in its bytes, and which schemas have them
there.
Does not own: how entries are linked (core/audit.py), decoding (codec/published.py).
Invariant: the parts are exact for every schema that `has_links` accepts: its record begins with
audit_id, generation, partition and sequence, and ends with prev_hash and hash, each of 32 bytes.

    00 | schema id, 4 bytes | audit_id, generation, partition, sequence, … | 40 prev_hash | 40 hash
                              ^------------------- body, which is hashed --------------^

40 is the length 32 as Avro writes it. The first five bytes, the record's key and its headers are
covered by no hash: so nothing here rests on a key, and a schema id is looked up.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from pipeline.codec.avro import MAGIC
from pipeline.codec.avro_bounds import MalformedAvroError
from pipeline.codec.avro_wire import read_long, read_string
from pipeline.codec.schemas import JsonSchema
from pipeline.core.audit import HASH_BYTES

FRAMING_BYTES: Final = 5
LENGTH: Final = b"@"
"""The Avro length of 32 bytes."""
HASH_AT: Final = -HASH_BYTES
BODY_END: Final = HASH_AT - 1
"""Where the body ends, from the end of a framed value."""
LINKS_AT: Final = BODY_END - HASH_BYTES - 1
"""Where the two hashes with their lengths begin, from the end of a framed value."""

_FIRST: Final = [
    ("audit_id", "string"),
    ("generation", "string"),
    ("partition", "int"),
    ("sequence", "long"),
]
_LAST: Final = [("prev_hash", "bytes"), ("hash", "bytes")]


class Parts(NamedTuple):
    """What links an entry into its chain.

    Attributes:
        body: every byte that its hash covers.
    """

    generation: str
    partition: int
    sequence: int
    prev_hash: bytes
    body: bytes
    hash: bytes


def has_links(schema: JsonSchema) -> bool:
    """Return whether entries of a writer's schema have their parts where this module looks."""
    if not isinstance(schema, Mapping) or schema.get("name") != "AuditEntry":
        return False
    fields = [(field.get("name"), field.get("type")) for field in schema.get("fields", [])]
    return fields[:4] == _FIRST and fields[-2:] == _LAST


def schema_id_in(value: bytes | None) -> int | None:
    """Return the id of the schema that a value names; None where it is too short for an entry."""
    if value is None or len(value) < FRAMING_BYTES - LINKS_AT or value[0] != MAGIC:
        return None
    return int.from_bytes(value[1:FRAMING_BYTES], "big")


def parts_of(value: bytes) -> Parts | None:
    """Take an entry apart; None where it is none.

    Args:
        value: of which `schema_id_in` names a schema that `has_links`.
    """
    try:
        _, at = read_string(value, FRAMING_BYTES)
        generation, at = read_string(value, at)
        partition, at = read_long(value, at)
        sequence, at = read_long(value, at)
    except (IndexError, UnicodeDecodeError, MalformedAvroError):
        return None
    links = value[LINKS_AT:]
    if at > len(value) + LINKS_AT or links[:1] != LENGTH or links[33:34] != LENGTH or sequence < 0:
        return None
    body = value[FRAMING_BYTES:BODY_END]
    return Parts(generation, partition, sequence, links[1:33], body, links[34:])
