"""The engine's interfaces to the broker and to the disk.

Owns: the protocols for broker and disk, and the plain values in their calls.
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
    """Where a partition's log starts and ends, aborted and open transactions included.

    Attributes:
        low: the log start offset: the first that is still there.
        high: the high watermark: the offset that the next record will get.
    """

    low: int
    high: int


class Ends(NamedTuple):
    """Where a partition ends for each isolation level; they differ while a transaction is open.

    Attributes:
        stable: the last stable offset: a read_committed consumer stops there.
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
    """Rebalance callbacks, called from inside `GroupConsumer.poll` on its thread."""

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> None: ...
    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None: ...
    def on_lost(self, partitions: Sequence[TopicPartition]) -> None: ...


class GroupConsumer(Protocol):
    """The consumer of the input topics, a static member of the worker group."""

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None: ...

    def poll(self, records_max: int, wait_s: float) -> list[Message]:
        """The records that are available now; waits up to `wait_s` for the first one only."""
        ...

    def fetch(self, offsets: Mapping[TopicPartition, int]) -> None:
        """From now on fetch exactly these assigned partitions, from exactly these offsets.

        `poll` returns nothing that was fetched before this call.
        """
        ...

    def committed(
        self, partitions: Sequence[TopicPartition], wait_s: float = ...
    ) -> dict[TopicPartition, int | None]:
        """The group's stable offsets; waits up to `wait_s` for open transactions to end.

        Raises:
            BrokerError: no answer, or such a transaction is still open.
        """
        ...

    def group_metadata(self) -> Any:
        """An opaque snapshot of the group membership, with the consumer group's generation, for
        `send_offsets`."""
        ...

    def check_slot(self) -> None:
        """Check that the group's member under this slot is this consumer, or that there is none.

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
        """Whether a request of a transaction (offsets, commit, abort) was sent more than once.

        A copy of it may still be under way. The broker distinguishes a producer's transactions by
        the producer epoch alone, which only a new producer raises: a late copy of the request that
        ended one transaction would end the next one.
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
        """Wait until every produced record is acknowledged and each `on_offset` was called."""
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
        """Records, and the last stable offset of each partition that was read to it."""
        ...

    def high(self, partition: TopicPartition) -> int | None:
        """The high watermark that came with the partition's last fetch; None before the first."""
        ...

    def close(self) -> None: ...


class Cluster(Protocol):
    """The broker: makes clients, and answers requests about topics and the group."""

    def producer(self) -> TransactionalProducer: ...
    def consumer(self) -> GroupConsumer: ...
    def changelog_reader(self) -> ChangelogReader: ...
    def topic_ids(self, topics: Sequence[str]) -> dict[str, str]:
        """The UUID of each topic; a topic that is deleted and recreated has another one."""
        ...

    def topic_ids_soon(self, topics: Sequence[str]) -> dict[str, str] | None:
        """As `topic_ids`, but it never waits: None while the answer is under way, call again.

        Raises:
            BrokerError: no answer; the next call asks again.
        """
        ...

    def partition_counts(self, topics: Sequence[str]) -> dict[str, int]: ...
    def live_slots(self) -> Sequence[str] | None:
        """The `group.instance.id`s of the group's members now, in any state of the group.

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
        """Where partitions end; waits for a short time only. Those with an error are missing.

        Raises:
            BrokerError: no answer, as when one of them has no leader.
        """
        ...

    def outsider(self) -> Any:
        """Group metadata without member id: offsets that are sent with it bypass fencing.

        Only for transactions that are aborted.
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
            prefix: what their keys start with; the scan skips what was deleted behind them.

        Raises:
            CorruptStoreError: the scan cannot reach the end; it never just returns fewer entries.
        """
        ...

    def expect_bulk(self, is_bulk: bool) -> None:
        """A hint that from now on there are many writes and no reads, or both as usual again.

        May close and reopen the store: callers must take `get` from the store again, and the errors
        of `Disk.open` are possible.
        """
        ...

    def size_bytes(self) -> int: ...
    def close(self) -> None: ...


class Disk(Protocol):
    """The data folder with the partitions' stores."""

    def claim(self) -> None:
        """Lock the data folder for this process until it ends; may be called again.

        Raises:
            StoreLockedError: another process has locked it.
            StoreUnwritableError: nothing can be written here.
        """
        ...

    def open(self, partition: int) -> KeyValueStore:
        """Open a partition's store; create it if it does not exist.

        Raises:
            CorruptStoreError: it cannot be read; quarantine it.
        """
        ...

    def quarantine(self, partition: int, reason: str) -> str:
        """Move a closed store away, never delete it; returns its new path."""
        ...
