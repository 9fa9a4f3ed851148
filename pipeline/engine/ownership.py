"""Which partitions this worker has, and what state each is in.

Owns: the way of a partition from assigned over restoring to open, or to refused; and back.
Does not own: how its state is restored (restore.py), what is done with an open one (machine.py).

| state | what happens to its records |
|---|---|
| waiting | not fetched; its restore starts with the next `advance` |
| restoring | not fetched; its changelogs are read |
| open | fetched from after what is applied, and processed |
| refused | not fetched; the reason is kept and told |

Invariants: a partition is in one state at a time; `fetch` always names exactly the open ones, so
nothing of another is ever processed; a store is closed before its partition is given away.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from pipeline.engine.batch import OpenPartition
from pipeline.engine.errors import DeliveredTwiceError, PartitionRefusedError
from pipeline.engine.marker import FORMAT, MARKER_KEY, Marker, encode_marker
from pipeline.engine.observer import EngineObserver
from pipeline.engine.ports import (
    Cluster,
    GroupConsumer,
    Message,
    TopicPartition,
    TransactionalProducer,
)
from pipeline.engine.restore import Restorer
from pipeline.engine.store import PartitionStore
from pipeline.engine.tablespec import TableSpec


class Ownership:
    """The partitions of one worker.

    Attributes:
        open: by partition number, those that are processed now.
        refused: those that are not, and why.
    """

    def __init__(
        self,
        cluster: Cluster,
        restorer: Restorer,
        inputs: Sequence[str],
        generation: str,
        observer: EngineObserver,
    ) -> None:
        self._cluster = cluster
        self._restorer = restorer
        self._inputs = tuple(inputs)
        self._generation = generation
        self._observer = observer
        self._waiting: dict[int, PartitionStore | None] = {}
        self.open: dict[int, OpenPartition] = {}
        self.refused: dict[int, PartitionRefusedError] = {}

    @property
    def restoring(self) -> set[int]:
        """Partitions that are not yet up to date."""
        return set(self._waiting) | self._restorer.partitions

    @property
    def places(self) -> set[TopicPartition]:
        """Every input partition that belongs to this worker."""
        return self._places(set(self.open) | self.restoring | set(self.refused))

    def _places(self, numbers: Iterable[int]) -> set[TopicPartition]:
        return {TopicPartition(topic, number) for number in numbers for topic in self._inputs}

    def take(self, numbers: Iterable[int]) -> None:
        """These partitions were assigned: restore them first."""
        self._waiting.update(dict.fromkeys(numbers))

    def give_up(self, numbers: Iterable[int]) -> None:
        """They belong to others now: forget what is not committed, close their stores."""
        for number in set(numbers):
            opened = self.open.pop(number, None)
            store = self._waiting.pop(number, None) if opened is None else opened.state
            if store is not None:
                store.close()
            self.refused.pop(number, None)
        self._restorer.drop(numbers)

    def discard(self) -> None:
        """Go back to the last committed transaction in every open partition."""
        for opened in self.open.values():
            stored = opened.state.marker
            ledger = b"" if stored is None else stored.ledger
            opened.discard(Marker(FORMAT, self._generation, opened.next_offsets, ledger))

    def roll_forward(self) -> None:
        """How the last transaction ended is not known: restore every open partition up to it."""
        self.discard()
        for number, opened in self.open.items():
            self._waiting[number] = opened.state
        self.open.clear()

    def unrecorded(self) -> dict[TopicPartition, int]:
        """Positions of open partitions that the group has no offset of."""
        return {
            TopicPartition(topic, number): opened.next_offsets[topic]
            for number, opened in self.open.items()
            for topic in opened.unrecorded
        }

    def ready(self, records: Sequence[Message]) -> dict[TopicPartition, list[Message]]:
        """The records of open partitions, by input partition and in offset order.

        Raises:
            DeliveredTwiceError: one of them is applied already.
        """
        groups: dict[tuple[str, int], list[Message]] = defaultdict(list)
        for record in records:
            groups[record.topic(), record.partition()].append(record)
        ready: dict[TopicPartition, list[Message]] = {}
        for (topic, number), group in groups.items():
            opened = self.open.get(number)
            if opened is None:
                continue  # will be fetched again from the right offset once it is ready
            expected = opened.next_offsets[topic]
            if group[0].offset() < expected:
                raise DeliveredTwiceError(
                    f"{topic}[{number}] delivered offset {group[0].offset()}, but everything below"
                    f" {expected} is applied",
                    topic=topic,
                    partition=number,
                    offset=group[0].offset(),
                )
            ready[TopicPartition(topic, number)] = group
        return ready

    def fetch(self, consumer: GroupConsumer) -> None:
        """Fetch the open partitions, each from after what is applied."""
        consumer.fetch(
            {
                TopicPartition(topic, number): offset
                for number, opened in self.open.items()
                for topic, offset in opened.next_offsets.items()
            }
        )

    def advance(
        self, consumer: GroupConsumer, producer: TransactionalProducer, wait_s: float
    ) -> None:
        """Take the restores a stretch further, and open what is complete.

        Raises:
            BrokerError: it did not answer; call again, nothing is lost.
        """
        if self._waiting:
            committed = consumer.committed(sorted(self._places(self._waiting)))
            self._restorer.start(self._waiting, committed)
            self._waiting = {}
        for store in self._restorer.step(wait_s):
            self._complete(store, producer)
            self.fetch(consumer)

    def _complete(self, store: PartitionStore, producer: TransactionalProducer) -> None:
        number = store.partition
        marks = self._cluster.watermarks(sorted(self._places([number])))
        for table in self._restorer.rewrites(number):
            self._rewrite_changelog(table, store, producer)
        try:
            opened, records, took_s = self._restorer.finish(number, marks)
        except PartitionRefusedError as error:
            self.refused[number] = error
            self._observer.refused(number, f"{error}. {error.fix}")
            return
        self.open[number] = opened
        self._observer.ready(number, records, took_s)

    def _rewrite_changelog(
        self, table: TableSpec, store: PartitionStore, producer: TransactionalProducer
    ) -> None:
        """Write a changelog anew, which was lost, from a store that stands at the group's offsets.

        The store learns of it last, so a crash on the way makes the next start do it again.
        """
        if store.marker is None:
            return
        ends: list[int] = []
        producer.begin()
        for key, value in table.records(store.scan(table)):
            producer.produce(table.changelog, store.partition, key, value)
        marker = encode_marker(store.marker)
        producer.produce(table.changelog, store.partition, MARKER_KEY, marker, None, ends.append)
        producer.flush()
        producer.commit()
        topic_id = self._restorer.topic_ids[table.changelog]
        store.apply(store.marker, {table.changelog: (topic_id, ends[0] + 1)})

    def close(self) -> None:
        """Close every store."""
        self._restorer.close()
        for opened in self.open.values():
            opened.state.close()
        self.open.clear()
        for store in self._waiting.values():
            if store is not None:
                store.close()
        self._waiting.clear()
