"""Rewrite a lost changelog from a store that is at the group's offsets.

Owns: the transactions of a rewrite, and how a reader recognises an unfinished one.
Does not own: whether a rewrite is allowed (restore.py), what a failed transaction leads to
(machine.py).

A large state does not fit into one transaction's time-out, so there are several transactions:

    opening record, records | records | … | records, checkpoint, closing record

Only the last one has a checkpoint, and the closing record follows it; a poll's transaction ends
with its checkpoint (state/checkpoint.py). Each also commits the offsets that the store is at
already, with the group metadata of the assignment: so a worker that no longer owns the partition
cannot add to its changelog.

Invariants, which make a crash between any two transactions harmless:
- the store learns of the new changelog last, so the next start with the same disk begins again; a
  record that is written twice is the same record;
- from the first transaction to the last the changelog has an opening record without its closing
  record: whoever restores from it meanwhile has a partial store, and refuses the partition.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from pipeline.engine.ports import TopicPartition, TransactionalProducer
from pipeline.engine.state.checkpoint import (
    CHECKPOINT_KEY,
    REWRITING_KEY,
    Checkpoint,
    encode_checkpoint,
)
from pipeline.engine.state.store import PartitionStore
from pipeline.engine.state.table_spec import TableSpec

CHUNK_RECORDS_MAX = 10_000
"""Max records in one transaction: far fewer than its time-out allows."""


class Rewrite:
    """The rewrite of one changelog partition; each `step` is one transaction.

    Args:
        table: that the changelog belongs to.
        store: complete; nothing else writes it until the rewrite is done. Its lazy records are
            expanded before the first chunk.
        topic_id: UUID of the new changelog.
    """

    def __init__(self, table: TableSpec, store: PartitionStore, topic_id: str) -> None:
        self.table = table
        self._store = store
        self._topic_id = topic_id
        self._records: Iterator[tuple[bytes, bytes]] = table.records(store.scan(table))
        self._chunk: list[tuple[bytes, bytes]] | None = None
        self._is_open = False

    def step(self, producer: TransactionalProducer, group_metadata: Any) -> bool:
        """Write and commit one chunk; return whether it was the last.

        After an error the next call writes the same chunk again.

        Raises:
            BrokerError: the transaction has to be aborted, or its outcome is unknown.
            CorruptStoreError: the store cannot be read.
            StoreUnwritableError: lazy records cannot be expanded.
        """
        store, checkpoint = self._store, self._store.checkpoint
        if checkpoint is None:
            return True
        store.lazy.expand_owner(self.table, b"")
        if self._chunk is None:
            self._chunk = list(islice(self._records, CHUNK_RECORDS_MAX))
        is_last = len(self._chunk) < CHUNK_RECORDS_MAX
        topic, number = self.table.changelog, store.partition
        ends: list[int] = []
        producer.begin()
        if not self._is_open:
            producer.produce(topic, number, REWRITING_KEY, b"")
        for key, value in self._chunk:
            producer.produce(topic, number, key, value)
        if is_last:
            producer.produce(
                topic, number, CHECKPOINT_KEY, encode_checkpoint(checkpoint, self._topic_id)
            )
            producer.produce(topic, number, REWRITING_KEY, None, None, ends.append)
        producer.flush()
        producer.send_offsets(_input_offsets(checkpoint, number), group_metadata)
        producer.commit()
        self._is_open, self._chunk = True, None
        if is_last:
            store.apply(checkpoint, {topic: (self._topic_id, ends[0] + 1)})
        return is_last


def _input_offsets(checkpoint: Checkpoint, number: int) -> dict[TopicPartition, int]:
    return {TopicPartition(topic, number): at for topic, at in checkpoint.next_offsets.items()}
