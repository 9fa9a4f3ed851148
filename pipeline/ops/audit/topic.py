"""The audit and its checkpoints in Kafka.

Owns: reading both, publishing checkpoints, the head of a chain that the workers' state carries.
Does not own: what is made of them (verify.py, show.py), the bytes of the state's checkpoint, which
whoever opens this knows how to read.
Invariants: only committed records are read, in no group, up to an end that stood before; a record
is published once all in-sync replicas have it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException

from pipeline.core.audit import ChainHead
from pipeline.kafka.committed_log import LOG_LEVEL, CommittedLog
from pipeline.kafka.errors import unreadable
from pipeline.kafka.principal import principal_of
from pipeline.kafka.ranges import read_whole
from pipeline.kafka.reader import Reader
from pipeline.ops.audit.follow import Record
from pipeline.ops.audit.sightings import Sighting
from pipeline.ops.audit.signed import SignedCheckpoint

AUDIT: Final = "audit"
CHECKPOINTS: Final = "audit-checkpoints"
READ_S_MAX: Final = 60.0
_DELIVERY_MS: Final = 15_000
_TAIL: Final = 64
"""Records of a changelog in which its last checkpoint is looked for first."""

Say = Callable[[int, int], None]
"""Is told how many offsets are read, of how many."""


class StateFormat(NamedTuple):
    """How the workers' state says where its chain is.

    Attributes:
        changelog: its name after the topic prefix. key: of the records that say it.
        head_of: reads such a record's value.
    """

    changelog: str
    key: bytes
    head_of: Callable[[bytes], ChainHead | None]


class AuditTopics:
    """The topics of one ledger; for one thread, which reads one range after the other.

    Args:
        client: librdkafka settings that reach the cluster.
        prefix: of the topics.

    Attributes:
        topic: the audit's full name. partitions: how many it has.

    Raises:
        UnreadableLogError: the brokers do not answer, or there is no audit.
    """

    def __init__(self, client: Mapping[str, Any], prefix: str) -> None:
        self._client = {**client, "log_level": LOG_LEVEL, "client.id": "awaway-audit"}
        self._prefix = prefix
        self.topic = f"{prefix}{AUDIT}"
        group = principal_of(client)
        settings = {"fetch.wait.max.ms": 50, **self._client}
        self._reader = Reader(settings, group)
        self._asker = Reader({**settings, "isolation.level": "read_uncommitted"}, group)
        self.partitions = len(self._reader.partitions([self.topic]))

    def close(self) -> None:
        """Close the clients."""
        self._reader.close()
        self._asker.close()

    def range(self, partition: int) -> tuple[int, int]:
        """The first offset of the audit's partition, and the high watermark.

        Whatever was committed before this was asked lies below it.
        """
        one = (self.topic, partition)
        return self._asker.starts([one])[one], self._asker.ends([one])[one]

    def records(self, partition: int, first: int, end: int, say: Say) -> Iterator[Record]:
        """The audit's records from an offset up to another.

        Raises:
            UnreadableLogError: a transaction stays open before the end, among others.
        """
        ranges = {(self.topic, partition): (first, end)}
        for message in read_whole(self._reader, ranges, say):
            yield message.offset() or 0, message.value()

    def checkpoints(self) -> list[Sighting]:
        """Every line of the topic of checkpoints.

        Raises:
            UnreadableLogError: it cannot be read to its end, or is not there.
        """
        name = f"{self._prefix}{CHECKPOINTS}"
        with CommittedLog(self._client, [name]) as log:
            return [
                Sighting(
                    (message.value() or b"").decode(errors="replace"),
                    "topic",
                    f"{name}[{message.partition()}] offset {message.offset()}",
                )
                for message in log.to_its_ends(READ_S_MAX)
            ]

    def publish(self, checkpoints: Iterable[SignedCheckpoint]) -> None:
        """Add checkpoints to the topic.

        Raises:
            UnreadableLogError: the brokers did not take one.
        """
        name = f"{self._prefix}{CHECKPOINTS}"
        failed: list[KafkaException] = []

        def note(error: KafkaError | None, _record: object) -> None:
            if error is not None:
                failed.append(KafkaException(error))

        settings = {"enable.idempotence": True, "delivery.timeout.ms": _DELIVERY_MS}
        producer = ck.Producer(self._client | settings)
        for one in checkpoints:
            producer.produce(
                name,
                one.line.encode(),
                f"{one.generation}/{one.partition}".encode(),
                one.partition,
                on_delivery=note,
            )
        if producer.flush(_DELIVERY_MS / 1000 + 5) or failed:
            error = failed[0] if failed else TimeoutError("no answer came")
            raise unreadable(f"{name} did not take a checkpoint", error)

    def state_head(self, state: StateFormat, partition: int) -> ChainHead | None:
        """The head of a partition's chain as the workers' state has it; None before the first.

        Raises:
            UnreadableLogError: the changelog is not there, or may not be read.
        """
        one = (f"{self._prefix}{state.changelog}", partition)
        reader = self._reader
        reader.partitions([one[0]])
        start, end = reader.starts([one])[one], reader.ends([one])[one]
        width, found = _TAIL, None
        while found is None and end > start:
            first = max(start, end - width)
            for message in read_whole(reader, {one: (first, end)}):
                if message.key() == state.key and (value := message.value()) is not None:
                    found = state.head_of(value)
            if first == start:
                break
            width *= 16
        return found
