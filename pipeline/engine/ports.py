"""What the engine needs of the world, as small interfaces.

Owns: the protocols for broker and disk, and the plain values that cross them.
Does not own: their implementations (kafka/ for the real broker, state/rocks.py for the real disk).
Invariant: nothing here imports a client library, so that the same engine runs against a real
cluster, or against one that a test can crash between any two calls.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Watermarks(NamedTuple):
    """Where a partition starts and ends, aborted and open transactions included.

    Attributes:
        low: first offset that is still there.
        high: the offset that the next record will get (isolation level read_uncommitted).
    """

    low: int
    high: int


class Ends(NamedTuple):
    """Where a partition ends for readers of each kind; they differ while a transaction is open.

    Attributes:
        stable: the last stable offset: a reader of committed records stops there.
        high: as in `Watermarks`.
    """

    stable: int
    high: int


class Message(Protocol):
    """One consumed record; the accessors are those of `confluent_kafka.Message`."""

    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Sequence[tuple[str, bytes | None]] | None: ...
    def timestamp(self) -> tuple[int, int]:
        """Kind (1 create time, 2 append time), and milliseconds since 1970-01-01T00:00:00Z."""
        ...


class RebalanceListener(Protocol):
    """Called from inside `GroupConsumer.poll`, on the thread that polls."""

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> None: ...
    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None: ...
    def on_lost(self, partitions: Sequence[TopicPartition]) -> None: ...


class GroupConsumer(Protocol):
    """The consumer of the input topics, a static member of the worker group."""

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None: ...

    def poll(self, records_max: int, wait_s: float) -> list[Message]:
        """Records that are there now; waits up to `wait_s` for the first one only."""
        ...

    def fetch(self, offsets: Mapping[TopicPartition, int]) -> None:
        """From now on fetch exactly these assigned partitions, from exactly these offsets.

        Nothing that was fetched earlier is returned by `poll` after this call.
        """
        ...

    def committed(
        self, partitions: Sequence[TopicPartition], wait_s: float = ...
    ) -> dict[TopicPartition, int | None]:
        """The group's stable offsets: waits out transactions that are still open, for so long.

        Raises:
            BrokerError: no answer, or one of them is open still.
        """
        ...

    def group_metadata(self) -> Any:
        """An opaque snapshot of the group membership, for `send_offsets`."""
        ...

    def check_slot(self) -> None:
        """Ask the group who is its member under this slot; returns when it is this one, or none.

        Raises:
            SlotTakenError: it is another one, which joined later.
            BrokerError: no answer.
        """
        ...

    def close(self) -> None: ...


class TransactionalProducer(Protocol):
    """One producer under the slot's transactional id. Every method may raise `BrokerError`s."""

    @property
    def is_spent(self) -> bool:
        """Whether a request to end a transaction, or for its offsets, was asked more than once.

        A copy of it may still be under way. The broker tells a producer's transactions apart by its
        epoch alone, which only a new producer raises: what ended one would end the next.
        """
        ...

    def init_transactions(self) -> None: ...
    def begin(self) -> None: ...

    def produce(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes | None]] | None = None,
        on_offset: Callable[[int], None] | None = None,
    ) -> None: ...

    def flush(self) -> None:
        """Return when every produced record was acknowledged and each `on_offset` was called."""
        ...

    def send_offsets(self, offsets: Mapping[TopicPartition, int], group_metadata: Any) -> None: ...
    def commit(self) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...


class ChangelogReader(Protocol):
    """A read_committed consumer with explicit assignment, for restoring."""

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None: ...

    def poll(
        self, records_max: int, wait_s: float
    ) -> tuple[list[Message], dict[TopicPartition, int]]:
        """Records, and for each partition read to its last stable offset, that offset."""
        ...

    def high(self, partition: TopicPartition) -> int | None:
        """The high watermark that came with the partition's last fetch; None before the first."""
        ...

    def close(self) -> None: ...


class Cluster(Protocol):
    """The broker, as a factory of clients and a place to ask."""

    def producer(self) -> TransactionalProducer: ...
    def consumer(self) -> GroupConsumer: ...
    def changelog_reader(self) -> ChangelogReader: ...
    def topic_ids(self, topics: Sequence[str]) -> dict[str, str]:
        """The UUID of each topic; a topic that is deleted and recreated has another one."""
        ...

    def topic_ids_soon(self, topics: Sequence[str]) -> dict[str, str] | None:
        """The same, but it never waits: None while the answer is under way, call again.

        Raises:
            BrokerError: no answer; the next call asks again.
        """
        ...

    def partition_counts(self, topics: Sequence[str]) -> dict[str, int]: ...
    def live_slots(self) -> Sequence[str] | None:
        """The `group.instance.id`s of the group's members now, whatever the group's state.

        Never waits: None while the answer is under way, call again. A slot that died counts until
        its session times out.

        Raises:
            BrokerError: no answer; the next call asks again.
        """
        ...

    def watermarks(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Watermarks]: ...

    def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Ends]:
        """Where partitions end, asked with little patience; those with an error are missing.

        Raises:
            BrokerError: no answer, as when one of them has no leader.
        """
        ...

    def outsider(self) -> Any:
        """Group metadata of nobody, with which offsets are taken that count for no member.

        For transactions that are aborted: what is committed with it passes over all fencing.
        """
        ...


class KeyValueStore(Protocol):
    """One partition's local store: atomic batches of writes over ordered byte keys."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key; any exception means that the store cannot be read."""
        ...

    def write(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Write all of the entries or none; a value of None deletes.

        Raises:
            CorruptStoreError: the store is damaged; quarantine it.
            StoreUnwritableError: nothing was written.
        """
        ...

    def scan(self, start: bytes, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Entries in key order, from the first key that is not below `start`.

        Args:
            start: at least `prefix`.
            prefix: what all their keys start with. What was deleted behind them costs nothing.

        Raises:
            CorruptStoreError: it cannot be read to its end; never just fewer entries.
        """
        ...

    def expect_bulk(self, is_bulk: bool) -> None:
        """A hint: from now on many writes and no reads, or both as usual again.

        May close the store and open it anew, so `get` has to be taken from the store again, and
        the errors of `Disk.open` may come.
        """
        ...

    def size_bytes(self) -> int: ...
    def close(self) -> None: ...


class Disk(Protocol):
    """Where the partitions' stores are kept."""

    def claim(self) -> None:
        """Make sure that no other process works here until this one ends; may be called again.

        Raises:
            StoreLockedError: another one does.
            StoreUnwritableError: nothing can be written here.
        """
        ...

    def open(self, partition: int) -> KeyValueStore:
        """Open a partition's store, made when it is not there.

        Raises:
            CorruptStoreError: it cannot be read; quarantine it.
        """
        ...

    def quarantine(self, partition: int, reason: str) -> str:
        """Move a closed store out of the way, never delete it; returns where it is now."""
        ...
