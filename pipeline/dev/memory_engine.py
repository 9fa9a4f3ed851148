"""The worker's hot path without Kafka, for the profile of the fold and for tests.

Owns: stand-ins for a consumed record, a producer and a disk; a `Processor` on the checked-in policy
and schemas; cutting an input into polls.
Does not own: what is timed (bench/fold_profile.py), anything of the path itself.
Invariant: the path that runs here is the worker's own from `Processor` down; what is left out is
the client library, the broker and, without `rocks`, RocksDB.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, cast

from pipeline.codec.avro import AvroEncoder
from pipeline.codec.inputs import InputDecoder
from pipeline.codec.partitioner import partition_of
from pipeline.codec.schemas import JsonSchema, Schema, load_schemas
from pipeline.core.fold import World, fold_completion
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.policy import load_policy
from pipeline.core.zones import TZDATA_VERSION
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.engine.batch import OpenPartition
from pipeline.engine.ports import KeyValueStore, TransactionalProducer
from pipeline.engine.state.checkpoint import FORMAT, Checkpoint
from pipeline.engine.state.rocks import RocksDisk
from pipeline.engine.state.store import PartitionStore
from pipeline.engine.state.table_spec import TableSpec
from pipeline.observability.metrics import BatchStats
from pipeline.worker.outputs import Outputs, OutputTopics
from pipeline.worker.processing import Processor
from pipeline.worker.rules import FoldCompletion, Rules
from pipeline.worker.window import spec_of

ROOT: Final = Path(__file__).resolve().parents[2]
GENERATION: Final = "bench"
PARTITIONS: Final = 4
POLL_RECORDS: Final = 10_000
TOPIC: Final = "awaway.completions"
USERS: Final = TableSpec("streaks", "streaks-changelog", b"u")
SEEN: Final = spec_of("seen-changelog", b"w")
DEAD_LETTER_BYTES_MAX: Final = 4_194_304


class Record:
    """A consumed record, as `confluent_kafka.Message` shows it."""

    __slots__ = ("_append_ms", "_key", "_offset", "_partition", "_value")

    def __init__(self, record: InputRecord, partition: int, offset: int, append_ms: int) -> None:
        self._key = record.key
        self._value = record.value
        self._partition = partition
        self._offset = offset
        self._append_ms = append_ms

    def topic(self) -> str:
        """The input topic."""
        return TOPIC

    def partition(self) -> int:
        """The partition, 0 and up."""
        return self._partition

    def offset(self) -> int:
        """The offset, 0 and up."""
        return self._offset

    def key(self) -> bytes | None:
        """The user id in UTF-8."""
        return self._key

    def value(self) -> bytes | None:
        """The JSON."""
        return self._value

    def headers(self) -> None:
        """No headers."""

    def timestamp(self) -> tuple[int, int]:
        """`LogAppendTime`, and the instant in ms."""
        return 2, self._append_ms


class CountingProducer:
    """Takes records and keeps none.

    Attributes:
        records, value_bytes: how many, and how large their values were.
    """

    def __init__(self) -> None:
        self.records = 0
        self.value_bytes = 0

    def produce(
        self,
        _topic: str,
        _partition: int,
        _key: bytes | None,
        value: bytes | None,
        *_: object,
    ) -> None:
        """Count."""
        self.records += 1
        self.value_bytes += len(value or b"")


class MemoryStore:
    """One partition's entries in a dict."""

    def __init__(self) -> None:
        self._entries: dict[bytes, bytes] = {}
        self.get = self._entries.get

    def write(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Write all of the entries."""
        for key, value in entries:
            if value is None:
                self._entries.pop(key, None)
            else:
                self._entries[key] = value

    def scan(self, start: bytes, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Entries in key order."""
        for key, value in sorted(self._entries.items()):
            if key >= start and key.startswith(prefix):
                yield key, value

    def expect_bulk(self, is_bulk: bool) -> None:
        """A dict has no other way to write much at once."""

    def size_bytes(self) -> int:
        """Not known."""
        return 0

    def close(self) -> None:
        """Nothing to close."""


def partition_stores(rocks: Path | None) -> list[PartitionStore]:
    """A store for each partition: in memory, or in RocksDB below the folder `rocks`."""
    disk = None if rocks is None else RocksDisk(rocks)
    stores: list[KeyValueStore] = [
        MemoryStore() if disk is None else disk.open(partition) for partition in range(PARTITIONS)
    ]
    return [PartitionStore(number, store, GENERATION) for number, store in enumerate(stores)]


def open_partitions(rocks: Path | None) -> list[OpenPartition]:
    """Every partition with an empty store, as a batch wants it."""
    return [
        OpenPartition(store, Checkpoint(FORMAT, GENERATION, {}, b""), set())
        for store in partition_stores(rocks)
    ]


def polls_of(records: Sequence[InputRecord], now_ms: int) -> list[list[list[Record]]]:
    """The input as the engine would see it: polls, each a list of records by partition.

    Args:
        now_ms: append time of the first record; after every hundred it is 1 ms later.
    """
    offsets = [0] * PARTITIONS
    polls = []
    for start in range(0, len(records), POLL_RECORDS):
        poll: list[list[Record]] = [[] for _ in range(PARTITIONS)]
        for number, record in enumerate(records[start : start + POLL_RECORDS], start):
            partition = record.partition
            if partition is None:
                partition = partition_of(record.key or b"", PARTITIONS)
            append_ms = now_ms + number // 100
            poll[partition].append(Record(record, partition, offsets[partition], append_ms))
            offsets[partition] += 1
        polls.append(poll)
    return polls


def new_processor(
    observe: Callable[[BatchStats], None],
    *,
    collapse: bool,
    fold: FoldCompletion = fold_completion,
) -> Processor:
    """The worker's own processor.

    Args:
        observe: is given each batch's counts.
        collapse: write one progress and one state record for each user and batch.
        fold: instead of the core's.
    """
    schemas = checked_in_schemas()
    rules = Rules(
        world=new_world(),
        decoder=decoder_of(schemas),
        partitions=PARTITIONS,
        collapse=collapse,
        tzdata_version=TZDATA_VERSION,
        dead_letter_bytes_max=DEAD_LETTER_BYTES_MAX,
        fold_completion=fold,
    )
    return Processor(rules, outputs_of(schemas), USERS, SEEN, observe)


def new_world() -> World:
    """The world of a worker, by the checked-in policy."""
    return World(
        policies=load_policy((ROOT / "policy.yaml").read_text("utf-8")),
        assets=GoldenCatalogue("https://assets.example.org"),
        generation=GENERATION,
    )


def decoder_of(schemas: Mapping[str, Schema]) -> InputDecoder:
    """A decoder for JSON inputs; there is no registry here for others."""

    def unknown(schema_id: int) -> JsonSchema:
        raise LookupError(schema_id)

    return InputDecoder(schemas, unknown)


def outputs_of(schemas: Mapping[str, Schema]) -> Outputs:
    """Encoders of all outputs, with made-up schema ids."""
    topics = OutputTopics(**{one.name: f"awaway.{one.name}" for one in fields(OutputTopics)})
    return Outputs(topics, {name: AvroEncoder(schemas[name], 7) for name in schemas})


def checked_in_schemas() -> dict[str, Schema]:
    """Our schemas, by record name."""
    return load_schemas(ROOT / "schemas")


def apply(store: PartitionStore, next_offset: int, attachment: bytes) -> None:
    """Apply a batch to a partition's store, as the engine does after the commit."""
    store.apply(Checkpoint(FORMAT, GENERATION, {TOPIC: next_offset}, attachment), {})


def as_producer(producer: CountingProducer) -> TransactionalProducer:
    """The producer, typed as a batch wants it; a batch calls only `produce`."""
    return cast(TransactionalProducer, cast(Any, producer))
