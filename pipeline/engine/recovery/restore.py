"""Restore partitions: bring their local stores to the last committed transaction.

Owns: which part of the changelogs is read, until when, and whether the result may be processed.
Does not own: when partitions come and go (machine.py), the clients (engine/kafka/).

The order of reads matters: the group's stable offsets come first, the changelogs' high watermarks
after that. So every transaction that is in the stable offsets has all its changelog records below
those watermarks. A restore has a whole changelog once the read_committed reader reports a last
stable offset at or above the watermark: then no transaction below it is open any more.

Invariants: a partition becomes ready only when its checkpoint was validated against the group's
offsets for every input (validation.py); a store that does not fit its changelog is quarantined,
never deleted; a restore that is repeated, or killed half-way, ends in the same state, because
positions are written with the data.

A store that its owner left ahead of the group contains a transaction that the broker acknowledged
as committed, and lost (acquire.py), or someone reset the offsets. Such a store is quarantined and
rebuilt from the changelogs; so is a store of a group without committed offsets. A standby is not,
because it was read from the changelogs.

A restore is repeated as often as trouble with the broker requires, without bound: the partition is
not ready meanwhile, each stall is reported and counted, and the patience with a silent reader
doubles each time. Stores that break are bounded: see `StoreOpener.replace_broken`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.engine.batch import OpenPartition
from pipeline.engine.config import EngineConfig
from pipeline.engine.errors import (
    ChangelogGoneError,
    CorruptStoreError,
    GenerationTermsError,
    PartitionRefusedError,
)
from pipeline.engine.observer import EngineObserver
from pipeline.engine.ports import ChangelogReader, Cluster, Message, TopicPartition, Watermarks
from pipeline.engine.recovery.replay import by_source, note_end, replay
from pipeline.engine.recovery.validation import (
    matches_offsets,
    reasons_to_quarantine,
    undecided,
    validated_checkpoint,
)
from pipeline.engine.state.opener import StoreOpener, misfit
from pipeline.engine.state.store import PartitionStore
from pipeline.engine.state.table_spec import TableSpec

READ_RECORDS_MAX = 20_000
"""Max changelog records of one poll."""

SILENCE_S, SILENCE_S_MAX = 5.0, 60.0
"""Seconds of silence after which a reader that has something to read is replaced; doubled for each
further silent reader, up to the second."""


@dataclass(slots=True)
class _Restoring:
    """A partition that is being restored.

    Attributes:
        committed: the group's offset of each input.
        targets: by changelog, the offset up to which it has to be read.
        lows: by changelog, its first offset that still exists.
        left: by changelog, the number of offsets still to be read.
        total: number of offsets that were to be read at the start, of all changelogs.
        records: number of records read so far.
        rewrite: tables whose changelog has to be rewritten from this store.
        rewritten: changelogs whose rewrite is done.
        refusal: why the partition is refused, where that is known from the start.
    """

    store: PartitionStore
    committed: dict[str, int | None]
    started_at: float
    targets: dict[str, int] = field(default_factory=dict)
    lows: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    total: int = 0
    records: int = 0
    rewrite: list[TableSpec] = field(default_factory=list)
    rewritten: set[str] = field(default_factory=set)
    refusal: PartitionRefusedError | None = None


class Restorer:
    """Restores partitions side by side, one range of changelog at a time."""

    def __init__(
        self, config: EngineConfig, cluster: Cluster, opener: StoreOpener, observer: EngineObserver
    ) -> None:
        self._cluster = cluster
        self._opener = opener
        self._config = config
        self._tables = {table.changelog: table for table in config.tables}
        self._inputs = config.inputs
        self._now = config.clock
        self._observer = observer
        self._reader: ChangelogReader | None = None
        # equivalent (number): it is set before it is looked at, when something is assigned
        self._heard_at = 0.0
        self._patience_s = SILENCE_S
        self._pending: set[TopicPartition] = set()
        self._held: dict[TopicPartition, int] = {}
        self._topic_ids: dict[str, str] = {}
        self._restoring: dict[int, _Restoring] = {}

    @property
    def partitions(self) -> set[int]:
        """The numbers of the partitions that are being restored."""
        return set(self._restoring)

    @property
    def topic_ids(self) -> Mapping[str, str]:
        """UUIDs of the changelogs, as of the last `start`; empty before it."""
        return self._topic_ids

    def start(
        self,
        partitions: Mapping[int, PartitionStore | None],
        committed: Mapping[TopicPartition, int | None],
    ) -> bool:
        """Begin restoring partitions, beside those that are being restored already.

        Args:
            partitions: with the store where it is already open, else None.
            committed: the group's stable offsets of all their inputs, read before this call.

        Returns:
            False where a changelog is another topic than at the last call, which open partitions
            and other restores rely on: call `forget`, and start all of them again.

        Raises:
            BrokerError: the broker did not answer, or a changelog is gone; call again with the
                same partitions.
        """
        now = self._now()
        found = self._asked_topic_ids()
        if others := [name for name, known in self._topic_ids.items() if found[name] != known]:
            self._observer.changelogs_lost(others, is_back=True)
            return False
        self._topic_ids = found
        marks = self._cluster.watermarks(
            [TopicPartition(changelog, p) for p in partitions for changelog in self._tables]
        )
        for partition, opened in partitions.items():
            begun = self._restoring.get(partition)
            store = opened or (begun.store if begun else self._opener.open(partition))
            offsets = {t: committed.get(TopicPartition(t, partition)) for t in self._inputs}
            self._restoring[partition] = item = _Restoring(store, offsets, now)
            self._plan(item, marks)
            self._observer.restoring(partition, 0, item.total)
        self._assign()
        return True

    def _asked_topic_ids(self) -> dict[str, str]:
        found = self._cluster.topic_ids(list(self._tables))
        if gone := [name for name in self._tables if name not in found]:
            raise ChangelogGoneError(
                f"changelogs that are gone: {', '.join(gone)}",
                fix="`awaway topics apply` creates them again; a worker whose disk has the state"
                " rewrites them",
            )
        return found

    def is_outdated(self) -> bool:
        """Return whether a changelog was recreated since `start`, so what was read may be of both.

        Raises:
            BrokerError: the broker did not answer, or a changelog is gone.
        """
        return self._asked_topic_ids() != self._topic_ids

    def _plan(self, item: _Restoring, marks: Mapping[TopicPartition, Watermarks]) -> None:
        """Decide what becomes of a partition's store, and how far each changelog has to be read."""
        store = item.store
        reasons = []
        # Phase 1: compare the store with each changelog. A store at the group's offsets rewrites a
        # recreated changelog; any other misfit is a reason to quarantine it.
        for changelog, table in self._tables.items():
            mark = marks[TopicPartition(changelog, store.partition)]
            item.targets[changelog], item.lows[changelog] = mark.high, mark.low
            position = store.positions.get(changelog)
            reason = misfit(position, changelog, self._topic_ids[changelog], mark)
            if reason is None:
                continue
            is_other = position is not None and position.topic_id != self._topic_ids[changelog]
            is_state = not store.is_standby and matches_offsets(store.checkpoint, item.committed)
            if is_other and is_state:
                item.rewrite.append(table)
                if None in item.committed.values() and mark.high > 0:
                    item.refusal = undecided(store, changelog)
            else:
                reasons.append(reason)
        # Phase 2: compare a store that its owner left with the group's offsets.
        if not (store.is_standby or item.rewrite or reasons):
            # equivalent (assignment): there are no reasons before this one
            reasons += reasons_to_quarantine(store.checkpoint, item.committed)
        # Phase 3: quarantine, refuse or rewrite.
        if reasons:
            item.rewrite.clear()
            item.refusal = None
            item.store = self._opener.replace(store, reasons[-1])
        if item.refusal is not None:
            item.rewrite.clear()
            return
        if item.rewrite and None not in item.committed.values():
            return  # the store is the state; reading on would make it a standby before it is safe
        # Phase 4: count what has to be read. A changelog that will be rewritten is empty.
        for changelog, target in item.targets.items():
            position = item.store.positions.get(changelog)
            low = marks[TopicPartition(changelog, store.partition)].low
            item.left[changelog] = max(0, target - (position.next_offset if position else low))
        item.total = sum(item.left.values())
        if item.total >= self._config.bulk_records_min:
            item.store.expect_bulk(True)

    def _assign(self) -> None:
        """Assign the reader everything that still has to be read."""
        offsets: dict[TopicPartition, int] = {}
        for partition, item in self._restoring.items():
            for changelog in item.left:
                position = item.store.positions.get(changelog)
                start = 0 if position is None else position.next_offset
                if start < item.targets[changelog]:
                    offsets[TopicPartition(changelog, partition)] = start
        self._reader = self._reader or self._cluster.changelog_reader()
        self._reader.assign(offsets)
        self._pending = set(offsets)
        self._held = {}
        self._heard_at = self._now()

    def step(self, wait_s: float) -> list[PartitionStore]:
        """Read and write one range; return the stores that now contain their changelogs."""
        if self._reader is not None and self._pending:
            records, ends = self._reader.poll(READ_RECORDS_MAX, wait_s)
            pending = len(self._pending)
            if self._write(records):
                self._note_ends(ends)
            self._watch(bool(records) or len(self._pending) < pending)
        complete = [
            item.store
            for partition, item in self._restoring.items()
            if not any(tp.partition == partition for tp in self._pending)
        ]
        if not self._pending and self._reader is not None:
            self._reader.close()
            self._reader = None
        return complete

    def _watch(self, is_heard: bool) -> None:
        """Replace a reader that gets no further.

        A client that lived through a broker's restart may wait for ever. Where an open transaction
        holds the end back instead, a new reader does no harm.
        """
        now = self._now()
        if is_heard:
            self._heard_at, self._patience_s = now, SILENCE_S
        # equivalent (>=): they differ at one instant, where both are right
        elif self._reader is not None and self._pending and now - self._heard_at > self._patience_s:
            self._observer.stalled(f"{self._held_by()} for {self._patience_s:.0f} s")
            self._patience_s = min(SILENCE_S_MAX, 2 * self._patience_s)  # a slow broker is no stall
            self._reader.close()
            self._reader = None
            self._assign()

    def _held_by(self) -> str:
        for (topic, number), offset in self._held.items():
            return (
                f"a transaction has been open in {topic}[{number}] since offset {offset}"
                " (if it stays: kafka-transactions.sh find-hanging)"
            )
        return "nothing of the changelogs came"

    def _write(self, records: Iterable[Message]) -> bool:
        """Write changelog records, in one atomic batch for each partition and changelog.

        Returns:
            Whether all of them were written; if not, the reader was assigned anew.
        """
        for source, messages in by_source(records).items():
            item = self._restoring.get(source.partition)
            if item is None:
                continue
            topic_id = self._topic_ids[source.topic]
            try:
                reached = replay(item.store, self._tables[source.topic], messages, topic_id)
            except CorruptStoreError as error:
                self._start_over(item, error)
                return False
            item.records += len(messages)
            item.left[source.topic] = max(0, item.targets[source.topic] - reached)
            self._observer.at("restore")
            left = sum(item.left.values())
            self._observer.restoring(source.partition, item.total - left, item.total)
        return True

    def _start_over(self, item: _Restoring, error: CorruptStoreError) -> None:
        """Begin the restore of a store that broke again, into an empty one."""
        item.store = self._opener.replace_broken(item.store, error)
        item.rewrite.clear()
        item.left = dict(item.targets)
        item.total = sum(item.left.values())
        self._assign()

    def _note_ends(self, ends: Mapping[TopicPartition, int]) -> None:
        for source, end in ends.items():
            item = self._restoring.get(source.partition)
            if item is None or source not in self._pending:
                continue
            if end < item.targets[source.topic]:
                self._held[source] = end
                continue
            try:
                note_end(item.store, source.topic, self._topic_ids[source.topic], end)
            except CorruptStoreError as error:
                self._start_over(item, error)
                return
            item.left[source.topic] = 0
            self._pending.discard(source)
            self._held.pop(source, None)

    def rewrites(self, partition: int) -> list[TableSpec]:
        """Return the tables whose changelog still has to be rewritten from the local store."""
        item = self._restoring[partition]
        return [table for table in item.rewrite if table.changelog not in item.rewritten]

    def rewritten(self, partition: int, table: TableSpec) -> None:
        """Note that a table's changelog was rewritten."""
        self._restoring[partition].rewritten.add(table.changelog)

    def finish(
        self, partition: int, inputs: Mapping[TopicPartition, Watermarks]
    ) -> tuple[OpenPartition, int, float]:
        """Validate a restored partition; return it, the records read and the seconds it took.

        Args:
            partition: one whose store `step` returned.
            inputs: watermarks of its input partitions.

        Raises:
            PartitionRefusedError, GenerationTermsError: its state does not match the group's
                offsets, or this worker's settings; its store is closed.
        """
        item = self._restoring.pop(partition)
        item.store.expect_bulk(False)
        try:
            if item.refusal is not None:
                raise item.refusal
            from_start = [
                changelog
                for changelog, low in item.lows.items()
                if low == 0 and changelog not in item.rewritten
            ]
            checkpoint = validated_checkpoint(
                self._config, item.store, item.committed, from_start, inputs
            )
        except (PartitionRefusedError, GenerationTermsError):
            item.store.close()
            raise
        item.store.promote()
        at = checkpoint.next_offsets
        to_repair = {topic for topic, offset in item.committed.items() if offset != at[topic]}
        if any(item.committed[topic] is not None for topic in to_repair):
            self._observer.offsets_forgotten(partition, item.committed, at)
        opened = OpenPartition(item.store, checkpoint, to_repair)
        return opened, item.records, self._now() - item.started_at

    def drop(self, partitions: Iterable[int]) -> list[PartitionStore]:
        """Stop restoring these partitions; return their stores as far as they are restored."""
        dropped = []
        for partition in list(partitions):
            item = self._restoring.pop(partition, None)
            if item is not None:
                dropped.append(item.store)
        if self._reader is not None:
            self._assign()
        return dropped

    def forget(self) -> list[PartitionStore]:
        """`drop` all, and forget the UUIDs of the changelogs, which are other topics now."""
        dropped = self.drop(self.partitions)
        self._topic_ids = {}
        return dropped

    def close(self) -> None:
        """Close the reader and all stores that are being restored."""
        for item in self._restoring.values():
            item.store.close()
        self._restoring.clear()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
