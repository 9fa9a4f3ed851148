"""The partitions of this worker, and the state that each is in.

Owns: a partition's transitions from waiting to restoring to open or refused, and back.
Does not own: how its state is restored (recovery/), what is done with an open one (machine.py).

| state | what happens to its records |
|---|---|
| waiting | not fetched; its restore starts with the next `advance` |
| restoring | not fetched; its changelogs are read |
| open | fetched from the offset after the last applied one, and processed |
| refused | not fetched; the reason is kept and reported |

Invariants: a partition is in one state at a time; `fetch` always names exactly the open ones, so
that no record of another is processed; after a partition was given up, no transaction writes its
store, which may be kept as a standby that follows its changelogs (recovery/standby.py).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pipeline.engine.batch import Batch, OpenPartition
from pipeline.engine.config import EngineConfig
from pipeline.engine.errors import CorruptStoreError, DeliveredTwiceError, PartitionRefusedError
from pipeline.engine.observer import EngineObserver
from pipeline.engine.ports import (
    Cluster,
    GroupConsumer,
    Message,
    TopicPartition,
    TransactionalProducer,
    Watermarks,
)
from pipeline.engine.recovery.offset_repair import OffsetRepair
from pipeline.engine.recovery.restore import Restorer
from pipeline.engine.recovery.rewrite import Rewrite
from pipeline.engine.recovery.standby import Standbys
from pipeline.engine.state.checkpoint import FORMAT, Checkpoint
from pipeline.engine.state.opener import StoreOpener
from pipeline.engine.state.store import PartitionStore

STANDBY_RECORDS_MIN: Final = 2_000
"""Min changelog records that standbys may read after a poll; three for each input, where more."""


class Ownership:
    """The partitions of one worker.

    Attributes:
        open: the state of the partitions that are processed now, by partition number.
        refused: why the others are not processed, by partition number.
    """

    def __init__(
        self,
        config: EngineConfig,
        cluster: Cluster,
        restorer: Restorer,
        opener: StoreOpener,
        standbys: Standbys,
        observer: EngineObserver,
    ) -> None:
        self._cluster = cluster
        self._restorer = restorer
        self._opener = opener
        self._standbys = standbys
        self._inputs = config.inputs
        self._tables = config.tables
        self._expanded_min = config.expanded_min
        self._generation = config.generation
        self._terms = config.terms
        self._observer = observer
        self._offset_repair = OffsetRepair(cluster, config.clock)
        self._rewrites: dict[int, Rewrite] = {}
        self._broke_at: dict[int, dict[str, int]] = {}
        self._waiting: dict[int, PartitionStore | None] = {}
        self.open: dict[int, OpenPartition] = {}
        self.refused: dict[int, PartitionRefusedError] = {}

    @property
    def restoring(self) -> set[int]:
        """Partitions that wait for their restore or are being restored."""
        return set(self._waiting) | self._restorer.partitions

    @property
    def topic_ids(self) -> Mapping[str, str]:
        """The topic ids (UUIDs) of the changelogs that the partitions were restored from."""
        return self._restorer.topic_ids

    @property
    def input_partitions(self) -> set[TopicPartition]:
        """Every input partition that belongs to this worker."""
        return self._inputs_of(set(self.open) | self.restoring | set(self.refused))

    def _inputs_of(self, numbers: Iterable[int]) -> set[TopicPartition]:
        return {TopicPartition(topic, number) for number in numbers for topic in self._inputs}

    def take(self, numbers: Iterable[int]) -> None:
        """Add the partitions of an assignment, maybe none; each is restored first."""
        for number in numbers:
            self._waiting[number] = self._standbys.take(number)
        self._standbys.reconsider()

    def give_up(self, numbers: Iterable[int]) -> None:
        """Remove partitions: drop what is not committed, and keep their stores as standbys."""
        for number in set(numbers):
            opened = self.open.pop(number, None)
            store = self._waiting.pop(number, None) if opened is None else opened.state
            if store is not None:
                store.discard()
                self._standbys.keep(store)
            self.refused.pop(number, None)
            self._rewrites.pop(number, None)
        for store in self._restorer.drop(numbers):
            self._standbys.keep(store)

    def catch_up(self, consumer: GroupConsumer, records: int) -> bool:
        """Expand some lazy records of open partitions, then advance the standbys.

        Call this while no transaction is open.

        Args:
            records: of the previous poll; the more, the more is done.

        Returns:
            Whether there is more to do now.

        Raises:
            StoreUnwritableError, StoreKeepsBreakingError, UnreadableRecordError: see there.
        """
        self._observer.at_rest(self.open)
        is_expanding = self._expand_some(consumer, records)
        owned = {number for _, number in self.input_partitions}
        # equivalent (number): how much standbys read for each input is a choice
        return self._standbys.step(owned, max(STANDBY_RECORDS_MIN, 3 * records)) or is_expanding

    def _expand_some(self, consumer: GroupConsumer, records: int) -> bool:
        for number, opened in self.open.items():
            store = opened.state
            if store.lazy.is_any:
                try:
                    # equivalent (number): how much is expanded at once is a choice
                    store.lazy.expand_some(self._tables, max(self._expanded_min, records // 4))
                except CorruptStoreError as error:
                    del self.open[number]
                    self._waiting[number] = self._opener.replace_broken(store, error)
                    self.fetch(consumer)
                else:
                    self._opener.restored_whole(store)
                return True
        return False

    def discard(self) -> None:
        """Go back to the last committed transaction in every open partition."""
        for opened in self.open.values():
            stored = opened.state.checkpoint
            attachment = b"" if stored is None else stored.attachment
            checkpoint = Checkpoint(
                FORMAT, self._generation, opened.next_offsets, attachment, self._terms
            )
            opened.discard(checkpoint)

    def roll_forward(self) -> None:
        """Restore every open partition, as the outcome of the last transaction is unknown.

        Nothing uncommitted is left: `discard` was called, or no transaction was begun since.
        """
        for number, opened in self.open.items():
            self._waiting[number] = opened.state
        self.open.clear()

    def restore_anew(self) -> None:
        """Begin all restores again, from the local stores, as a changelog was recreated.

        Open partitions have their whole state on the disk; their changelogs are rewritten from it.
        """
        self.roll_forward()
        self._rewrites.clear()
        for store in self._restorer.forget():
            self._waiting[store.partition] = store
        for number in self.refused:
            self._waiting[number] = None
        self.refused.clear()
        self._standbys.reconsider()

    def offsets_to_repair(self) -> dict[TopicPartition, int]:
        """The offsets of open partitions that the group lacks, or has too old."""
        return {
            TopicPartition(topic, number): opened.next_offsets[topic]
            for number, opened in self.open.items()
            for topic in opened.inputs_to_repair
        }

    def find_offsets_to_repair(self, consumer: GroupConsumer) -> None:
        """Find offsets that the group lacks; the next transaction commits them."""
        for topic, number in self._offset_repair.behind(consumer, self.next_offsets()):
            self.open[number].inputs_to_repair.add(topic)

    def ready(self, records: Sequence[Message]) -> dict[TopicPartition, list[Message]]:
        """The records of open partitions, by input partition and in offset order.

        Raises:
            DeliveredTwiceError: a record was already applied.
        """
        groups: dict[tuple[str, int], list[Message]] = defaultdict(list)
        for record in records:  # hot: a plain tuple costs a fifth of a `TopicPartition`
            groups[record.topic(), record.partition()].append(record)
        ready: dict[TopicPartition, list[Message]] = {}
        for (topic, number), group in groups.items():
            opened = self.open.get(number)
            if opened is None:
                continue  # `fetch` seeks to the right offset once the partition is open
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

    def batches(
        self, by_source: Mapping[TopicPartition, list[Message]], producer: TransactionalProducer
    ) -> list[Batch]:
        """One batch for each input partition, for the agents."""
        return [
            Batch(source.topic, group, self.open[source.partition], producer)
            for source, group in by_source.items()
        ]

    def next_offsets(self) -> dict[TopicPartition, int]:
        """The next offset of each input of the open partitions."""
        return {
            TopicPartition(topic, number): offset
            for number, opened in self.open.items()
            for topic, offset in opened.next_offsets.items()
        }

    def fetch(self, consumer: GroupConsumer) -> None:
        """Fetch the open partitions, each from the offset after the last applied one."""
        consumer.fetch(self.next_offsets())

    def recover_store(self, number: int, error: CorruptStoreError) -> None:
        """Quarantine a store that cannot be read, and restore the partition.

        Raises:
            CorruptStoreError: the store broke at the same next offsets before, so that restoring it
                does not help.
        """
        opened = self.open[number]
        if self._broke_at.get(number) == opened.next_offsets:
            raise error
        self._broke_at[number] = dict(opened.next_offsets)
        del self.open[number]
        self._waiting[number] = self._opener.replace(opened.state, str(error))

    def advance(
        self,
        consumer: GroupConsumer,
        producer: TransactionalProducer,
        group_metadata: Any,
        wait_s: float,
    ) -> None:
        """Advance the restores, and open the partitions that are complete.

        Raises:
            BrokerError: the broker did not answer; call again, nothing is lost.
            GenerationTermsError, StoreKeepsBreakingError: see there.
        """
        # 1. Start the restores of waiting partitions, from the group's offsets and their stores.
        if self._waiting:
            committed = consumer.committed(sorted(self._inputs_of(self._waiting)))
            if not self._restorer.start(self._waiting, committed):
                self.restore_anew()
                return
            self._waiting = {}
        # 2. Read changelogs.
        complete = self._restorer.step(wait_s)
        if not complete:
            return
        if self._restorer.is_outdated():
            self.restore_anew()
            return
        # 3. Open what is complete, after a lost changelog was rewritten, a chunk each time.
        marks = self._cluster.watermarks(
            sorted(self._inputs_of(store.partition for store in complete))
        )
        for store in complete:
            if not self._rewritten(store, producer, group_metadata):
                return
            self._complete(store, marks)
            self.fetch(consumer)

    def _rewritten(
        self, store: PartitionStore, producer: TransactionalProducer, group_metadata: Any
    ) -> bool:
        """Rewrite a chunk of a lost changelog; returns whether none is left to rewrite."""
        number = store.partition
        left = self._restorer.rewrites(number)
        if not left:
            return True
        topic_id = self._restorer.topic_ids[left[0].changelog]
        under_way = self._rewrites.setdefault(number, Rewrite(left[0], store, topic_id))
        self._observer.at("rewrite")
        if under_way.step(producer, group_metadata):
            del self._rewrites[number]
            self._restorer.rewritten(number, left[0])
        return False

    def _complete(self, store: PartitionStore, marks: Mapping[TopicPartition, Watermarks]) -> None:
        number = store.partition
        try:
            opened, records, took_s = self._restorer.finish(number, marks)
        except PartitionRefusedError as error:
            self.refused[number] = error
            self._observer.refused(number, f"{error}. {error.fix}")
            return
        except CorruptStoreError as error:
            self._waiting[number] = self._opener.replace_broken(store, error)
            return
        self._opener.restored_whole(opened.state)
        self.open[number] = opened
        self._observer.ready(number, records, took_s)

    def close(self) -> None:
        """Close every store."""
        self._restorer.close()
        self._standbys.close()
        for opened in self.open.values():
            opened.state.close()
        self.open.clear()
        for store in self._waiting.values():
            if store is not None:
                store.close()
        self._waiting.clear()
