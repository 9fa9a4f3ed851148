"""Changelogs and stores in memory, for what restores and standbys do step by step.

Owns: a cluster of which only topics, ends, slots and changelog records are asked; a disk of
dictionaries. Both keep what they made.
Does not own: transactions and faults of chance, which only the simulator has.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.engine.errors import BrokerError, CorruptStoreError
from pipeline.engine.ports import TopicPartition, Watermarks
from pipeline.engine.state.checkpoint import CHECKPOINT_KEY, FORMAT, Checkpoint, encode_checkpoint
from pipeline.engine.state.table_spec import TableSpec

USERS = TableSpec("users", "users-changelog", b"u")
SEEN = TableSpec("seen", "seen-changelog", b"s", compacted_only=False, owner=lambda key: key[:1])


@dataclass(frozen=True)
class Record:
    """A changelog record."""

    tp: TopicPartition
    at: int
    name: bytes | None = None
    content: bytes | None = None

    def topic(self) -> str:
        return self.tp.topic

    def partition(self) -> int:
        return self.tp.partition

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return self.name

    def value(self) -> bytes | None:
        return self.content


class Reader:
    """A reader of the changelogs; says each partition's end once, when it is there.

    Attributes:
        extra, extra_ends: what the next poll brings besides, whether it is assigned or not.
    """

    def __init__(self, cluster: "Changelogs") -> None:
        self.cluster = cluster
        self.assigned: list[dict[TopicPartition, int]] = []
        self.at: dict[TopicPartition, int] = {}
        self.waits: list[float] = []
        self.is_closed = False
        self.is_silent = False
        self.extra: list[Record] = []
        self.extra_ends: dict[TopicPartition, int] = {}
        self._ends_given: dict[TopicPartition, int] = {}
        self._fetched: set[TopicPartition] = set()

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.assigned.append(dict(offsets))
        self.at = dict(offsets)
        self._ends_given = {}

    def poll(
        self, records_max: int, wait_s: float
    ) -> tuple[list[Record], dict[TopicPartition, int]]:
        self.waits.append(wait_s)
        self.cluster.now += 0.1
        if self.is_silent or self.cluster.is_silent:
            return [], {}
        found, self.extra = self.extra, []
        ends, self.extra_ends = self.extra_ends, {}
        for tp in sorted(self.at):
            log, end = self.cluster.logs[tp], self.cluster.end(tp)
            rest = [record for record in log if record.at >= self.at[tp]]
            taken = rest[: records_max - len(found)]
            found += taken
            self._fetched.add(tp)
            if len(taken) == len(rest):
                self.at[tp] = end
                if self._ends_given.get(tp) != end:
                    self._ends_given[tp] = ends[tp] = end
            elif taken:
                self.at[tp] = taken[-1].at + 1
        return found, ends

    def high(self, tp: TopicPartition) -> int | None:
        return self.cluster.end(tp) if tp in self._fetched else None

    def close(self) -> None:
        self.is_closed = True


class Changelogs:
    """The cluster.

    Attributes:
        ends: where a partition ends, if not after its last record.
        slots: answers to who lives, one after the other; the last for ever.
        away: questions that are not answered.
        asked: the questions, in order.
    """

    def __init__(self, *, partitions: int = 1, slots: Iterable[Sequence[str] | None] = ()) -> None:
        self.logs: defaultdict[TopicPartition, list[Record]] = defaultdict(list)
        self.lows: dict[TopicPartition, int] = {}
        self.ends: dict[TopicPartition, int] = {}
        self.ids = {table.changelog: f"{table.name}-1" for table in (USERS, SEEN)}
        self.partitions = partitions
        self.slots = list(slots)
        self.away: set[str] = set()
        self.asked: list[str] = []
        self.readers: list[Reader] = []
        self.is_silent = False
        self.now = 100.0

    def write(self, table: TableSpec, number: int, *entries: tuple[bytes, bytes | None]) -> None:
        """Append records."""
        tp = TopicPartition(table.changelog, number)
        for key, value in entries:
            self.logs[tp].append(Record(tp, self.end(tp), key, value))

    def mark(self, number: int, offsets: dict[str, int]) -> None:
        """Append a checkpoint to both changelogs of a partition."""
        raw = encode_checkpoint(Checkpoint(FORMAT, "blue", offsets, b"attachment"))
        self.write(USERS, number, (CHECKPOINT_KEY, raw))
        self.write(SEEN, number, (CHECKPOINT_KEY, raw))

    def end(self, tp: TopicPartition) -> int:
        """The offset after a partition's last record."""
        log = self.logs[tp]
        return max(self.ends.get(tp, 0), log[-1].at + 1 if log else 0)

    def _answer(self, question: str) -> None:
        self.asked.append(question)
        if question in self.away:
            raise BrokerError(f"{question} is not answered")

    def clock(self) -> float:
        return self.now

    def topic_ids(self, topics: Sequence[str]) -> dict[str, str]:
        self._answer("topic_ids")
        return {topic: self.ids[topic] for topic in topics if topic in self.ids}

    def partition_counts(self, topics: Sequence[str]) -> dict[str, int]:
        self._answer("partition_counts")
        return dict.fromkeys(topics, self.partitions)

    def live_slots(self) -> Sequence[str] | None:
        self._answer("live_slots")
        return self.slots.pop(0) if len(self.slots) > 1 else self.slots[0]

    def watermarks(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Watermarks]:
        self._answer("watermarks")
        return {tp: Watermarks(self.lows.get(tp, 0), self.end(tp)) for tp in partitions}

    def changelog_reader(self) -> Reader:
        self.readers.append(Reader(self))
        return self.readers[-1]


@dataclass
class Store:
    """A partition's local store; breaks when it is told to."""

    entries: dict[bytes, bytes]
    bulk: list[bool] = field(default_factory=list)
    is_open: bool = True
    breaks_in: int | None = None

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def write(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        assert self.is_open
        if self.breaks_in is not None:
            self.breaks_in -= 1
            if self.breaks_in < 0:
                raise CorruptStoreError("damaged")
        for key, value in entries:
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value

    def scan(self, start: bytes, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key, value in sorted(self.entries.items()):
            if key >= start and key.startswith(prefix):
                yield key, value

    def expect_bulk(self, is_bulk: bool) -> None:
        self.bulk.append(is_bulk)

    def size_bytes(self) -> int:
        return sum(map(len, self.entries.values()))

    def close(self) -> None:
        self.is_open = False


class Dictionaries:
    """The disk.

    Attributes:
        stores: of each partition, the present one last.
        quarantined: what was set quarantined: (partition, reason).
    """

    def __init__(self) -> None:
        self.stores: defaultdict[int, list[Store]] = defaultdict(list)
        self.quarantined: list[tuple[int, str]] = []
        self.breaking: dict[int, int] = {}

    def claim(self) -> None: ...

    def open(self, partition: int) -> Store:
        held = self.stores[partition]
        assert not [store for store in held if store.is_open]
        there = held and (partition, len(held)) not in self._moved
        entries = held[-1].entries if there else {}
        store = Store(entries, breaks_in=self.breaking.pop(partition, None))
        held.append(store)
        return store

    @property
    def _moved(self) -> set[tuple[int, int]]:
        return set(self._quarantined_at)

    _quarantined_at: tuple[tuple[int, int], ...] = ()

    def quarantine(self, partition: int, reason: str) -> str:
        assert not self.stores[partition][-1].is_open
        self.quarantined.append((partition, reason))
        self._quarantined_at = (*self._quarantined_at, (partition, len(self.stores[partition])))
        return f"aside-{len(self.quarantined)}"
