"""The exactly-once machine of one worker slot: a poll is a transaction is an apply.

Owns: the order of every step between broker and disk, and what each failure leads to.
Does not own: threads and Faust (thread.py, transport.py), the clients (kafka/cluster.py), restoring
(restore.py), what a batch means (the agents).

One cycle:

    poll → begin → batches out → each explicitly done → checkpoints → send offsets → commit → apply

Ordering and atomicity it relies on:
- outputs, changelog records, checkpoints and the inputs' offsets are in one Kafka transaction;
- nothing of a transaction is in the local store before its commit is known to have happened, and
  then in one atomic write together with the position that it stands for;
- rebalance callbacks run only inside `GroupConsumer.poll`, where no transaction is open, and the
  group metadata sent with the offsets is the snapshot taken when the partitions were assigned: a
  member that was left behind cannot commit with it.

What a failure leads to:

| failure | step taken |
|---|---|
| an agent fails a batch | abort, stop (BatchFailedError) |
| an agent postpones a batch | abort, wait, fetch its inputs again |
| the transaction must be aborted | abort, drop the overlay, fetch them again (rest, if often) |
| the producer is lost, the outcome unknown | new producer under the same id, then restore forward |
| a transaction was ended, but asked for twice | new producer before the next one |
| the broker forgot to end one (hanging.py) | new producer, which aborts it, then restore |
| the consumer is lost, or stalled | drop its partitions, join the group again |
| the slot was taken by another worker | stop (SlotTakenError) |
| partitions revoked or lost | drop the overlay, keep their stores as standbys or close them |
| a store cannot be read | abort, quarantine it, restore; at the same place again: stop |
| a store cannot be written | stop (StoreUnwritableError) |
| a changelog was recreated | write it anew from the stores |
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from pipeline.engine.batch import Batch, Poll, failed_for_good
from pipeline.engine.config import (
    EngineConfig,
    assigned_numbers,
    check_partition_counts,
)
from pipeline.engine.errors import (
    BatchPostponedError,
    BrokerError,
    ConsumerLostError,
    CorruptStoreError,
    ProducerLostError,
    SlotTakenError,
    StoreUnwritableError,
    TransactionAbortedError,
)
from pipeline.engine.observer import EngineObserver
from pipeline.engine.ownership import Ownership
from pipeline.engine.pacing import Pace, Rest
from pipeline.engine.ports import (
    Cluster,
    Disk,
    GroupConsumer,
    TopicPartition,
    TransactionalProducer,
)
from pipeline.engine.recovery.changelog_identity import ChangelogIdentity
from pipeline.engine.recovery.restore import Restorer
from pipeline.engine.recovery.standby import Standbys
from pipeline.engine.stall import StallWatch
from pipeline.engine.state.checkpoint import Checkpoint
from pipeline.engine.state.opener import StoreOpener
from pipeline.engine.transactions.acquire import acquire_producer
from pipeline.engine.transactions.checkpoints import ChangelogPositions, produce_checkpoints
from pipeline.engine.transactions.hanging import HangingDetector

RESTORE_AGAIN_S: Final = 0.5
"""After the broker did not answer about a restore; the open partitions go on meanwhile."""


class Engine:
    """The step machine. One thread drives it: `start`, `poll` and `commit` in turns, `close`."""

    def __init__(
        self, config: EngineConfig, cluster: Cluster, disk: Disk, observer: EngineObserver
    ) -> None:
        self._config = config
        self._cluster = cluster
        self._disk = disk
        self._observer = observer
        opener = StoreOpener(disk, config.generation, observer)
        standbys = Standbys(config, cluster, opener, observer)
        self._restorer = Restorer(config, cluster, opener, observer)
        self._partitions = Ownership(config, cluster, self._restorer, opener, standbys, observer)
        self._producer: TransactionalProducer | None = None
        self._consumer: GroupConsumer | None = None
        self._assignment_epoch = 0
        self._metadata: Any = None
        # equivalent (1): three times either number is less than what standbys read at least
        self._records, self._restore_at = 0, 0.0
        self._pace = Pace(config.records_max, config.batch_s_target)
        self._stall = StallWatch(config, cluster)
        self._changelogs = ChangelogIdentity(config, cluster, observer)
        self._rest = Rest()
        self._hanging = HangingDetector(cluster, config.clock)
        self._now = config.clock

    @property
    def partitions(self) -> Ownership:
        """The partitions of this worker, by state."""
        return self._partitions

    @property
    def assignment_epoch(self) -> int:
        """Number of assignments so far."""
        return self._assignment_epoch

    def start(self) -> None:
        """Check the topics, settle what an earlier run of this slot left open, join the group.

        Raises:
            IncompatibleTopicsError: partition counts differ, or a topic is missing.
            StoreLockedError: another worker has the data folder.
            SlotTakenError, BrokerError: see there.
        """
        self._disk.claim()
        check_partition_counts(self._config, self._cluster)
        self._producer = acquire_producer(
            self._config, self._cluster, self._hanging, self._observer
        )
        self._consumer = self._cluster.consumer()
        self._consumer.subscribe(self._config.inputs, self)

    def _renewed_producer(self) -> TransactionalProducer:
        """A producer after the first: only while the slot is still this worker's.

        A worker that was frozen loses its producer by its transaction's time; whoever took the slot
        over meanwhile must not be fenced by it.
        """
        self._consumer_now().check_slot()
        producer = acquire_producer(self._config, self._cluster, self._hanging, self._observer)
        if self._hanging.is_commit_lost:  # it was aborted, though the stores contain it
            self._partitions.roll_forward()
            self._partitions.fetch(self._consumer_now())
            self._hanging.is_commit_lost = False
        return producer

    def _leave_spent_producer(self) -> None:
        """Fence what may still be under way of a producer before the next transaction begins."""
        if self._producer is not None and self._producer.is_spent:
            producer, self._producer = self._producer, None
            producer.close()
            self._observer.producer_renewed("a request was asked more than once")

    def close(self) -> None:
        """Leave everything as it was committed last. Safe to call at any time, and twice."""
        self._partitions.close()
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            consumer.close()
        if self._producer is not None:
            producer, self._producer = self._producer, None
            producer.close()

    # --- RebalanceListener: called inside poll ---------------------------------------------------

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Take over partitions; they are restored before anything of them is processed."""
        numbers = assigned_numbers(partitions, self._config.inputs)
        self._assignment_epoch += 1
        self._metadata = self._consumer_now().group_metadata()
        self._partitions.take(numbers)
        self._observer.assigned(numbers)

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Give partitions back: drop what is not committed."""
        self._observer.at("revoke")
        self._drop(partitions, lost=False)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Partitions are gone already: drop the same."""
        self._drop(partitions, lost=True)

    def _drop(self, partitions: Sequence[TopicPartition], lost: bool) -> None:
        numbers = {number for _, number in partitions}
        self._partitions.give_up(numbers)
        self._observer.revoked(sorted(numbers), lost)

    # --- one cycle -------------------------------------------------------------------------------

    def poll(self) -> Poll | None:
        """Advance: rebalances, restores, then records if there are any.

        Returns:
            Batches inside an open transaction, to be finished and given to `commit`; none of them
            when only offsets are to be repaired. None when there is nothing to do now.
        """
        self._observer.at("poll")
        consumer = self._consumer_now()
        if self._hanging.is_hanging():
            self._recover(ProducerLostError("the broker forgot to end the last transaction"), 0)
        self._leave_spent_producer()
        if self._producer is None:
            self._producer = self._renewed_producer()
        busy = self._advance(consumer, self._producer)
        try:
            records = consumer.poll(self._pace.records_max, 0.0 if busy else self._config.wait_s)
        except ConsumerLostError as error:
            self._rejoin(error)
            return None
        self._records = len(records)
        if self._stall.is_stalled(self._partitions.next_offsets, len(records)):
            self._observer.stalled("the consumer delivers nothing, though there are records")
            self._rejoin(ConsumerLostError("the consumer stalled"))
            # equivalent (removed): no partition is open then, so the poll ends with None below
            return None
        if self._is_resting(consumer):
            return None
        by_source = self._partitions.ready(records)
        # equivalent (True): asking for offsets while there is work costs a few requests more
        if not records:
            self._partitions.find_offsets_to_repair(consumer)
        next_offsets = self._partitions.offsets_to_repair()
        next_offsets |= {source: group[-1].offset() + 1 for source, group in by_source.items()}
        if not next_offsets:
            return None
        if self._producer.is_spent:  # by a changelog that was being written anew
            self._partitions.fetch(consumer)
            return None
        self._observer.at("begin")
        try:
            self._producer.begin()
        except BrokerError as error:
            self._recover(error, len(records))
            return None
        batches = self._partitions.batches(by_source, self._producer)
        return Poll(batches, next_offsets, self._assignment_epoch, self._now())

    def _is_resting(self, consumer: GroupConsumer) -> bool:
        """Whether to wait after failures; at the end of that the inputs are fetched again."""
        if not self._rest.until:
            return False
        if self._now() >= self._rest.until:
            self._rest.until = 0.0
            self._partitions.fetch(consumer)
        return True

    def _advance(self, consumer: GroupConsumer, producer: TransactionalProducer) -> bool:
        """Take restores, or what can wait, further; returns whether there is more to do at once.

        Trouble with them never keeps the consumer from being polled: it has others as well.
        """
        if self._changelogs.recreated(self._partitions.topic_ids):
            self._partitions.restore_anew()
            self._partitions.fetch(consumer)
        if not self._partitions.restoring:
            return self._partitions.catch_up(consumer, self._records)
        # equivalent (<=): they differ at one instant, where both are right
        if self._now() < self._restore_at:
            return False
        try:
            self._partitions.advance(consumer, producer, self._metadata, self._config.wait_s)
        except (ProducerLostError, TransactionAbortedError) as error:
            self._recover(error, 0)  # a changelog that was being written anew
        except BrokerError as error:
            self._restore_at = self._now() + RESTORE_AGAIN_S
            self._observer.restores_wait(str(error))
        else:
            return True
        return False

    def commit(self, poll: Poll) -> None:
        """Commit the transaction of a poll whose batches are all finished, then apply it.

        A transaction that could not be committed is aborted, and its inputs come again.

        Raises:
            BatchFailedError: an agent failed a batch; the transaction was aborted.
            SlotTakenError, StoreUnwritableError: see there.
        """
        for batch in poll.batches:
            if batch.error is not None or not batch.is_done:
                self._abort_and_fail(poll, batch)
                return
        started = self._now()
        try:
            checkpoints, positions = self._end_transaction(poll)
        except BrokerError as error:
            self._pace.took(started - poll.started_at, self._now() - started)
            self._recover(error, poll.records)
            return
        self._rest.committed()
        self._hanging.committed(positions, started)
        committed = self._now()
        self._observer.at("apply")
        is_recovering = False
        for number, checkpoint in checkpoints.items():
            try:
                self._partitions.open[number].apply(checkpoint, positions[number])
            except CorruptStoreError as error:
                self._partitions.recover_store(number, error)
                is_recovering = True
        if is_recovering:  # only now do the others stand behind what they were given
            self._partitions.fetch(self._consumer_now())
        applied = self._now()
        self._observer.committed(poll.records, committed - started, applied - committed)
        self._observer.positions(poll.next_offsets)
        self._pace.took(started - poll.started_at, applied - started)

    def _end_transaction(self, poll: Poll) -> tuple[dict[int, Checkpoint], ChangelogPositions]:
        """Markers, offsets, commit; returns what is to be applied, by partition."""
        producer = self._producer_now()
        if poll.assignment_epoch != self._assignment_epoch:
            raise TransactionAbortedError("the partitions were assigned anew during the batch")
        self._observer.at("produce")
        checkpoints, positions = produce_checkpoints(
            self._config,
            producer,
            poll.next_offsets,
            self._partitions.open,
            self._restorer.topic_ids,
        )
        producer.flush()
        self._hanging.check()
        self._observer.at("send_offsets")
        producer.send_offsets(poll.next_offsets, self._metadata)
        self._observer.at("commit")
        producer.commit()
        return checkpoints, positions

    def _rejoin(self, error: ConsumerLostError) -> None:
        """Join the group anew; the partitions come back with an assignment."""
        self._stall = StallWatch(self._config, self._cluster)
        self._partitions.give_up({number for _, number in self._partitions.input_partitions})
        self._consumer_now().close()
        self._consumer = self._cluster.consumer()
        self._consumer.subscribe(self._config.inputs, self)
        self._observer.rejoined(str(error))

    # --- failures --------------------------------------------------------------------------------

    def _abort_and_fail(self, poll: Poll, batch: Batch) -> None:
        error = batch.error or RuntimeError("the agent never said that the batch is done")
        if isinstance(error, SlotTakenError):
            raise error
        if isinstance(error, BrokerError) and not isinstance(error, BatchPostponedError):
            self._pace.took(self._now() - poll.started_at, 0.0)
            self._recover(error, poll.records)
            return
        recovered = False
        if isinstance(error, CorruptStoreError):
            with suppress(CorruptStoreError):  # at the same place again
                self._partitions.recover_store(batch.partition, error)
                recovered = True
        self._recover(TransactionAbortedError(str(error)), poll.records)
        if recovered:
            return
        if isinstance(error, (BatchPostponedError, StoreUnwritableError)):
            raise error
        raise failed_for_good(batch, error) from error

    def _recover(self, error: BrokerError, records: int) -> None:
        """Drop what is not committed and go back to where the broker says that we are."""
        started = self._now()
        if not isinstance(error, ProducerLostError):
            try:
                self._hanging.check()
                self._observer.at("abort")
                self._producer_now().abort()
                self._hanging.aborted(self._config.written(self._partitions.open), started)
            except BrokerError as worse:
                error = ProducerLostError(f"{error}; aborting failed too: {worse}")
        self._partitions.discard()
        if isinstance(error, ProducerLostError):
            self._lose_producer(error)
        else:
            self._partitions.fetch(self._consumer_now())
        self._rest.failed(self._now())
        if self._rest.until:
            self._consumer_now().fetch({})
        self._observer.aborted(records, self._now() - started, str(error))

    def _lose_producer(self, error: ProducerLostError) -> None:
        """Outcome unknown: a new producer settles it, then the stores roll forward to it."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            producer.close()
        self._partitions.roll_forward()
        self._partitions.fetch(self._consumer_now())
        self._producer = self._renewed_producer()
        self._observer.producer_renewed(str(error))

    def _consumer_now(self) -> GroupConsumer:
        if self._consumer is None:
            raise BrokerError("the engine is not started")
        return self._consumer

    def _producer_now(self) -> TransactionalProducer:
        if self._producer is None:
            raise ProducerLostError("there is no producer")
        return self._producer
