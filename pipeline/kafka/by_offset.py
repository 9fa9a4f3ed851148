"""Single records by their coordinates.

Owns: reading them, reading on or seeking to the next, how long they may take.
Does not own: which records, what becomes of them.
Invariant: every committed record of those that are wanted is yielded once, in the order of the log;
one that is not there, or was never committed, is left out.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from confluent_kafka import KafkaError, Message

from pipeline.core.records import RecordCoordinates
from pipeline.kafka.errors import UnreadableLogError
from pipeline.kafka.reader import Reader, record_offset

_POLL_S: Final = 0.2
_CONNECT_S: Final = 5.0
_INPUT_S: Final = 0.2
"""All inputs that are read at once may take this long each, and the time to connect, together."""

POINT_BYTES: Final = 65_536
"""Bytes of a fetch of which one record is wanted."""

_NEAR: Final = 200
"""An input this many offsets on is reached by reading, one further on by seeking."""

_NOT_THERE: Final = frozenset(
    {
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)


def each_of(
    reader: Reader, wanted: Sequence[RecordCoordinates]
) -> Iterator[tuple[RecordCoordinates, Message]]:
    """Records by their coordinates, in the order of the log."""
    with suppress(UnreadableLogError):  # else a client waits a second for each topic's leader
        reader.starts(list({(one.topic, one.partition) for one in wanted}))
    at: tuple[str, int, int] | None = None
    deadline_s = time.monotonic() + _CONNECT_S + _INPUT_S * len(wanted)
    for coordinates in sorted(set(wanted)):
        partition = (coordinates.topic, coordinates.partition)
        reached = at is not None and at[:2] == partition
        if not reached or at is None or not 0 <= coordinates.offset - at[2] <= _NEAR:
            reader.assign({partition: coordinates.offset})
        message = _until(reader, coordinates, deadline_s)
        at = (*partition, coordinates.offset + 1) if message is not None else None
        if message is not None:
            yield coordinates, message


def _until(reader: Reader, coordinates: RecordCoordinates, deadline_s: float) -> Message | None:
    """The record at some coordinates, reading on to it; None where there is none.

    Raises:
        UnreadableLogError: neither was told by the deadline.
    """
    while time.monotonic() < deadline_s:
        try:
            polled = reader.poll(1, _POLL_S)
        except UnreadableLogError as error:
            if error.code in _NOT_THERE:
                return None
            raise
        for message in polled.records:
            if record_offset(message) == coordinates.offset:
                return message
        if polled.ends or any(record_offset(one) > coordinates.offset for one in polled.records):
            return None
    raise UnreadableLogError(
        "the inputs cannot be read",
        why="the brokers did not answer for the partition in time",
        fix="see whether they run, and ask again",
        topic=coordinates.topic,
    )
