"""One partition of a topic, read record by record at the reader's own pace.

Owns: a client for one partition, what has been fetched of it, how far it was read.
Does not own: what the records are (its users).
Invariant: nothing is skipped: `position` is the offset after the last record that was taken.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import Message

from pipeline.kafka.committed_log import LOG_LEVEL
from pipeline.kafka.reader import FROM_THE_START, Partition, Reader, record_offset

RECORDS_AT_ONCE: Final = 5_000
"""Max records that are fetched from the client at once."""

_GROUP: Final = "awaway-rebuild"


class Source:
    """Committed records of one partition, in order.

    Args:
        client: librdkafka settings that reach the cluster.
        partition: topic and number.
        at: the first offset to read; the first that there is without one.

    Attributes:
        position: where the next record will be, or later; None before the first.
    """

    def __init__(
        self, client: Mapping[str, Any], partition: Partition, at: int | None = None
    ) -> None:
        settings = {
            "log_level": LOG_LEVEL,
            "fetch.wait.max.ms": 50,
            "queued.max.messages.kbytes": 32_768,
            "fetch.message.max.bytes": 4 << 20,
            **client,
        }
        self.partition = partition
        self.position = at
        self._reader = Reader(settings, _GROUP)
        self._reader.assign({partition: FROM_THE_START if at is None else at})
        self._fetched: deque[Message] = deque()
        self._uncommitted = {**settings, "isolation.level": "read_uncommitted"}
        self._asker: Reader | None = None

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()
        if self._asker is not None:
            self._asker.close()

    def peek(self, wait_s: float = 0.0) -> Message | None:
        """Return the next record without taking it; None where there is none within `wait_s`.

        Raises:
            OffsetGoneError, UnreadableLogError: see there.
        """
        if not self._fetched:
            self._fetched.extend(self._reader.poll(RECORDS_AT_ONCE, wait_s).records)
        return self._fetched[0] if self._fetched else None

    def take(self) -> Message:
        """Take the record that `peek` showed."""
        record = self._fetched.popleft()
        self.position = record_offset(record) + 1
        return record

    def end(self) -> int:
        """The last stable offset as of now."""
        return self._reader.ends([self.partition])[self.partition]

    def high_watermark(self) -> int:
        """The end as of now, what is not committed yet included.

        Every record that was committed by now lies below it, also one whose marker is still on its
        way to this partition.
        """
        self._asker = self._asker or Reader(self._uncommitted, _GROUP)
        return self._asker.ends([self.partition])[self.partition]

    @property
    def reached(self) -> int:
        """The end up to which everything was fetched; 0 before the first."""
        return self._reader.reached.get(self.partition, 0)

    def is_at_end(self) -> bool:
        """Whether everything has been taken up to an end, with nothing read beyond it since.

        What is read up to an end are whole transactions.
        """
        reached = self._reader.reached.get(self.partition)
        return not self._fetched and reached is not None and reached >= (self.position or 0)
