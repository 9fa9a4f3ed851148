"""Bringing a partition's local state to the last committed transaction.

Owns: what is read of the changelogs, until when, and whether the result may be processed.
Does not own: when partitions come and go (machine.py), Kafka clients (kafka.py).

Ordering it relies on: the group's stable offsets are read first; the changelogs' read_uncommitted
end offsets after that. A transaction that is in the stable offsets has therefore all of its
changelog records below those end offsets. A changelog is contained when the read_committed reader
has seen its last stable offset pass that end: no transaction below it is open any more.

Invariants: a partition becomes ready only when its marker agrees with the group's offsets for every
input; a store that does not fit its changelog is set aside, never deleted; restoring twice or being
killed half-way ends in the same state, because positions move with the data.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.engine.batch import OpenPartition
from pipeline.engine.errors import CorruptStoreError, PartitionRefusedError
from pipeline.engine.marker import FORMAT, MARKER_KEY, Marker, decode_marker
from pipeline.engine.observer import EngineObserver
from pipeline.engine.ports import (
    ChangelogReader,
    Cluster,
    Disk,
    Message,
    TopicPartition,
    Watermarks,
)
from pipeline.engine.store import ChangelogPosition, PartitionStore
from pipeline.engine.tablespec import TableSpec

READ_RECORDS_MAX = 20_000
"""Changelog records applied in one write."""


@dataclass(slots=True)
class _Restoring:
    """A partition on its way to being ready."""

    store: PartitionStore
    committed: dict[str, int | None]
    started_at: float
    targets: dict[str, int] = field(default_factory=dict)
    records: int = 0
    rewrite: list[TableSpec] = field(default_factory=list)


class Restorer:
    """Restores partitions side by side, a stretch of changelog at a time."""

    def __init__(
        self,
        cluster: Cluster,
        disk: Disk,
        tables: Sequence[TableSpec],
        inputs: Sequence[str],
        generation: str,
        observer: EngineObserver,
    ) -> None:
        self._cluster = cluster
        self._disk = disk
        self._tables = {table.changelog: table for table in tables}
        self._inputs = tuple(inputs)
        self._generation = generation
        self._observer = observer
        self._reader: ChangelogReader | None = None
        self._topic_ids: dict[str, str] = {}
        self._restoring: dict[int, _Restoring] = {}

    @property
    def partitions(self) -> set[int]:
        """The partitions that are being restored."""
        return set(self._restoring)

    @property
    def topic_ids(self) -> Mapping[str, str]:
        """UUIDs of the changelogs, as of the last `start`."""
        return self._topic_ids

    def start(
        self,
        partitions: Mapping[int, PartitionStore | None],
        committed: Mapping[TopicPartition, int | None],
    ) -> None:
        """Begin restoring partitions, beside those that already are.

        Args:
            partitions: with the store where it is open already (roll forward), else None.
            committed: the group's stable offsets of all their inputs, read before this call.
        """
        now = time.monotonic()
        self._topic_ids = self._cluster.topic_ids(list(self._tables))
        marks = self._cluster.watermarks(
            [TopicPartition(changelog, p) for p in partitions for changelog in self._tables]
        )
        for partition, opened in partitions.items():
            store = opened or self._open_store(partition)
            offsets = {t: committed.get(TopicPartition(t, partition)) for t in self._inputs}
            self._restoring[partition] = item = _Restoring(store, offsets, now)
            self._plan(item, marks)
        self._assign()

    def _plan(self, item: _Restoring, marks: Mapping[TopicPartition, Watermarks]) -> None:
        """Decide for each changelog of a partition how far it has to be read."""
        partition = item.store.partition
        reason = None
        for changelog in self._tables:
            mark = marks[TopicPartition(changelog, partition)]
            item.targets[changelog] = mark.high
            position = item.store.positions.get(changelog)
            if position is None:
                continue
            if position.topic_id != self._topic_ids[changelog]:
                if item.store.marker is not None and _agrees(item.store.marker, item.committed):
                    item.rewrite.append(self._tables[changelog])
                    continue
                reason = f"changelog {changelog} was deleted and made again"
            elif position.next_offset > mark.high:
                reason = (
                    f"local state is at offset {position.next_offset} of {changelog},"
                    f" which ends at {mark.high}"
                )
            elif position.next_offset < mark.low:
                reason = f"{changelog} no longer has what follows offset {position.next_offset}"
        if reason is not None:
            item.rewrite.clear()
            item.store.close()
            self._set_aside(partition, reason)
            item.store = self._open_store(partition)

    def _open_store(self, partition: int) -> PartitionStore:
        """The partition's local store; an empty one when it cannot be read."""
        try:
            disk = self._disk.open(partition)
        except CorruptStoreError as error:
            self._set_aside(partition, str(error))
            disk = self._disk.open(partition)
        return PartitionStore(partition, disk, self._generation)

    def _set_aside(self, partition: int, reason: str) -> None:
        path = self._disk.set_aside(partition, reason)
        self._observer.set_aside(partition, reason, path)

    def _assign(self) -> None:
        """Point the reader at everything that still has to be read."""
        offsets: dict[TopicPartition, int] = {}
        for partition, item in self._restoring.items():
            for changelog, target in item.targets.items():
                if any(table.changelog == changelog for table in item.rewrite):
                    continue
                position = item.store.positions.get(changelog)
                known = position is not None and position.topic_id == self._topic_ids[changelog]
                start = position.next_offset if known and position is not None else 0
                if start < target:
                    offsets[TopicPartition(changelog, partition)] = start
        self._reader = self._reader or self._cluster.changelog_reader()
        self._reader.assign(offsets)
        self._pending = set(offsets)

    def step(self, wait_s: float) -> list[PartitionStore]:
        """Read and write one stretch; returns the stores that now contain their changelogs."""
        if self._reader is not None and self._pending:
            records, ends = self._reader.poll(READ_RECORDS_MAX, wait_s)
            self._write(records)
            self._note_ends(ends)
        complete = [
            item.store
            for partition, item in self._restoring.items()
            if not any(tp.partition == partition for tp in self._pending)
        ]
        if not self._pending and self._reader is not None:
            self._reader.close()
            self._reader = None
        return complete

    def _write(self, records: Iterable[Message]) -> None:
        """Write a stretch of changelog records, one atomic batch a partition and changelog."""
        by_source: dict[TopicPartition, list[Message]] = defaultdict(list)
        for record in records:
            by_source[TopicPartition(record.topic(), record.partition())].append(record)
        for source, stretch in by_source.items():
            item = self._restoring.get(source.partition)
            if item is None:
                continue
            table = self._tables[source.topic]
            marker, entries = self._entries(table, stretch)
            next_offset = stretch[-1].offset() + 1
            item.store.restored(
                entries,
                marker,
                source.topic,
                ChangelogPosition(self._topic_ids[source.topic], next_offset),
            )
            item.records += len(stretch)
            self._observer.at("restore")
            self._observer.restoring(source.partition, next_offset, item.targets[source.topic])

    def _entries(
        self, table: TableSpec, stretch: Sequence[Message]
    ) -> tuple[Marker | None, list[tuple[bytes, bytes | None]]]:
        """Local entries of a stretch, and its last marker if the changelog keeps markers."""
        marker = None
        entries: list[tuple[bytes, bytes | None]] = []
        prefix, expand = table.prefix, table.expand
        for record in stretch:
            key, value = record.key(), record.value()
            if key is None:
                continue
            if key == MARKER_KEY:
                if value is not None and table.compacted_only:
                    marker = value
                continue
            for local, content in expand(key, value):
                entries.append((prefix + local, content))
        if marker is None:
            return None, entries
        return decode_marker(marker, generation=self._generation), entries

    def _note_ends(self, ends: Mapping[TopicPartition, int]) -> None:
        for source, end in ends.items():
            item = self._restoring.get(source.partition)
            if item is None or end < item.targets[source.topic]:
                continue
            position = ChangelogPosition(self._topic_ids[source.topic], end)
            if item.store.positions.get(source.topic) != position:
                item.store.restored([], None, source.topic, position)
            self._pending.discard(source)

    def rewrites(self, partition: int) -> list[TableSpec]:
        """Tables whose changelog is to be written anew from the local store."""
        return self._restoring[partition].rewrite

    def finish(
        self, partition: int, inputs: Mapping[TopicPartition, Watermarks]
    ) -> tuple[OpenPartition, int, float]:
        """The restored partition, the number of records read and the seconds it took.

        Args:
            partition: one whose store `step` returned.
            inputs: watermarks of its input partitions.

        Raises:
            PartitionRefusedError: its state does not agree with the group's offsets; its store is
                closed.
        """
        item = self._restoring.pop(partition)
        try:
            marker = self._checked(item, inputs)
        except PartitionRefusedError:
            item.store.close()
            raise
        unrecorded = {topic for topic, offset in item.committed.items() if offset is None}
        opened = OpenPartition(item.store, marker, unrecorded)
        return opened, item.records, time.monotonic() - item.started_at

    def _checked(self, item: _Restoring, inputs: Mapping[TopicPartition, Watermarks]) -> Marker:
        """The marker to go on from, made to contain a position for each input."""
        partition, marker = item.store.partition, item.store.marker
        committed = item.committed
        if marker is None:
            if any(offset is not None for offset in committed.values()):
                raise PartitionRefusedError(
                    f"partition {partition}: the group has committed offsets {committed}, but its"
                    " changelogs are empty",
                    fix="restore the changelog topics from a backup, or start a new generation"
                    " (AWAWAY_GENERATION), which rebuilds everything from the raw topics",
                )
            marker = Marker(FORMAT, self._generation, {}, b"")
        elif not _agrees(marker, committed):
            raise PartitionRefusedError(
                f"partition {partition}: the state contains inputs up to {marker.next_offsets},"
                f" the group's committed offsets are {committed}",
                fix="someone reset the group's offsets or the changelogs: set the offsets back to"
                " those of the state with the worker stopped, or start a new generation",
            )
        rewritten = {table.changelog for table in item.rewrite}
        lost = [c for c, end in item.targets.items() if end == 0 and c not in rewritten]
        if marker.next_offsets and lost:
            raise PartitionRefusedError(
                f"partition {partition}: there is state, but nothing was ever written to"
                f" {', '.join(lost)}",
                fix="the changelog was made again: restore it from a backup, or start a new"
                " generation",
            )
        return Marker(
            FORMAT, self._generation, self._positions(marker, partition, inputs), marker.ledger
        )

    def _positions(
        self, marker: Marker, partition: int, inputs: Mapping[TopicPartition, Watermarks]
    ) -> dict[str, int]:
        """Next offsets of each input; at a generation's very first start the earliest there is."""
        first_start = not marker.next_offsets
        positions = {}
        for topic in self._inputs:
            low, high = inputs[TopicPartition(topic, partition)]
            position = marker.next_offsets.get(topic, low if first_start else 0)
            if not low <= position <= high:
                raise PartitionRefusedError(
                    f"partition {partition}: next offset of {topic} is {position}, the topic has"
                    f" {low} to {high}",
                    fix="raw records aged out unread or the topic was made again: restore it, or"
                    " start a new generation",
                )
            positions[topic] = position
        return positions

    def drop(self, partitions: Iterable[int]) -> None:
        """Stop restoring these partitions; what was restored so far stays on disk."""
        for partition in list(partitions):
            item = self._restoring.pop(partition, None)
            if item is not None:
                item.store.close()
        if self._reader is not None:
            self._assign()

    def close(self) -> None:
        """Stop restoring altogether."""
        for item in self._restoring.values():
            item.store.close()
        self._restoring.clear()
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _agrees(marker: Marker, committed: Mapping[str, int | None]) -> bool:
    """Whether each committed offset, where there is one, is the marker's."""
    return all(
        offset is None or marker.next_offsets.get(topic) == offset
        for topic, offset in committed.items()
    )
