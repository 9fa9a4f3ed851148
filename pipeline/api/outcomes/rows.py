"""The rows of the index of outcomes: their keys and values.

Owns: the bytes of each row, the user whose row a record is, a record's time.
Does not own: the database (index.py), the rows of the latest entries (latest_rows.py).
Invariant: a record has one row, however often it is read.

`u` is the user id in UTF-8, which has no zero byte; numbers are big endian:

| key | value |
|---|---|
| `r` u 0 time kind partition offset | the record, as msgpack |
| `c` u 0 completion id 0 kind partition offset | its time |
| `p` u 0 completion id | Receipt: what this process sent itself |
| `q` kind partition offset, of a completion's input | key of the record's `r` row |
| `o` kind partition | the next offset |
| `i` | ids of the topics |
| `f` | FORM |
| `t`, `v` | the latest entries, and counts of verdicts, see latest_rows.py |
"""

import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
from confluent_kafka import Message

from pipeline.core.records import (
    AuditEntry,
    Cause,
    DeadLetter,
    Instant,
    PortalUnlocked,
    ReconciliationAlert,
)
from pipeline.core.texts import is_id

Outcome = AuditEntry | ReconciliationAlert | DeadLetter | PortalUnlocked

FORM: Final = b"2"
"""Version of the rows' form; it changes with any row, and with the records in them. An index of
another form is emptied and rebuilt from the topics."""

KINDS: Final[tuple[tuple[str, type[Any]], ...]] = (
    ("audit", AuditEntry),
    ("reconciliation", ReconciliationAlert),
    ("deadletters", DeadLetter),
    ("portals", PortalUnlocked),
)
"""Topics that are indexed. A kind is an index of this list, so the list only grows."""

TOPICS: Final = tuple(name for name, _ in KINDS)
BY_INPUT: Final = (TOPICS.index("audit"), TOPICS.index("deadletters"))
"""Kinds that are found by their input's position, too; an input has at most one of each."""

ROW: Final = struct.Struct(">QBIQ")
PLACE: Final = struct.Struct(">BIQ")
POSITION: Final = struct.Struct(">BI")
NUMBER: Final = struct.Struct(">Q")
HIGHEST: Final = b"\xff" * ROW.size


class Entry(NamedTuple):
    """One indexed record and its position.

    Attributes:
        topic: short name, one of TOPICS.
        time_ms: append time of the input; for an alert, the timestamp of its own record.
    """

    topic: str
    partition: int
    offset: int
    time_ms: Instant
    record: Outcome

    @property
    def cause(self) -> Cause:
        """Return the position and the id of the input."""
        return self.record.cause


def rows_of(
    kind: int, message: Message, record: Outcome, inputs: str
) -> Iterator[tuple[bytes, bytes]]:
    """Make the rows of a record.

    Args:
        inputs: full name of the topic of completions, whose inputs can be found by position.
    """
    user = user_of(message, record)
    partition, offset = message.partition() or 0, message.offset() or 0
    time_ms = time_of(message, record)
    place = ROW.pack(time_ms, kind, partition, offset)
    yield row_prefix(user) + place, msgspec.msgpack.encode(record)
    cause = record.cause
    if kind in BY_INPUT and cause.topic == inputs:
        yield input_key(kind, cause.partition, cause.offset), row_prefix(user) + place
    completion_id = cause.id
    if is_id(completion_id):
        key = completion_key(b"c", user, completion_id) + b"\x00"
        yield key + PLACE.pack(kind, partition, offset), NUMBER.pack(time_ms)


def user_of(message: Message, record: Outcome) -> str:
    """Return whose row it is; the key of a dead letter is its sender's, so it may be anything."""
    if not isinstance(record, DeadLetter):
        return record.user_id or ""
    key = message.key()
    try:
        text = key.decode() if isinstance(key, bytes) else ""
    except UnicodeDecodeError:
        return ""
    return text if is_id(text) else ""


def time_of(message: Message, record: Outcome) -> int:
    """Return the time of an entry, see `Entry.time_ms`."""
    if isinstance(record, PortalUnlocked):
        return max(0, record.unlocked_at)
    if isinstance(record, ReconciliationAlert):
        return max(0, message.timestamp()[1])
    return max(0, record.append_time)


def entry_of(kind: int, message: Message, record: Outcome) -> Entry:
    """Make the entry of a record that was read."""
    place = message.partition() or 0, message.offset() or 0
    return Entry(TOPICS[kind], *place, time_of(message, record), record)


def entry_from(kind: int, partition: int, offset: int, time_ms: int, raw: bytes) -> Entry:
    """Make the entry of a stored row."""
    name, record = KINDS[kind]
    return Entry(name, partition, offset, time_ms, msgspec.msgpack.decode(raw, type=record))


def row_of(entry: Entry) -> bytes:
    """Return the key of an entry's row after its user."""
    kind = TOPICS.index(entry.topic)
    return ROW.pack(entry.time_ms, kind, entry.partition, entry.offset)


def row_prefix(user_id: str) -> bytes:
    return b"r" + user_id.encode() + b"\x00"


def completion_key(kind: bytes, user_id: str, completion_id: str) -> bytes:
    return kind + user_id.encode() + b"\x00" + completion_id.encode()


def position_key(kind: int, partition: int) -> bytes:
    return b"o" + POSITION.pack(kind, partition)


def input_key(kind: int, partition: int, offset: int) -> bytes:
    return b"q" + PLACE.pack(kind, partition, offset)
