"""The engine's ports on a real Kafka cluster, through librdkafka.

Owns: client settings that exactly-once rests on, and what each librdkafka error means to the engine.
Does not own: the order of calls (machine.py).

Errors are judged in librdkafka's order: a transaction that must be aborted first, then what may be
tried again, then all else, which loses the producer. A producer is fenced in two cases: its
transaction outlived its time-out, or another worker runs under the slot; only in the second it was
fenced before its time was up.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.admin._listoffsets import OffsetSpec

from pipeline.engine.errors import (
    BrokerError,
    ProducerLostError,
    SlotTakenError,
    TransactionAbortedError,
)
from pipeline.engine.ports import (
    ChangelogReader,
    GroupConsumer,
    Message,
    RebalanceListener,
    TopicPartition,
    TransactionalProducer,
    Watermarks,
)

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_S: Final = 15.0
AWAY_S_MAX: Final = 30.0
"""A transaction's call is tried again for this long; then its producer is given up."""

BACKOFF_S: Final = 0.1
BACKPRESSURE_S_MAX: Final = 60.0
_FENCED: Final = frozenset(
    {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
)
_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """How the engine's clients connect.

    Attributes:
        client: librdkafka settings for every client: addresses, security.
        group_id: the worker group's.
        slot_id: this slot's `group.instance.id` and `transactional.id`.
        session_timeout_ms, transaction_timeout_ms: the second below the first.
        poll_interval_ms_max: after this long without a poll the group moves on.
        poll_linger_s: how long a poll gathers more records after the first.
        consumer, producer: settings of just these clients.
    """

    client: Mapping[str, Any]
    group_id: str
    slot_id: str
    session_timeout_ms: int = 10_000
    transaction_timeout_ms: int = 5_000
    poll_interval_ms_max: int = 300_000
    poll_linger_s: float = 0.005
    consumer: Mapping[str, Any] = field(default_factory=dict)
    producer: Mapping[str, Any] = field(default_factory=dict)


class KafkaCluster:
    """Makes the clients and answers questions about topics."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._admin = AdminClient(dict(config.client), logger=logger)

    def producer(self) -> TransactionalProducer:
        """A producer under the slot's transactional id."""
        return KafkaProducer(self._config)

    def consumer(self) -> GroupConsumer:
        """A static member of the worker group."""
        return KafkaGroupConsumer(self._config)

    def changelog_reader(self) -> ChangelogReader:
        """A reader of committed changelog records."""
        return KafkaChangelogReader(self._config)

    def topic_ids(self, topics: Sequence[str]) -> dict[str, str]:
        """The UUID of each topic."""
        return {name: str(found.topic_id) for name, found in self._describe(topics).items()}

    def partition_counts(self, topics: Sequence[str]) -> dict[str, int]:
        """Number of partitions of each topic that exists."""
        return {name: len(found.partitions) for name, found in self._describe(topics).items()}

    def _describe(self, topics: Sequence[str]) -> dict[str, Any]:
        futures = self._admin.describe_topics(
            ck.TopicCollection(list(topics)), request_timeout=REQUEST_TIMEOUT_S
        )
        found = {}
        for name, future in futures.items():
            try:
                found[name] = future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise _away("describing topics", error) from error
        return found

    def topic_setting(self, topic: str, name: str) -> str:
        """A topic's setting as the broker applies it, its own or a default."""
        resource = ConfigResource(ResourceType.TOPIC, topic)
        future = self._admin.describe_configs([resource], request_timeout=REQUEST_TIMEOUT_S)
        try:
            return str(future[resource].result()[name].value)
        except KafkaException as error:
            raise _away("reading a topic's settings", error) from error

    def watermarks(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Watermarks]:
        """Start and read_uncommitted end of each partition."""
        lows = self._offsets(partitions, _EARLIEST)
        highs = self._offsets(partitions, _LATEST)
        return {tp: Watermarks(lows[tp], highs[tp]) for tp in partitions}

    def _offsets(
        self, partitions: Sequence[TopicPartition], spec: Any
    ) -> dict[TopicPartition, int]:
        futures = self._admin.list_offsets(
            {ck.TopicPartition(*tp): spec for tp in partitions},
            isolation_level=ck.IsolationLevel.READ_UNCOMMITTED,
            request_timeout=REQUEST_TIMEOUT_S,
        )
        try:
            return {
                TopicPartition(tp.topic, tp.partition): future.result().offset
                for tp, future in futures.items()
            }
        except KafkaException as error:
            raise _away("asking for offsets", error) from error


class KafkaProducer:
    """`TransactionalProducer` on librdkafka."""

    def __init__(self, config: KafkaConfig) -> None:
        self._timeout_s = config.transaction_timeout_ms / 1000
        self._began_at = time.monotonic()
        self._failed: KafkaError | None = None
        self._client = ck.Producer(
            {
                "linger.ms": 5,
                "batch.size": 1_000_000,
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": 262_144,
                **config.client,
                **config.producer,
                "transactional.id": config.slot_id,
                "transaction.timeout.ms": config.transaction_timeout_ms,
                "partitioner": "murmur2_random",
            },
            logger=logger,
        )
        self._produce: Callable[..., None] = self._client.produce

    def init_transactions(self) -> None:
        """Settle what the slot's last producer left open, and fence it.

        Raises:
            BrokerError: the broker does not answer; try again with a new producer.
        """
        self._began_at = time.monotonic()
        try:
            self._retrying(lambda: self._client.init_transactions(REQUEST_TIMEOUT_S))
        except (TransactionAbortedError, ProducerLostError) as error:
            raise BrokerError(
                "the transactional id cannot be taken over", why=str(error)
            ) from error

    def begin(self) -> None:
        """Open a transaction."""
        self._began_at = time.monotonic()
        self._failed = None
        self._retrying(self._client.begin_transaction)

    def produce(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes | None]] | None = None,
        on_offset: Callable[[int], None] | None = None,
    ) -> None:
        """Hand a record to librdkafka; waits while its queue is full."""
        try:
            if headers is None and on_offset is None:
                self._produce(topic, value, key, partition)
            else:
                self._produce(
                    topic,
                    value,
                    key,
                    partition,
                    headers=headers,
                    on_delivery=None if on_offset is None else self._delivery(on_offset),
                )
        except BufferError:
            self._make_room()
            self.produce(topic, partition, key, value, headers, on_offset)
        except KafkaException as error:
            raise self._judged(error) from error

    def _delivery(
        self, on_offset: Callable[[int], None]
    ) -> Callable[[KafkaError | None, Message], None]:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                on_offset(message.offset())
            else:
                self._failed = error

        return delivered

    def _make_room(self) -> None:
        """Wait for the queue to drain; the transaction's own time-out bounds how long."""
        deadline = time.monotonic() + BACKPRESSURE_S_MAX
        if self._client.poll(BACKOFF_S) == 0 and time.monotonic() > deadline:
            raise TransactionAbortedError("the producer's queue does not drain")

    def flush(self) -> None:
        """Return when every record was acknowledged."""
        remaining = self._client.flush(self._timeout_s)
        if self._failed is not None:
            raise TransactionAbortedError(f"a marker was not delivered: {self._failed}")
        if remaining:
            raise TransactionAbortedError(
                f"{remaining} records were not acknowledged within {self._timeout_s:.0f} s"
            )

    def send_offsets(self, offsets: Mapping[TopicPartition, int], group_metadata: Any) -> None:
        """Make the inputs' offsets part of the transaction."""
        listed = [ck.TopicPartition(*tp, offset) for tp, offset in offsets.items()]
        self._retrying(
            lambda: self._client.send_offsets_to_transaction(
                listed, group_metadata, REQUEST_TIMEOUT_S
            )
        )

    def commit(self) -> None:
        """Commit.

        Raises:
            ProducerLostError: the outcome is not known.
        """
        self._retrying(lambda: self._client.commit_transaction(REQUEST_TIMEOUT_S))

    def abort(self) -> None:
        """Abort.

        Raises:
            ProducerLostError: the outcome is not known.
        """
        self._retrying(lambda: self._client.abort_transaction(REQUEST_TIMEOUT_S))

    def close(self) -> None:
        """Drop the client without waiting for anything that it still holds."""
        self._client.purge()

    def _retrying(self, call: Callable[[], object]) -> None:
        """Call until it succeeds, fails for good, or the broker was away for too long."""
        deadline = time.monotonic() + AWAY_S_MAX
        while True:
            try:
                call()
            except KafkaException as error:
                cause = error.args[0]
                if cause.txn_requires_abort() or not cause.retriable():
                    raise self._judged(error) from error
                if time.monotonic() > deadline:
                    raise ProducerLostError(f"the broker is away: {cause.str()}") from error
                time.sleep(BACKOFF_S)
            else:
                return

    def _judged(self, error: KafkaException) -> Exception:
        cause: KafkaError = error.args[0]
        if cause.txn_requires_abort():
            return TransactionAbortedError(cause.str())
        if cause.code() in _FENCED and time.monotonic() - self._began_at < self._timeout_s:
            return SlotTakenError(
                "another worker runs under this slot",
                why=cause.str(),
                fix="give each worker its own AWAWAY_SLOT",
            )
        return ProducerLostError(cause.str())


class KafkaGroupConsumer:
    """`GroupConsumer` on librdkafka."""

    def __init__(self, config: KafkaConfig) -> None:
        self._linger_s = config.poll_linger_s
        self._client = ck.Consumer(
            {
                "fetch.wait.max.ms": 20,
                "queued.min.messages": 100_000,
                "queued.max.messages.kbytes": 65_536,
                **config.client,
                **config.consumer,
                "group.id": config.group_id,
                "group.instance.id": config.slot_id,
                "group.protocol": "classic",
                "partition.assignment.strategy": "range",
                "session.timeout.ms": config.session_timeout_ms,
                "heartbeat.interval.ms": max(500, config.session_timeout_ms // 5),
                "max.poll.interval.ms": config.poll_interval_ms_max,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": False,
            },
            logger=logger,
        )

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """Join the group; the listener is called from inside `poll`."""

        def assigned(client: Any, partitions: list[Any]) -> None:
            client.assign([])
            listener.on_assigned(_plain(partitions))

        def revoked(client: Any, partitions: list[Any]) -> None:
            listener.on_revoked(_plain(partitions))
            client.unassign()

        def lost(client: Any, partitions: list[Any]) -> None:
            listener.on_lost(_plain(partitions))
            client.unassign()

        self._client.subscribe(list(topics), on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def poll(self, records_max: int, wait_s: float) -> list[Message]:
        """Records that are there now; waits up to `wait_s` for the first one only."""
        try:
            records = self._client.consume(1, wait_s)
            if records and records_max > 1:
                records += self._client.consume(records_max - 1, self._linger_s)
        except KafkaException as error:
            raise _away("polling", error) from error
        return self._without_events(records)

    def _without_events(self, records: list[Any]) -> list[Message]:
        if not any(record.error() for record in records):
            return cast(list[Message], records)
        good = []
        for record in records:
            error = record.error()
            if error is None:
                good.append(record)
            elif error.code() == KafkaError.FENCED_INSTANCE_ID:
                raise SlotTakenError(
                    "another worker joined the group under this slot",
                    why=error.str(),
                    fix="give each worker its own AWAWAY_SLOT",
                )
            elif error.fatal():
                raise BrokerError("the consumer cannot go on", why=error.str())
            else:
                logger.warning("consumer: %s", error.str())
        return good

    def fetch(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Fetch exactly these partitions, from exactly these offsets."""
        try:
            self._client.assign([ck.TopicPartition(*tp, offset) for tp, offset in offsets.items()])
        except KafkaException as error:
            raise _away("assigning", error) from error

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        """The group's stable offsets; None where there is none."""
        try:
            found = self._client.committed(
                [ck.TopicPartition(*tp) for tp in partitions], REQUEST_TIMEOUT_S
            )
        except KafkaException as error:
            raise _away("reading the group's offsets", error) from error
        for tp in found:
            if tp.error is not None:
                raise BrokerError("reading the group's offsets", why=tp.error.str())
        return {
            TopicPartition(tp.topic, tp.partition): tp.offset if tp.offset >= 0 else None
            for tp in found
        }

    def group_metadata(self) -> Any:
        """A snapshot of the group membership."""
        return self._client.consumer_group_metadata()

    def close(self) -> None:
        """Stop; a static member keeps its partitions until the session times out."""
        self._client.close()


class KafkaChangelogReader:
    """`ChangelogReader` on librdkafka."""

    def __init__(self, config: KafkaConfig) -> None:
        self._client = ck.Consumer(
            {
                "queued.min.messages": 200_000,
                "queued.max.messages.kbytes": 131_072,
                "fetch.wait.max.ms": 20,
                **config.client,
                "group.id": f"{config.group_id}-restore",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            },
            logger=logger,
        )

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets."""
        self._client.assign([ck.TopicPartition(*tp, offset) for tp, offset in offsets.items()])

    def poll(
        self, records_max: int, wait_s: float
    ) -> tuple[list[Message], dict[TopicPartition, int]]:
        """Records, and the last stable offset of each partition that was read up to it."""
        try:
            polled = self._client.consume(1, wait_s)
            if polled:
                polled += self._client.consume(records_max - 1, 0)
        except KafkaException as error:
            raise _away("reading changelogs", error) from error
        records: list[Message] = []
        ends: dict[TopicPartition, int] = {}
        for record in cast(list[Any], polled):
            event = record.error()
            if event is None:
                records.append(record)
            elif event.code() == KafkaError._PARTITION_EOF:
                ends[TopicPartition(record.topic(), record.partition())] = record.offset()
            else:
                logger.warning("changelog reader: %s", event.str())
        return records, ends

    def close(self) -> None:
        """Stop reading."""
        self._client.close()


def _plain(partitions: list[Any]) -> list[TopicPartition]:
    return [TopicPartition(tp.topic, tp.partition) for tp in partitions]


def _away(doing: str, error: KafkaException) -> BrokerError:
    return BrokerError(f"{doing} failed", why=error.args[0].str())
