"""The exactly-once machine of one worker slot: each poll is one transaction and one local write.

Owns: the order of every step between broker and disk, and what each failure leads to.
Does not own: Faust's thread (faust/), the clients (kafka/), restoring (recovery/), the agents.

One cycle:

    poll → begin → batches out → each explicitly done → checkpoints → send offsets → commit → apply

Invariants:
- outputs, changelog records, checkpoints and the inputs' offsets are in one Kafka transaction;
- nothing of a transaction is in the local store before its commit is known to have happened; then
  it is written in one atomic write, together with the offsets that it stands for;
- rebalance callbacks run only inside `GroupConsumer.poll`, where no transaction is open, and the
  group metadata sent with the offsets is the snapshot taken when the partitions were assigned: a
  member that has missed a rebalance cannot commit with it.

What a failure leads to:

| failure | step taken |
|---|---|
| an agent fails a batch | abort, stop (BatchFailedError) |
| an agent postpones a batch | abort, wait, fetch its inputs again |
| the transaction must be aborted | abort, drop the overlay, fetch them again; back off if often |
| the producer is lost, the outcome unknown | new producer under the same id, then restore forward |
| a request of a transaction was sent twice | new producer before the next transaction |
| a transaction hangs (hanging.py) | new producer, which aborts it, then restore |
| the consumer is lost, or stalled | drop its partitions, join the group again |
| the slot was taken by another worker | stop (SlotTakenError) |
| partitions revoked or lost | drop the overlay, keep their stores as standbys or close them |
| a store cannot be read | abort, quarantine it, restore; at the same offsets again: stop |
| a store cannot be written | stop (StoreUnwritableError) |
| a changelog was recreated | rewrite it from the stores |
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from pipeline.engine.batch import Batch, Poll, failed_for_good
from pipeline.engine.config import EngineConfig, assigned_numbers, check_partition_counts
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
from pipeline.engine.pacing import AdaptiveBatchSize, Backoff
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

RESTORE_BACKOFF_S: Final = 0.5
"""Seconds until restores go on after the broker did not answer; open partitions do not wait."""


class Engine:
    """The step machine. One thread drives it: `start`, `poll` and `commit` in turn, `close`.

    Attributes:
        partitions: of this worker, by state.
        assignment_epoch: number of assignments so far.
    """

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
        self.partitions = Ownership(config, cluster, self._restorer, opener, standbys, observer)
        self._producer: TransactionalProducer | None = None
        self._consumer: GroupConsumer | None = None
        self.assignment_epoch = 0
        self._metadata: Any = None
        # equivalent (1): three times either number is less than what standbys read at least
        self._records, self._restore_at = 0, 0.0
        self._batch_size = AdaptiveBatchSize(config.records_max, config.batch_s_target)
        self._stall = StallWatch(config, cluster)
        self._changelogs = ChangelogIdentity(config, cluster, observer)
        self._backoff = Backoff()
        self._hanging = HangingDetector(cluster, config.clock)
        self._now = config.clock

    def start(self) -> None:
        """Check the topics, acquire the slot's transactional id, join the group.

        Raises:
            IncompatibleTopicsError: partition counts differ, or a topic is missing.
            StoreLockedError: another worker has the data folder.
            SlotTakenError, BrokerError: see there.
        """
        self._disk.claim()
        check_partition_counts(self._config, self._cluster)
        self._producer = self._acquired_producer()
        self._consumer = self._cluster.consumer()
        self._consumer.subscribe(self._config.inputs, self)

    def _acquired_producer(self) -> TransactionalProducer:
        return acquire_producer(self._config, self._cluster, self._hanging, self._observer)

    def _renewed_producer(self) -> TransactionalProducer:
        """Acquire the transactional id again, if the slot is still this worker's.

        A worker that was frozen loses its producer by the transaction time-out; it must not fence
        another worker that has acquired the slot's transactional id meanwhile.
        """
        self._consumer_now().check_slot()
        producer = self._acquired_producer()
        if self._hanging.is_commit_lost:  # the broker aborted what the stores contain
            self.partitions.roll_forward()
            self.partitions.fetch(self._consumer_now())
            self._hanging.is_commit_lost = False
        return producer

    def _leave_spent_producer(self) -> None:
        """Close a spent producer: one of its requests may arrive twice, so it is to be replaced."""
        if self._producer is not None and self._producer.is_spent:
            producer, self._producer = self._producer, None
            producer.close()
            self._observer.producer_renewed("a request was sent more than once")

    def close(self) -> None:
        """Close clients and stores, without what is not committed. May be called twice."""
        self.partitions.close()
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            consumer.close()
        if self._producer is not None:
            producer, self._producer = self._producer, None
            producer.close()

    # --- RebalanceListener: called inside poll ---------------------------------------------------

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Own these partitions; each is restored before any record of it is processed."""
        numbers = assigned_numbers(partitions, self._config.inputs)
        self.assignment_epoch += 1
        self._metadata = self._consumer_now().group_metadata()
        self.partitions.take(numbers)
        self._observer.assigned(numbers)

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Give up partitions: drop what is not committed."""
        self._observer.at("revoke")
        self._drop(partitions, lost=False)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Give up partitions that another member may have by now."""
        self._drop(partitions, lost=True)

    def _drop(self, partitions: Sequence[TopicPartition], lost: bool) -> None:
        numbers = {number for _, number in partitions}
        self.partitions.give_up(numbers)
        self._observer.revoked(sorted(numbers), lost)

    # --- one cycle -------------------------------------------------------------------------------

    def poll(self) -> Poll | None:
        """Take part in rebalances, advance restores, and begin a transaction over new records.

        Returns:
            Batches inside an open transaction, to be finished and given to `commit`; none of them
            when only offsets are to be repaired. None when there is nothing to commit now.
        """
        self._observer.at("poll")
        consumer = self._consumer_now()
        # 1. A producer whose earlier transaction can neither hang nor be confused with the next.
        if self._hanging.is_hanging():
            self._recover(ProducerLostError("the broker never ended the last transaction"), 0)
        self._leave_spent_producer()
        if self._producer is None:
            self._producer = self._renewed_producer()
        # 2. Work that needs no records: restores, lazy records, standbys.
        busy = self._advance(consumer, self._producer)
        # 3. Records. Rebalance callbacks run inside this call, while no transaction is open.
        try:
            wait_s = 0.0 if busy else self._config.wait_s
            records = consumer.poll(self._batch_size.records_max, wait_s)
        except ConsumerLostError as error:
            self._rejoin(error)
            return None
        self._records = len(records)
        if self._stall.is_stalled(self.partitions.next_offsets, len(records)):
            self._observer.stalled("the consumer delivers no records, though the topics have some")
            self._rejoin(ConsumerLostError("the consumer stalled"))
            # equivalent (removed): no partition is open then, so the poll ends with None below
            return None
        if self._is_backing_off(consumer):
            return None
        # 4. What to commit: the offsets after these records, and those that the group lacks.
        by_source = self.partitions.ready(records)
        # equivalent (True): asking for offsets while there is work costs a few requests more
        if not records:
            self.partitions.find_offsets_to_repair(consumer)
        next_offsets = self.partitions.offsets_to_repair()
        next_offsets |= {source: group[-1].offset() + 1 for source, group in by_source.items()}
        if not next_offsets:
            return None
        if self._producer.is_spent:  # by the rewrite of a changelog: phase 1 replaces it next time
            self.partitions.fetch(consumer)
            return None
        # 5. The transaction, which the batches write to.
        self._observer.at("begin")
        try:
            self._producer.begin()
        except BrokerError as error:
            self._recover(error, len(records))
            return None
        batches = self.partitions.batches(by_source, self._producer)
        return Poll(batches, next_offsets, self.assignment_epoch, self._now())

    def _is_backing_off(self, consumer: GroupConsumer) -> bool:
        """Whether the engine backs off; when that is over it fetches the inputs again."""
        if not self._backoff.until:
            return False
        if self._now() >= self._backoff.until:
            self._backoff.until = 0.0
            self.partitions.fetch(consumer)
        return True

    def _advance(self, consumer: GroupConsumer, producer: TransactionalProducer) -> bool:
        """Advance restores, or else lazy records and standbys; returns whether more is left to do.

        Their failures never keep the consumer from being polled: other partitions are open.
        """
        if self._changelogs.recreated(self.partitions.topic_ids):
            self.partitions.restore_anew()
            self.partitions.fetch(consumer)
        if not self.partitions.restoring:
            return self.partitions.catch_up(consumer, self._records)
        # equivalent (<=): they differ at one instant, where both are right
        if self._now() < self._restore_at:
            return False
        try:
            self.partitions.advance(consumer, producer, self._metadata, self._config.wait_s)
        except (ProducerLostError, TransactionAbortedError) as error:
            self._recover(error, 0)  # the transaction was a changelog's rewrite
        except BrokerError as error:
            self._restore_at = self._now() + RESTORE_BACKOFF_S
            self._observer.restores_wait(str(error))
        else:
            return True
        return False

    def commit(self, poll: Poll) -> None:
        """Commit the transaction of a poll whose batches are all finished, then apply it.

        A transaction that cannot be committed is aborted, and its inputs are fetched again.

        Raises:
            BatchFailedError: an agent failed a batch; the transaction was aborted.
            SlotTakenError, StoreUnwritableError: see there.
        """
        # 1. Every agent has to have finished its batch.
        for batch in poll.batches:
            if batch.error is not None or not batch.is_done:
                self._abort_and_fail(poll, batch)
                return
        # 2. Checkpoints, offsets, commit.
        started = self._now()
        try:
            checkpoints, positions = self._end_transaction(poll)
        except BrokerError as error:
            self._batch_size.adapt(started - poll.started_at, self._now() - started)
            self._recover(error, poll.records)
            return
        self._backoff.committed()
        self._hanging.committed(positions, started)
        committed = self._now()
        # 3. Only now, with the commit acknowledged, the local stores.
        self._observer.at("apply")
        is_recovering = False
        for number, checkpoint in checkpoints.items():
            try:
                self.partitions.open[number].apply(checkpoint, positions[number])
            except CorruptStoreError as error:
                self.partitions.recover_store(number, error)
                is_recovering = True
        # Seek only now: until here the others' next offsets pointed before this poll.
        if is_recovering:
            self.partitions.fetch(self._consumer_now())
        applied = self._now()
        self._observer.committed(poll.records, committed - started, applied - committed)
        self._observer.positions(poll.next_offsets)
        self._batch_size.adapt(started - poll.started_at, applied - started)

    def _end_transaction(self, poll: Poll) -> tuple[dict[int, Checkpoint], ChangelogPositions]:
        """Produce checkpoints, send offsets, commit; returns what to apply, by partition."""
        producer = self._producer_now()
        if poll.assignment_epoch != self.assignment_epoch:
            raise TransactionAbortedError("the partitions were assigned again during the batch")
        self._observer.at("produce")
        opened, topic_ids = self.partitions.open, self._restorer.topic_ids
        checkpoints, positions = produce_checkpoints(
            self._config, producer, poll.next_offsets, opened, topic_ids
        )
        producer.flush()
        self._hanging.check()
        self._observer.at("send_offsets")
        producer.send_offsets(poll.next_offsets, self._metadata)
        self._observer.at("commit")
        producer.commit()
        return checkpoints, positions

    def _rejoin(self, error: ConsumerLostError) -> None:
        """Join the group with a new consumer; the partitions come back with its assignment."""
        self._stall = StallWatch(self._config, self._cluster)
        self.partitions.give_up({number for _, number in self.partitions.input_partitions})
        self._consumer_now().close()
        self._consumer = self._cluster.consumer()
        self._consumer.subscribe(self._config.inputs, self)
        self._observer.rejoined(str(error))

    # --- failures --------------------------------------------------------------------------------

    def _abort_and_fail(self, poll: Poll, batch: Batch) -> None:
        error = batch.error or RuntimeError("the agent returned without calling the batch's done()")
        if isinstance(error, SlotTakenError):
            raise error
        if isinstance(error, BrokerError) and not isinstance(error, BatchPostponedError):
            self._batch_size.adapt(self._now() - poll.started_at, 0.0)
            self._recover(error, poll.records)
            return
        recovered = False
        if isinstance(error, CorruptStoreError):
            with suppress(CorruptStoreError):  # at the same offsets again
                self.partitions.recover_store(batch.partition, error)
                recovered = True
        self._recover(TransactionAbortedError(str(error)), poll.records)
        if recovered:
            return
        if isinstance(error, (BatchPostponedError, StoreUnwritableError)):
            raise error
        raise failed_for_good(batch, error) from error

    def _recover(self, error: BrokerError, records: int) -> None:
        """Abort the transaction, drop its effects, and fetch its inputs again; where its outcome is
        unknown, acquire the id anew, which ends it, and restore the stores to how it ended."""
        started = self._now()
        if not isinstance(error, ProducerLostError):
            try:
                self._hanging.check()
                self._observer.at("abort")
                self._producer_now().abort()
                self._hanging.aborted(self._config.written(self.partitions.open), started)
            except BrokerError as worse:
                error = ProducerLostError(f"{error}; aborting failed too: {worse}")
        self.partitions.discard()
        if isinstance(error, ProducerLostError):
            self._lose_producer(error)
        else:
            self.partitions.fetch(self._consumer_now())
        self._backoff.failed(self._now())
        if self._backoff.until:
            self._consumer_now().fetch({})
        self._observer.aborted(records, self._now() - started, str(error))

    def _lose_producer(self, error: ProducerLostError) -> None:
        """Acquire the id anew, which ends the last transaction, and restore all to how it ended."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            producer.close()
        self.partitions.roll_forward()
        self.partitions.fetch(self._consumer_now())
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
