"""One partition: records, transactions over them, and what readers of each kind see.

Owns: offsets, the last stable offset, compaction and expiry.
Does not own: who may append (broker.py), how transactions end (transactions.py).
Invariants: an offset is given once; a control marker takes an offset and is never delivered; below
the last stable offset every transaction has ended in this partition.
"""

from bisect import bisect_left
from collections.abc import Sequence

from pipeline.engine.ports import TopicPartition

Headers = Sequence[tuple[str, bytes | None]]


class Transaction:
    """A producer's transaction, as the logs refer to it.

    Attributes:
        producer: its transactional id; None if no other transaction has the same one.
        is_committed: None while it is open.
        is_hanging: whether its coordinator forgot it, so that no partition gets its control marker.
    """

    __slots__ = ("is_committed", "is_hanging", "name", "producer")

    def __init__(self, name: str, producer: str | None = None) -> None:
        self.name = name
        self.producer = producer
        self.is_committed: bool | None = None
        self.is_hanging = False


class Record:
    """A record; to a consumer it looks as `confluent_kafka.Message` does."""

    __slots__ = (
        "_at_ms",
        "_headers",
        "_key",
        "_offset",
        "_topic_partition",
        "_value",
        "transaction",
    )

    def __init__(
        self,
        topic_partition: TopicPartition,
        offset: int,
        at_ms: int,
        content: tuple[bytes | None, bytes | None, Headers | None],
        transaction: Transaction | None,
    ) -> None:
        self._topic_partition = topic_partition
        self._offset = offset
        self._at_ms = at_ms
        self._key, self._value, self._headers = content
        self.transaction = transaction

    def topic(self) -> str:
        """The topic."""
        return self._topic_partition.topic

    def partition(self) -> int:
        """The partition, 0 and up."""
        return self._topic_partition.partition

    def offset(self) -> int:
        """The offset."""
        return self._offset

    def key(self) -> bytes | None:
        """The key."""
        return self._key

    def value(self) -> bytes | None:
        """The value; None is a tombstone in a compacted topic."""
        return self._value

    def headers(self) -> Headers | None:
        """The headers."""
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        """Append time, ms since the start of the run."""
        return 2, self._at_ms


class Log:
    """A partition's log.

    Attributes:
        topic_partition: whose log it is.
        low: the first offset that a reader may ask for.
        next_offset: of the next record; the high watermark, too.
        version: changes with each append or marker, so that a reader can tell that nothing did.
    """

    __slots__ = (
        "_offsets",
        "_open",
        "_records",
        "low",
        "next_offset",
        "topic_partition",
        "version",
    )

    def __init__(self, topic: str, partition: int) -> None:
        self.topic_partition = TopicPartition(topic, partition)
        self.low = 0
        self.next_offset = 0
        self.version = 0
        self._records: list[Record] = []
        self._offsets: list[int] = []
        self._open: dict[Transaction, int] = {}

    @property
    def last_stable_offset(self) -> int:
        """Where a read_committed reader has to stop."""
        return min(self._open.values()) if self._open else self.next_offset

    def append(
        self,
        content: tuple[bytes | None, bytes | None, Headers | None],
        at_ms: int,
        transaction: Transaction | None = None,
    ) -> int:
        """Append a record; returns its offset."""
        offset = self.next_offset
        if transaction is not None and transaction not in self._open:
            self._open[transaction] = offset
        self._records.append(Record(self.topic_partition, offset, at_ms, content, transaction))
        self._offsets.append(offset)
        self.next_offset = offset + 1
        self.version += 1
        return offset

    def end(self, transaction: Transaction) -> None:
        """Append the control marker of a transaction that has ended.

        A partition knows producers, not transactions: an earlier one of the same producer that was
        never ended here is ended with it, and alike.
        """
        if self._open.pop(transaction, None) is None:
            return
        self.next_offset += 1
        self.version += 1
        if transaction.producer is None:
            return
        hanging = [other for other in self._open if other.producer == transaction.producer]
        for other in hanging:
            start = bisect_left(self._offsets, self._open.pop(other))
            for record in self._records[start:]:
                if record.transaction is other:
                    record.transaction = transaction

    def read(
        self, position: int, records_max: int, *, is_committed: bool = True
    ) -> tuple[list[Record], int]:
        """Records from a position on, and the position after them.

        Args:
            is_committed: whether as read_committed does, or as read_uncommitted.
        """
        end = self.last_stable_offset if is_committed else self.next_offset
        found: list[Record] = []
        index = bisect_left(self._offsets, position)
        while index < len(self._offsets):
            offset = self._offsets[index]
            if offset >= end:
                break
            if len(found) == records_max:
                return found, offset
            record = self._records[index]
            transaction = record.transaction
            if not is_committed or transaction is None or transaction.is_committed:
                found.append(record)
            index += 1
        return found, max(position, end)

    def committed(self) -> list[Record]:
        """Everything that a read_committed reader can see now."""
        return self.read(self.low, len(self._records))[0]

    def compact(self) -> int:
        """Keep the last record of each key, as far as transactions have ended; returns how many
        records went."""
        end = self.last_stable_offset
        kept: list[Record] = []
        seen: set[bytes | None] = set()
        for record in reversed(self._records):
            if record.offset() < end:
                transaction = record.transaction
                if transaction is not None and not transaction.is_committed:
                    continue
                if record.key() in seen:
                    continue
                seen.add(record.key())
            kept.append(record)
        return self._keep(kept[::-1])

    def expire(self, before_ms: int) -> int:
        """Delete the start of the log up to the first record that is not older than `before_ms`,
        as far as transactions have ended; returns how many records went."""
        count = 0
        end = self.last_stable_offset
        for record in self._records:
            if record.timestamp()[1] >= before_ms or record.offset() >= end:
                break
            count += 1
        if count:
            rest = self._offsets[count:]
            self.low = rest[0] if rest else self.next_offset
        return self._keep(self._records[count:])

    def _keep(self, records: list[Record]) -> int:
        gone = len(self._records) - len(records)
        self._records = records
        self._offsets = [record.offset() for record in records]
        return gone
