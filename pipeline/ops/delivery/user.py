"""Which downstream groups have read a user's portals.

Owns: finding the portals of one user, and comparing each with the groups' positions.
Does not own: the positions (measure.py), when a group read one (watch.py, in the API).
Invariants: it reads committed records only, and changes nothing; each portal names its place.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from pipeline.codec.partitioner import partition_of
from pipeline.codec.published import NotPublishedError, PublishedReader, WriterSchemas
from pipeline.codec.schemas import Schema
from pipeline.core.records import PortalUnlocked, RecordCoordinates
from pipeline.kafka.committed_log import LOG_LEVEL
from pipeline.kafka.ranges import read_whole
from pipeline.kafka.reader import Reader, record_offset
from pipeline.ops.delivery.position import Delivery


class GroupRead(msgspec.Struct, frozen=True):
    """Whether a group has read a portal; if not, for how long it has been there, in ms."""

    group: str
    is_read: bool
    waiting_ms: int
    bound_ms: int

    @property
    def is_late(self) -> bool:
        """Whether it waits for longer than the group's bound."""
        return self.waiting_ms > self.bound_ms


class PortalDelivery(msgspec.Struct, frozen=True):
    """One portal of a user, and who has read it.

    Attributes:
        place: of the record. time_ms: the record's time, ms since 1970.
    """

    portal: str
    lap: int
    title: str
    place: RecordCoordinates
    time_ms: int
    groups: tuple[GroupRead, ...]


class PublishedPortal(msgspec.Struct, frozen=True):
    """A portal as it lies in the topic."""

    record: PortalUnlocked
    place: RecordCoordinates
    time_ms: int


def published_portals(
    client: Mapping[str, Any],
    topic: str,
    schema: Schema,
    writer_schema: WriterSchemas,
    user_id: str,
    say: Callable[[int, int], None],
) -> list[PublishedPortal]:
    """Read the user's partition for the user's portals, in their order.

    Args:
        topic: the full name of the topic of portals. schema: ours of its records.
        writer_schema: asks the registry for the schema of an id.
        say: is told how many offsets are read, of how many.

    Raises:
        UnreadableLogError: the brokers do not answer, or a transaction is open in the partition.
    """
    portals = PublishedReader(PortalUnlocked, schema, writer_schema)
    settings = {"log_level": LOG_LEVEL, "fetch.wait.max.ms": 50, **client}
    with Reader(settings, "awaway-delivery", is_patient=True) as reader:
        count = len(reader.partitions([topic]))
        home = (topic, partition_of(user_id.encode(), count))
        ranges = {home: (reader.starts([home])[home], reader.ends([home])[home])}
        found = []
        for message in read_whole(reader, ranges, say):
            value = message.value()
            if message.key() != user_id.encode() or value is None:
                continue
            try:
                record = portals.read(value)
            except NotPublishedError:
                continue  # whoever reads the topic first has said so
            place = RecordCoordinates(*home, record_offset(message))
            found.append(PublishedPortal(record, place, message.timestamp()[1]))
        return found


def deliveries_of(
    portals: Sequence[PublishedPortal], deliveries: Sequence[Delivery], now_ms: int
) -> list[PortalDelivery]:
    """Compare each portal with the positions of the groups; pure.

    Args:
        deliveries: of the topic of portals.
    """
    return [
        PortalDelivery(
            one.record.portal,
            one.record.lap,
            one.record.title,
            one.place,
            one.time_ms,
            tuple(
                GroupRead(
                    its.group,
                    position.has_read(one.place.offset),
                    0 if position.has_read(one.place.offset) else max(0, now_ms - one.time_ms),
                    its.bound_ms,
                )
                for its in deliveries
                for position in its.positions
                if position.partition == one.place.partition
            ),
        )
        for one in portals
    ]
