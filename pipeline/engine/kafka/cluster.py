"""The engine's `Cluster` on a real Kafka, through librdkafka.

Owns: making the clients, and requests about topics and offsets.
Does not own: the clients (producer.py, consumers.py), the group's members (group.py), the order of
calls (machine.py), what is known about librdkafka as such (pipeline/kafka/__init__.py).
Invariant: it only reads; nothing on the cluster is changed through it.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any, Final

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._resource import ResourceType

from pipeline.engine.errors import BrokerError
from pipeline.engine.kafka.config import REQUEST_TIMEOUT_S, KafkaConfig, broker_error, logger
from pipeline.engine.kafka.consumers import KafkaChangelogReader, KafkaGroupConsumer, SlotHolder
from pipeline.engine.kafka.group import KafkaGroup
from pipeline.engine.kafka.producer import KafkaProducer
from pipeline.engine.kafka.unanswered import hold
from pipeline.engine.ports import (
    ChangelogReader,
    Ends,
    GroupConsumer,
    TopicPartition,
    TransactionalProducer,
    Watermarks,
)

_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
SHORT_TIMEOUT_S: Final = 3.0
"""Max seconds to wait for an answer while the engine's poll is blocked by it."""


class KafkaCluster:
    """`Cluster` on librdkafka."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._admin = self._new_admin()
        self._group = KafkaGroup(config)
        self._prepared: KafkaProducer | None = None
        self._asked_topics: dict[str, Future[Any]] | None = None
        self._outsider: Any = None
        self._askers: tuple[ck.Consumer, ck.Consumer] | None = None

    def _new_admin(self) -> AdminClient:
        return AdminClient(dict(self._config.client), logger=logger)

    def _failed(self, doing: str, error: KafkaException) -> BrokerError:
        """Replace the admin client and return the engine's error for a failed request.

        A request under way keeps its own client: both lessons are in pipeline/kafka/__init__.py.
        """
        self._admin = self._new_admin()
        return broker_error(doing, error)

    def prepare(self) -> None:
        """Let the first producer connect in the background; it acquires its id later.

        Without a connection yet, librdkafka looks for the coordinator only after half a second.
        """
        self._prepared = KafkaProducer(self._config)

    def producer(self) -> TransactionalProducer:
        """A producer under the slot's transactional id."""
        prepared, self._prepared = self._prepared, None
        return prepared or KafkaProducer(self._config)

    def consumer(self) -> GroupConsumer:
        """A consumer that becomes a static member of the worker group."""
        return KafkaGroupConsumer(self._config, self._slot_holder)

    def _slot_holder(self) -> SlotHolder | None:
        for member in self._group.members():
            if member.group_instance_id == self._config.slot_id:
                return SlotHolder(str(member.client_id), str(member.member_id))
        return None

    def live_slots(self) -> Sequence[str] | None:
        """The slots of the group's members now; None while the answer is under way."""
        members = self._group.members_soon()
        if members is None:
            return None
        return sorted(member.group_instance_id for member in members if member.group_instance_id)

    def changelog_reader(self) -> ChangelogReader:
        """A reader of committed changelog records."""
        return KafkaChangelogReader(self._config)

    def topic_ids(self, topics: Sequence[str]) -> dict[str, str]:
        """The UUID of each topic."""
        return _ids(self._describe(topics))

    def topic_ids_soon(self, topics: Sequence[str]) -> dict[str, str] | None:
        """The same; None while the answer is under way."""
        asked = self._asked_topics or self._ask_for(topics)
        is_there = all(future.done() for future in asked.values())
        self._asked_topics = None if is_there else asked
        return _ids(self._described(asked)) if is_there else None

    def partition_counts(self, topics: Sequence[str]) -> dict[str, int]:
        """Number of partitions of each topic that exists."""
        return {name: len(found.partitions) for name, found in self._describe(topics).items()}

    def _describe(self, topics: Sequence[str]) -> dict[str, Any]:
        return self._described(self._ask_for(topics))

    def _ask_for(self, topics: Sequence[str]) -> "dict[str, Future[Any]]":
        client = self._admin
        asked = client.describe_topics(
            ck.TopicCollection(list(topics)), request_timeout=REQUEST_TIMEOUT_S
        )
        hold(client, asked.values())
        return asked

    def _described(self, asked: "dict[str, Future[Any]]") -> dict[str, Any]:
        found = {}
        for name, future in asked.items():
            try:
                found[name] = future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise self._failed("describing topics", error) from error
        return found

    def topic_settings(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        """The effective settings of each topic: its own, or the broker's defaults."""
        return self._settings(ResourceType.TOPIC, topics)

    def broker_settings(self) -> dict[str, dict[str, str]]:
        """The settings of each broker, by its id."""
        future = self._admin.describe_cluster(request_timeout=REQUEST_TIMEOUT_S)
        try:
            nodes = future.result().nodes
        except KafkaException as error:
            raise self._failed("asking for the brokers", error) from error
        return self._settings(ResourceType.BROKER, [str(node.id) for node in nodes])

    def replication_factors(self, topics: Iterable[str]) -> dict[str, int]:
        """The least number of replicas that a partition of each topic has."""
        return {
            name: min(len(partition.replicas) for partition in found.partitions)
            for name, found in self._describe(list(topics)).items()
        }

    def _settings(self, kind: ResourceType, names: Iterable[str]) -> dict[str, dict[str, str]]:
        asked = [ConfigResource(kind, name) for name in names]
        futures = self._admin.describe_configs(asked, request_timeout=REQUEST_TIMEOUT_S)
        try:
            return {
                resource.name: {name: str(entry.value) for name, entry in future.result().items()}
                for resource, future in futures.items()
            }
        except KafkaException as error:
            raise self._failed("reading settings", error) from error

    def watermarks(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Watermarks]:
        """Log start offset and high watermark of each partition."""
        asked = [self._ask_offsets(partitions, spec) for spec in (_EARLIEST, _LATEST)]
        lows, highs = map(self._offsets, asked)
        return {tp: Watermarks(lows[tp], highs[tp]) for tp in partitions}

    def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Ends]:
        """Last stable offset and high watermark of each partition; those with an error are missing.

        Consumers ask for them, not the admin client (pipeline/kafka/__init__.py says why).
        """
        if not partitions:
            return {}
        self._askers = self._askers or (
            self._asker("read_committed"),
            self._asker("read_uncommitted"),
        )
        asked = [ck.TopicPartition(*tp, ck.OFFSET_END) for tp in partitions]
        try:
            stables, highs = (a.offsets_for_times(asked, SHORT_TIMEOUT_S) for a in self._askers)
        except KafkaException as error:
            self._askers = None
            raise broker_error("asking for end offsets", error) from error
        known = {(high.topic, high.partition): high.offset for high in highs if high.error is None}
        return {
            TopicPartition(tp.topic, tp.partition): Ends(tp.offset, known[tp.topic, tp.partition])
            for tp in stables
            if tp.error is None and (tp.topic, tp.partition) in known
        }

    def _asker(self, isolation: str) -> ck.Consumer:
        settings = {"group.id": f"{self._config.group_id}-restore", "isolation.level": isolation}
        return ck.Consumer({**self._config.client, **settings}, logger=logger)

    def _ask_offsets(self, partitions: Sequence[TopicPartition], spec: Any) -> dict[Any, Any]:
        return self._admin.list_offsets(
            {ck.TopicPartition(*tp): spec for tp in partitions},
            isolation_level=ck.IsolationLevel.READ_UNCOMMITTED,
            request_timeout=REQUEST_TIMEOUT_S,
        )

    def _offsets(self, asked: dict[Any, Any]) -> dict[TopicPartition, int]:
        try:
            return {
                TopicPartition(tp.topic, tp.partition): future.result().offset
                for tp, future in asked.items()
            }
        except KafkaException as error:
            raise self._failed("asking for offsets", error) from error

    def outsider(self) -> Any:
        """Group metadata without member id, from a consumer that never joins the group.

        Offsets committed with it bypass fencing: only for transactions that abort.
        """
        if self._outsider is None:
            settings = {**self._config.client, "group.id": self._config.group_id}
            consumer = ck.Consumer(settings, logger=logger)
            self._outsider = consumer.consumer_group_metadata()
            consumer.close()
        return self._outsider


def _ids(described: dict[str, Any]) -> dict[str, str]:
    return {name: str(found.topic_id) for name, found in described.items()}
