"""A micro-batch: records of one input partition, and what an agent can do with them.

Owns: how an agent reads and writes state, emits outputs and finishes the batch.
Does not own: the transaction around it (machine.py); what the records mean (the agents).
Invariants: everything done through a batch is part of the poll's one transaction, or has no effect;
records are in offset order; only `done` lets the transaction commit, so an agent that forgets it or
raises cannot commit half a batch.

While agents process the batches of a poll the engine's thread waits, so that producer and store
have one user at a time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.engine.errors import BatchFailedError
from pipeline.engine.ports import Message, TopicPartition, TransactionalProducer
from pipeline.engine.state.checkpoint import Checkpoint
from pipeline.engine.state.store import PartitionStore, unreadable
from pipeline.engine.state.table_spec import TableSpec

Headers = list[tuple[str, bytes | None]]
_NOT_WRITTEN: Final[Any] = object()


class TableView:
    """One table of one partition, inside the current transaction.

    Attributes:
        prefix: the byte that the table's local keys start with. An agent that looks up and writes
            many keys of one owner calls `expand_owner`, adds the prefix to the keys itself, and
            calls `get_local` and `put_record`: faster than `get` and `put`.
    """

    __slots__ = (
        "_disk_get",
        "_expand",
        "_lazy",
        "_overlay",
        "_owner",
        "_partition",
        "_produce",
        "_spec",
        "_store",
        "_topic",
        "prefix",
    )

    def __init__(
        self, spec: TableSpec, store: PartitionStore, producer: TransactionalProducer
    ) -> None:
        self._spec = spec
        self._store = store
        self.prefix = spec.prefix
        self._expand = spec.expand
        self._owner = spec.owner
        self._lazy = store.lazy
        self._topic = spec.changelog
        self._partition = store.partition
        self._overlay = store.overlay
        self._disk_get = store.disk.get
        self._produce = producer.produce

    def expand_owner(self, owner: bytes) -> None:
        """Expand the owner's lazy records, so that all its entries are found and none is outdated.

        Raises:
            CorruptStoreError, StoreUnwritableError: see `KeyValueStore`.
            UnreadableRecordError: see there.
        """
        # equivalent (True): a short cut; where nothing is lazy, nothing is found
        if self._lazy.is_any:
            self._lazy.expand_owner(self._spec, owner)

    def _expand_owner_of(self, key: bytes) -> None:
        if self._lazy.is_any and self._owner is not None:
            self._lazy.expand_owner(self._spec, self._owner(key))

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, including what this transaction wrote."""
        self._expand_owner_of(key)
        return self.get_local(self.prefix + key)

    def get_local(self, local: bytes) -> bytes | None:
        """`get`, for a key that starts with the prefix, and whose owner was expanded.

        Raises:
            CorruptStoreError: the store cannot be read; the partition has to be restored.
        """
        value: bytes | None = self._overlay.get(local, _NOT_WRITTEN)
        if value is not _NOT_WRITTEN:
            return value
        try:
            return self._disk_get(local)
        except Exception as error:
            raise unreadable(self._partition, error) from error

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write one changelog record and the local entries that it expands to; None deletes."""
        self._expand_owner_of(key)
        self._produce(self._topic, self._partition, key, value)
        prefix, overlay = self.prefix, self._overlay
        for local, content in self._expand(key, value):
            overlay[prefix + local] = content

    def put_record(self, key: bytes, value: bytes, entries: Mapping[bytes, bytes]) -> None:
        """`put`, for a caller that has the entries that `expand` would return, and has expanded
        their owner.

        Args:
            entries: by local key, which starts with the prefix.
        """
        self._produce(self._topic, self._partition, key, value)
        self._overlay.update(entries)

    def forget(self, key: bytes) -> None:
        """Delete a local entry; its changelog record expires by itself."""
        self._expand_owner_of(key)
        self._overlay[self.prefix + key] = None

    def committed(self, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Committed entries in key order from key `start` on, without those of lazy records."""
        return self._store.scan(self._spec, start)


class Batch:
    """Records of one input partition in offset order, and the transaction that they are part of.

    Attributes:
        topic, partition: of the records.
        records: at least one.
        attachment: the application's bytes of this partition, as the previous batch left them.
    """

    __slots__ = (
        "_finished",
        "_producer",
        "error",
        "is_done",
        "partition",
        "records",
        "store",
        "topic",
    )

    def __init__(
        self,
        topic: str,
        records: Sequence[Message],
        store: "OpenPartition",
        producer: TransactionalProducer,
    ) -> None:
        self.topic = topic
        self.partition = store.state.partition
        self.records = records
        self.store = store
        self.is_done = False
        self.error: BaseException | None = None
        self._producer = producer
        self._finished: Callable[[], None] = _ignore

    @property
    def attachment(self) -> bytes:
        """The application's bytes that the partition's checkpoint carries; empty at the start."""
        return self.store.attachment

    @attachment.setter
    def attachment(self, value: bytes) -> None:
        self.store.attachment = value

    def table(self, spec: TableSpec) -> TableView:
        """The partition's part of a table."""
        return TableView(spec, self.store.state, self._producer)

    def emit(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        """Send an output record to the same partition number of another topic."""
        self._producer.produce(topic, self.partition, key, value, headers)

    def done(self) -> None:
        """Finish the batch: every record was processed, and the transaction may commit."""
        self.is_done = True
        self._finished()

    def fail(self, error: BaseException) -> None:
        """Fail the batch: the transaction must not commit."""
        self.error = error
        self._finished()

    def when_finished(self, call: Callable[[], None]) -> None:
        """Have this called when the batch is done or failed, on the thread of the agent."""
        self._finished = call


class OpenPartition:
    """A partition's state while this worker processes it, with what is not committed yet.

    Attributes:
        state: the tables.
        next_offsets: by input topic, the offset after the last one that was applied.
        attachment: the application's bytes inside the current transaction.
        inputs_to_repair: inputs of which the group has no offset (a first start, or it expired), or
            one that is too old; the next transaction commits the right one.
    """

    __slots__ = ("attachment", "inputs_to_repair", "next_offsets", "state")

    def __init__(
        self, state: PartitionStore, checkpoint: Checkpoint, inputs_to_repair: set[str]
    ) -> None:
        self.state = state
        self.inputs_to_repair = inputs_to_repair
        self.next_offsets = dict(checkpoint.next_offsets)
        self.attachment = checkpoint.attachment

    def apply(self, checkpoint: Checkpoint, next_offsets: dict[str, tuple[str, int]]) -> None:
        """Write the effects of a committed transaction to the store."""
        self.state.apply(checkpoint, next_offsets)
        self.next_offsets = dict(checkpoint.next_offsets)
        self.inputs_to_repair.clear()

    def discard(self, checkpoint: Checkpoint) -> None:
        """Go back to the last committed transaction, of which this is the checkpoint."""
        self.state.discard()
        self.attachment = checkpoint.attachment


@dataclass(frozen=True, slots=True)
class Poll:
    """The batches of one transaction.

    Attributes:
        batches: one for each input partition that had records; none when only offsets are to be
            repaired.
        next_offsets: of the inputs, once the batches are processed.
        assignment_epoch: of the assignment during the poll.
        started_at: monotonic seconds.
    """

    batches: list[Batch]
    next_offsets: dict[TopicPartition, int]
    assignment_epoch: int
    started_at: float

    @property
    def records(self) -> int:
        """Number of records in all batches."""
        return sum(len(batch.records) for batch in self.batches)


def failed_for_good(batch: Batch, error: BaseException) -> BatchFailedError:
    """The error that ends a worker whose agent cannot finish a batch."""
    return BatchFailedError(
        f"{batch.topic}[{batch.partition}]: a batch of {len(batch.records)} records from"
        f" offset {batch.records[0].offset()} could not be finished",
        why=str(error),
        fix="see the traceback above; the records will be processed again at the next start",
    )


def _ignore() -> None:
    """Does nothing: nobody waits for this batch yet."""
