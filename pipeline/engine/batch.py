"""A micro-batch: some records of one input partition, and all that may be done about them.

Owns: how an agent reads state, writes state, emits outputs and says that it is done.
Does not own: the transaction around it (machine.py); what the records mean (the agents).
Invariants: everything done through a batch is part of the poll's one transaction, or of nothing;
records come in offset order; only `done` lets the transaction commit, so an agent that forgets it
or raises cannot commit half a batch.

While agents work on the batches of a poll the engine's thread is parked, so producer and store have
one user at a time.
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
        prefix: the byte that the table's local keys start with. Who looks up and writes many keys
            of one owner calls `expand_owner`, joins it with the rest once, and calls `get_local`
            and `put_record`.
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
        """Make sure that all entries of an owner can be found, and none is replaced by an older.

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
        """The value of a key, with what this transaction wrote."""
        self._expand_owner_of(key)
        return self.get_local(self.prefix + key)

    def get_local(self, local: bytes) -> bytes | None:
        """`get`, of a key that starts with the prefix, and whose owner was looked at.

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
        """Write one changelog record and the local entries that it stands for; None deletes."""
        self._expand_owner_of(key)
        self._produce(self._topic, self._partition, key, value)
        prefix, overlay = self.prefix, self._overlay
        for local, content in self._expand(key, value):
            overlay[prefix + local] = content

    def put_record(self, key: bytes, value: bytes, entries: Mapping[bytes, bytes]) -> None:
        """`put`, where the caller has the entries that `expand` would make of the record, and
        looked at their owner.

        Args:
            entries: by local key, which starts with the prefix.
        """
        self._produce(self._topic, self._partition, key, value)
        self._overlay.update(entries)

    def forget(self, key: bytes) -> None:
        """Delete a local entry whose changelog record expires by itself."""
        self._expand_owner_of(key)
        self._overlay[self.prefix + key] = None

    def committed(self, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Committed entries in key order, from the first key that is not below `start`; those of
        lazy records are not among them."""
        return self._store.scan(self._spec, start)


class Batch:
    """Records of one input partition, in offset order, and the transaction they are part of.

    Attributes:
        topic, partition: where the records came from.
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
        self._finished: Callable[[], None] = _nobody

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
        """Every record was dealt with: the transaction may commit."""
        self.is_done = True
        self._finished()

    def fail(self, error: BaseException) -> None:
        """The batch cannot be finished: the transaction must not commit."""
        self.error = error
        self._finished()

    def when_finished(self, call: Callable[[], None]) -> None:
        """Be told when the batch is done or failed, on the thread that says so."""
        self._finished = call


class OpenPartition:
    """A partition's state while this worker owns it, with the part that is not yet committed.

    Attributes:
        state: the tables.
        next_offsets: by input topic, the offset after the last one that was applied.
        attachment: the application's bytes inside the current transaction.
        inputs_to_repair: inputs whose offset the group lacks, because this is the first start or it
            expired, or has too old; the next transaction commits it.
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
        """Make a committed transaction's effects the partition's state."""
        self.state.apply(checkpoint, next_offsets)
        self.next_offsets = dict(checkpoint.next_offsets)
        self.inputs_to_repair.clear()

    def discard(self, checkpoint: Checkpoint) -> None:
        """Go back to the last committed transaction, whose checkpoint this is."""
        self.state.discard()
        self.attachment = checkpoint.attachment


@dataclass(frozen=True, slots=True)
class Poll:
    """The batches of one transaction.

    Attributes:
        batches: one for each input partition that had records; none when only offsets are to be
            repaired.
        next_offsets: of the inputs, once they are dealt with.
        assignment_epoch: of the assignment that they were polled under.
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
    """What ends a worker whose agent cannot finish a batch."""
    return BatchFailedError(
        f"{batch.topic}[{batch.partition}]: a batch of {len(batch.records)} records from"
        f" offset {batch.records[0].offset()} could not be finished",
        why=str(error),
        fix="see the traceback above; the records will be processed again at the next start",
    )


def _nobody() -> None:
    """Nobody waits for this batch yet."""
