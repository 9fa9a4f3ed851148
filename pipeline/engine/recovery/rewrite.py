"""Writing a changelog anew, which was lost, from a store that stands at the group's offsets.

Owns: the transactions in which that happens, and what a reader can tell of an unfinished one.
Does not own: whether it may be done (restore.py), what a failed transaction leads to (machine.py).

A large state does not fit into the time of one transaction, so there are several:

    open mark, records | records | … | records, checkpoint, close mark

Each also commits the offsets at which the store stands already, with the group metadata of the
assignment: so a worker that no longer owns the partition cannot add to its changelog.

Invariants, which make a crash between any two transactions harmless:
- the store learns of the new changelog last, so its next start with the same disk begins again;
  what is written twice is the same;
- from the first transaction to the last the changelog holds an open mark without its close mark:
  whoever restores from it meanwhile has a partial store, and refuses the partition.
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
"""Records in one transaction, at most: far less than its time allows."""


class Rewrite:
    """One changelog partition on its way; each `step` is one transaction.

    Args:
        table: whose changelog it is.
        store: complete, and not written until this is done, but for packed records, which are
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
        """Write and commit one chunk; returns whether it was the last.

        After an error the same chunk is written again by the next call.

        Raises:
            BrokerError: the transaction has to be aborted, or its outcome is not known.
            CorruptStoreError: the store cannot be read.
            StoreUnwritableError: what is packed cannot be expanded.
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
        producer.send_offsets(_places(checkpoint, number), group_metadata)
        producer.commit()
        self._is_open, self._chunk = True, None
        if is_last:
            store.apply(checkpoint, {topic: (self._topic_id, ends[0] + 1)})
        return is_last


def _places(checkpoint: Checkpoint, number: int) -> dict[TopicPartition, int]:
    return {TopicPartition(topic, number): at for topic, at in checkpoint.next_offsets.items()}
