"""The simulated cluster, as the engine's factory of clients.

Owns: making clients, and questions about topics.
Does not own: the clients (producer.py, consumers.py), the broker (broker.py).
Invariant: each process has its own; they share the broker only.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pipeline.engine.errors import BrokerError
from pipeline.engine.ports import (
    ChangelogReader,
    Ends,
    GroupConsumer,
    TopicPartition,
    TransactionalProducer,
    Watermarks,
)
from simulator.broker import Broker
from simulator.consumers import REQUEST_TIMEOUT_S, SimChangelogReader, SimGroupConsumer
from simulator.group import NOBODY
from simulator.process import Process
from simulator.producer import SimProducer
from simulator.refusal import UnansweredError
from simulator.wire import Wire

T = TypeVar("T")


class SimCluster:
    """`Cluster` on the simulated broker."""

    def __init__(self, process: Process, broker: Broker) -> None:
        self._process = process
        self._broker = broker
        self._wire = Wire(process, broker)
        self._consumers = 0
        self._asked_slots = False
        self._asked_topics = False

    def producer(self) -> TransactionalProducer:
        """A producer under the slot's transactional id."""
        return SimProducer(self._process, self._broker)

    def consumer(self) -> GroupConsumer:
        """A static member of the worker group."""
        self._consumers += 1
        client_id = f"{self._process.name}/{self._consumers}"
        return SimGroupConsumer(self._process, self._broker, client_id)

    def changelog_reader(self) -> ChangelogReader:
        """A reader of committed changelog records."""
        return SimChangelogReader(self._process, self._broker)

    def topic_ids(self, topics: Sequence[str]) -> dict[str, str]:
        """The id of each topic that exists."""
        return self._ask("topic_ids", lambda: self._broker.topic_ids(topics))

    def topic_ids_soon(self, topics: Sequence[str]) -> dict[str, str] | None:
        """The same; None while the answer is under way."""
        self._asked_topics = not self._asked_topics
        return None if self._asked_topics else self.topic_ids(topics)

    def partition_counts(self, topics: Sequence[str]) -> dict[str, int]:
        """Number of partitions of each topic that exists."""
        broker = self._broker
        return self._ask(
            "partition_counts",
            lambda: dict.fromkeys(broker.topic_ids(topics), broker.partitions),
        )

    def live_slots(self) -> Sequence[str] | None:
        """Slots of the group's members now; None while the answer is under way."""
        self._asked_slots = not self._asked_slots
        if self._asked_slots:
            return None
        return self._ask("live_slots", lambda: self._broker.group.slots)

    def watermarks(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Watermarks]:
        """Start and read_uncommitted end of each partition."""

        def look() -> dict[TopicPartition, Watermarks]:
            logs = {tp: self._broker.log(*tp) for tp in partitions}
            return {tp: Watermarks(log.low, log.next_offset) for tp, log in logs.items()}

        return self._ask("watermarks", look)

    def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Ends]:
        """Where each partition ends."""

        def look() -> dict[TopicPartition, Ends]:
            logs = {tp: self._broker.log(*tp) for tp in partitions}
            return {p: Ends(log.last_stable_offset, log.next_offset) for p, log in logs.items()}

        return self._ask("ends", look)

    def outsider(self) -> Any:
        """Group metadata without member id."""
        return NOBODY

    def _ask(self, what: str, look: Callable[[], T]) -> T:
        try:
            return self._wire.call(what, look, REQUEST_TIMEOUT_S)
        except UnansweredError as error:
            raise BrokerError(f"{what} failed", why="no answer") from error
