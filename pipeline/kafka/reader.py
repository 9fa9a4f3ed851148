"""A consumer that joins no group: it reads partitions, and asks what they have.

Owns: the settings that reading committed records rests on, which event of the client is an end and
which a failure, questions about offsets.
Does not own: what becomes of the records (its users), questions about topics (admin.py).
Invariants: nothing is committed. Unless the settings say otherwise, only committed records are
read, and an offset that is gone is an error. So is a client that has gone silent: after
a restart of the only broker some deliver nothing any more, for good, and do not say so.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException, Message

from pipeline.kafka.errors import UnreadableLogError, translated, unreadable

REQUEST_TIMEOUT_S: Final = 15.0
"""Seconds that a question to the brokers may take, unless its reader names another time."""

SILENT_S: Final = 15.0
"""Seconds without a record or an end after which it is looked up what there is to read. A client
that has not delivered it after as many seconds again has gone silent."""

FROM_THE_START: Final = ck.OFFSET_BEGINNING
"""Where to read from: the first record that the partition has."""

Partition = tuple[str, int]
"""A topic's full name, and the partition's number."""


class PolledRecords(NamedTuple):
    """What a poll brought.

    Attributes:
        records: in the order of each partition.
        ends: the last stable offset of each partition that was read up to it.
    """

    records: list[Message]
    ends: dict[Partition, int]

    def positions(self) -> dict[Partition, int]:
        """The next offset of each partition of which there is a record or an end."""
        found = dict(self.ends)
        last = {(record.topic(), record.partition()): record for record in self.records}
        for record in last.values():
            partition = record_partition(record)
            found[partition] = max(found.get(partition, 0), record_offset(record) + 1)
        return found


class Reader:
    """One consumer, read by one thread; others may ask. A context manager.

    Args:
        settings: librdkafka's, which reach the cluster, and any others of this reader.
        group_id: the group whose committed offsets it tells; otherwise just a name.
        timeout_s: seconds that a question may take.
        is_patient: whether it reads on after events that are not fatal.
        logger: of the client, and of such events; without one the client writes to stderr, as
            `log_level` says.

    Attributes:
        reached: where each partition was last read to its end, since `assign`.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        group_id: str,
        *,
        timeout_s: float = REQUEST_TIMEOUT_S,
        is_patient: bool = False,
        logger: logging.Logger | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._is_patient = is_patient
        self._logger = logger
        self.reached: dict[Partition, int] = {}
        self._read_from: dict[Partition, int] = {}
        self._unread: dict[Partition, int] = {}
        self._heard_s = time.monotonic()
        given = {
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            **settings,
            "group.id": group_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
        }
        self._client: Any = ck.Consumer(given, **({"logger": logger} if logger else {}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading."""
        self._client.close()

    # --- reading ---------------------------------------------------------------------------------

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """Read these partitions, each from an offset or `FROM_THE_START`, and no others."""
        self.reached.clear()
        self._read_from = dict(offsets)
        self._unread = {}
        self._heard_s = time.monotonic()
        with translated("partitions cannot be read"):
            self._client.assign([ck.TopicPartition(*one, at) for one, at in offsets.items()])

    def pause(self, partition: Partition) -> None:
        """Read no more of a partition until the next `assign`."""
        self._read_from.pop(partition, None)
        self._client.pause([ck.TopicPartition(*partition)])

    def poll(self, records_max: int, wait_s: float) -> PolledRecords:
        """Return what is there; wait up to `wait_s` seconds for the first record or end only.

        Raises:
            OffsetGoneError, UnreadableLogError: see there; the client has gone silent.
        """
        with translated("a topic cannot be read"):
            polled = self._client.consume(1, wait_s)
            if polled and records_max > 1:
                polled += self._client.consume(records_max - 1, 0)
        return self._sorted(polled)

    def gather(self, records_max: int, wait_s: float) -> PolledRecords:
        """Return what comes by within `wait_s` seconds, or sooner `records_max` records.

        Raises:
            OffsetGoneError, UnreadableLogError: see there.
        """
        with translated("a topic cannot be read"):
            return self._sorted(self._client.consume(records_max, wait_s))

    def _sorted(self, polled: list[Any]) -> PolledRecords:
        records: list[Message] = []
        ends: dict[Partition, int] = {}
        for record in polled:
            event = record.error()
            if event is None:
                records.append(record)
            elif event.code() == KafkaError._PARTITION_EOF:
                ends[record_partition(record)] = record_offset(record)
            elif event.fatal() or not self._is_patient:
                raise unreadable("a topic cannot be read", event)
            elif self._logger is not None:
                self._logger.warning("reading goes on after: %s", event.str())
        self.reached.update(ends)
        if records or ends:
            self._heard_s = time.monotonic()
        elif time.monotonic() - self._heard_s >= SILENT_S:
            self._check_silence()
        return PolledRecords(records, ends)

    def _check_silence(self) -> None:
        """Raise if the client has not delivered what there was a silence before.

        What there is now may be on its way to a client that is sound.
        """
        self._heard_s = time.monotonic()
        partitions = [*self._read_from]
        # Where a record was last, or an end, or where it began; the client itself knows the first.
        known = self._client.position([ck.TopicPartition(*one) for one in partitions])
        at = {(one.topic, one.partition): one.offset for one in known}
        left = [
            one
            for one, end in self._unread.items()
            if end > max(at.get(one, end), self.reached.get(one, 0), self._read_from.get(one, end))
        ]
        if left:
            topic, number = left[0]
            raise UnreadableLogError(
                f"the client delivers nothing of {topic} {number}, which has more",
                why=f"{len(left)} of {len(at)} partitions; it may be so after a broker's restart",
            )
        try:
            starts, ends = self.starts(partitions), self.ends(partitions)
        except UnreadableLogError:
            if not self._is_patient:
                raise
        else:  # of patient readers the last answer stays while the brokers are away
            self._unread = {one: end for one, end in ends.items() if end > starts[one]}

    # --- asking ----------------------------------------------------------------------------------

    def partitions(self, topics: Sequence[str]) -> list[Partition]:
        """The partitions of some topics.

        Raises:
            UnreadableLogError: the brokers do not answer, or do not know one of the topics.
        """
        with translated("the topics cannot be listed"):
            known = self._client.list_topics(timeout=self._timeout_s).topics
        if missing := [topic for topic in topics if topic not in known]:
            raise UnreadableLogError(
                f"topics that are not there: {', '.join(missing)}",
                fix="awaway topics apply",
                code=KafkaError.UNKNOWN_TOPIC_OR_PART,
            )
        return [(topic, number) for topic in topics for number in known[topic].partitions]

    def starts(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """The first offset that each partition has; raises as `ends`."""
        return self._offsets(partitions, ck.OFFSET_BEGINNING)

    def ends(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """The end of each: the last stable offset, or the high watermark if uncommitted is read.

        Raises:
            UnreadableLogError: the brokers do not tell it of one.
        """
        return self._offsets(partitions, ck.OFFSET_END)

    def since(self, partitions: Sequence[Partition], time_ms: int) -> dict[Partition, int]:
        """The first offset at or after an instant, ms since 1970; −1 where there is none."""
        return self._offsets(partitions, time_ms)

    def committed(self, partitions: Sequence[Partition]) -> dict[Partition, int | None]:
        """The next offset that the group committed of each; None where it committed none.

        Raises:
            UnreadableLogError: the brokers do not tell it of one.
        """
        with translated("the group's offsets are not known"):
            asked = [ck.TopicPartition(*one) for one in partitions]
            found = _offsets_of(self._client.committed(asked, self._timeout_s))
        return {one: at if at >= 0 else None for one, at in found.items()}

    def serve(self) -> None:
        """Let a reader that reads nothing write the log lines of its client."""
        self._client.poll(0)

    def _offsets(self, partitions: Sequence[Partition], at: int) -> dict[Partition, int]:
        if not partitions:
            return {}
        with translated("offsets are not known"):
            asked = [ck.TopicPartition(*one, at) for one in partitions]
            return _offsets_of(self._client.offsets_for_times(asked, self._timeout_s))


def _offsets_of(found: Sequence[Any]) -> dict[Partition, int]:
    for one in found:
        if one.error is not None:
            raise KafkaException(one.error)
    return {(one.topic, one.partition): one.offset for one in found}


def record_partition(record: Message) -> Partition:
    """The partition that a record, or an event, is of."""
    return str(record.topic()), int(record.partition() or 0)


def record_offset(record: Message) -> int:
    """A record's offset."""
    return int(record.offset() or 0)
