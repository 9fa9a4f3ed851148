"""Keep standbys: stores of partitions that this worker would own if other slots were lost.

Owns: which partitions have a standby here, the reader that follows their changelogs, and open
stores of partitions that are not owned.
Does not own: owned partitions (ownership.py), what a changelog record writes (replay.py), how a
standby becomes the partition's state (restore.py, as for any other store).

The range assignor assigns partitions by the sorted slots alone. So each worker computes by itself
what it would get after the loss of any `losses` slots, and keeps standbys of just that
(docs/adr/0013). Live slots change with an assignment only; the group is asked for them after each
assignment, and now and then again.

The engine's thread drives this in small steps between its polls: one opened store, or one bounded
offset range of the changelogs. Trouble with the broker never reaches the caller: the standbys wait,
and the polls go on.

Invariants:
- a standby contains what committed transactions wrote, up to its position: it is read with
  read_committed, and data and position are one atomic write;
- a partition is owned or a standby, never both: `take` hands its store over, `keep` gives it back;
- a standby is marked as one on disk, so it never serves to rewrite a changelog;
- a standby is used only after it was restored to the end and validated against the group's offsets,
  so a stale or truncated one costs time and nothing else.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from itertools import combinations
from typing import Final

from pipeline.engine.config import EngineConfig
from pipeline.engine.errors import BrokerError, CorruptStoreError, StoreKeepsBreakingError
from pipeline.engine.observer import EngineObserver
from pipeline.engine.ports import ChangelogReader, Cluster, TopicPartition, Watermarks
from pipeline.engine.recovery.replay import by_source, note_end, replay
from pipeline.engine.state.opener import StoreOpener, misfit
from pipeline.engine.state.store import PartitionStore

ASK_AGAIN_S: Final = 60.0
"""Seconds between two looks at live slots, topics and positions, without an assignment."""

RETRY_S: Final = 5.0
"""Seconds from trouble with the broker to the next try."""


def range_of(slot: str, slots: Iterable[str], partitions: int) -> frozenset[int]:
    """Return what the range assignor assigns to a slot, of a topic with that many partitions.

    Slots are ordered by their bytes; the first `partitions % slots` of them get one more.
    """
    ordered = sorted(slots)  # by code points, which is the order of their bytes in UTF-8
    if slot not in ordered:
        return frozenset()
    index = ordered.index(slot)
    each, more = divmod(partitions, len(ordered))
    start = index * each + min(index, more)
    return frozenset(range(start, start + each + (index < more)))


def standbys_of(slot: str, slots: Sequence[str], partitions: int, losses: int) -> frozenset[int]:
    """Return what a slot does not own now, and would after the loss of up to `losses` others."""
    # equivalent (True): a short cut; without itself a slot would own nothing
    others = [other for other in slots if other != slot]
    after: set[int] = set()
    for count in range(1, losses + 1):
        for lost in combinations(others, count):
            after |= range_of(slot, set(slots) - set(lost), partitions)
    return frozenset(after) - range_of(slot, slots, partitions)


class Standbys:
    """The standbys of one worker, and stores whose partition it may own again."""

    def __init__(
        self, config: EngineConfig, cluster: Cluster, opener: StoreOpener, observer: EngineObserver
    ) -> None:
        self._slot = config.slot_id
        self._losses = config.standbys
        self._bulk_records_min = config.bulk_records_min
        self._expanded_min = config.expanded_min
        # equivalent (number, swap): where the turns begin is a choice
        self._expanded_last = -1
        self._tables = {table.changelog: table for table in config.tables}
        self._now = config.clock
        self._cluster = cluster
        self._opener = opener
        self._observer = observer
        self._reader: ChangelogReader | None = None
        self._topic_ids: dict[str, str] = {}
        self._marks: dict[TopicPartition, Watermarks] = {}
        self._kept: dict[int, PartitionStore] = {}
        self._to_open: list[int] = []
        self._followed: set[int] = set()
        self._given_up: set[int] = set()
        # equivalent (name): assigning nothing to no reader does nothing
        self._is_assigned = True
        self._ask_at = math.inf
        self._is_asking = self._is_outdated = False

    @property
    def partitions(self) -> frozenset[int]:
        """The numbers of the partitions whose changelogs are followed now."""
        return frozenset(self._followed)

    def keep(self, store: PartitionStore) -> None:
        """Keep the store of a partition that is no longer owned; its overlay has to be empty."""
        self._kept[store.partition] = store

    def take(self, partition: int) -> PartitionStore | None:
        """Hand over the store of a partition that is owned from now on; None when there is none."""
        if partition in self._followed:
            self._followed.remove(partition)
            self._is_assigned = False
        if partition in self._to_open:
            self._to_open.remove(partition)
        return self._kept.pop(partition, None)

    def reconsider(self) -> None:
        """Decide again which standbys to keep, because the group has a new assignment."""
        self._to_open.clear()
        self._ask_at = self._now()
        self._is_outdated = self._is_asking

    def step(self, owned: Collection[int], records_max: int) -> bool:
        """Do one small step; return whether there is more to do at once.

        Args:
            owned: partitions of this worker, restoring and refused ones included.
            records_max: max changelog records to read.

        Raises:
            StoreUnwritableError, StoreFormatError: see there.
        """
        try:
            if self._now() >= self._ask_at:
                self._consider(owned)
            if self._to_open:
                self._open(self._to_open.pop(0))
                return True
            return self._follow(records_max)
        except BrokerError as error:
            self._is_asking = self._is_outdated = False
            self._ask_at = self._now() + RETRY_S
            self._observer.standbys_wait(str(error))
            return False

    def _consider(self, owned: Collection[int]) -> None:
        """Decide which standbys to keep, and close the stores of all others."""
        # Phase 1: ask which slots live. The answer comes in a later step, perhaps after a newer
        # assignment, and then it does not count.
        slots = self._cluster.live_slots() if self._losses else ()
        self._is_asking = slots is None
        if slots is None:
            return
        if self._is_outdated:
            self._is_outdated = False  # asked before the last assignment
            return
        # Phase 2: compute the wanted standbys, and read the ends of their changelogs.
        wanted: frozenset[int] = frozenset()
        if slots:
            changelogs = list(self._tables)
            # equivalent (2): all changelogs have as many partitions, so it is enough to ask about
            # one
            count = self._cluster.partition_counts(changelogs[:1])[changelogs[0]]
            wanted = standbys_of(self._slot, slots, count, self._losses)
            wanted -= set(owned) | self._given_up
        if wanted:
            sources = [TopicPartition(topic, n) for n in sorted(wanted) for topic in self._tables]
            topic_ids = self._cluster.topic_ids(changelogs)
            if len(topic_ids) < len(changelogs):
                raise BrokerError("standbys have nothing to follow", why="a changelog is gone")
            self._topic_ids = topic_ids
            self._marks = self._cluster.watermarks(sources)
        # Phase 3: close what is not wanted; the wanted ones are opened one a step.
        self._ask_at = self._now() + ASK_AGAIN_S
        for number in [number for number in self._kept if number not in wanted]:
            self._kept.pop(number).close()
        self._to_open = sorted(wanted)
        if not self._followed <= wanted:
            self._followed &= wanted
            self._is_assigned = False
        self._observer.standbys(sorted(wanted))

    def _open(self, number: int) -> None:
        """Begin to follow a partition, from its store's position or from the start.

        A store that does not fit its changelogs is quarantined, with one exception: one that was
        the partition's state when its changelog was recreated may be the last to have that state.
        It stays as it is, for the day on which this worker owns the partition.
        """
        store = self._kept.get(number) or self._opener.open(number)
        for changelog in self._tables:
            mark = self._marks[TopicPartition(changelog, number)]
            position = store.positions.get(changelog)
            topic_id = self._topic_ids[changelog]
            reason = misfit(position, changelog, topic_id, mark)
            if reason is None:
                continue
            self._is_assigned = False
            if position is not None and position.topic_id != topic_id and not store.is_standby:
                self._kept[number] = store
                self._followed.discard(number)
                return
            store = self._opener.replace(store, reason)
        self._kept[number] = store
        if number not in self._followed:
            store.expect_bulk(self._behind(number) >= self._bulk_records_min)
            self._followed.add(number)
            self._is_assigned = False

    def _follow(self, records_max: int) -> bool:
        """Read and write one range; return whether there is more to do at once."""
        if not self._is_assigned:
            self._assign()
        if self._reader is None:
            return False
        records, ends = self._reader.poll(records_max, 0.0)
        # Phase 1: apply the records, in one atomic write for each partition and changelog.
        for source, messages in by_source(records).items():
            store = self._kept.get(source.partition)
            if store is None or source.partition not in self._followed:
                continue
            table, topic_id = self._tables[source.topic], self._topic_ids[source.topic]
            try:
                replay(store, table, messages, topic_id)
            except CorruptStoreError as error:
                self._start_over(store, error)
                return True
            self._observer.at("standby")
        # Phase 2: move the positions past control markers, where a changelog was read to its end.
        for source, end in ends.items():
            if source.partition not in self._followed:
                continue
            store, topic_id = self._kept[source.partition], self._topic_ids[source.topic]
            try:
                note_end(store, source.topic, topic_id, end)
            except CorruptStoreError as error:
                self._start_over(store, error)
                return True
        # Phase 3: report how far behind they are, and expand lazy records.
        for number in {tp.partition for tp in ends} | {record.partition() for record in records}:
            if number in self._followed:
                behind = self._behind(number)
                if behind == 0:
                    self._kept[number].expect_bulk(False)
                    self._opener.restored_whole(self._kept[number])
                self._observer.standby_lag(number, behind)
        is_expanding = self._expand_some(len(records))
        return len(records) >= records_max or is_expanding

    def _expand_some(self, records: int) -> bool:
        """Expand lazy records of the next standby in turn, more than were read, so they run out.

        Returns:
            Whether a standby had some.
        """
        kept = self._kept
        ready = {n for n in self._followed if kept[n].lazy.is_any and not kept[n].is_bulk}
        if not ready:
            return False
        later = {number for number in ready if number > self._expanded_last}
        number = self._expanded_last = min(later or ready)
        store = self._kept[number]
        try:
            # equivalent (number): how many are expanded at once is a choice, as long as it is more
            # than come in
            store.lazy.expand_some(self._tables.values(), self._expanded_min + 2 * records)
        except CorruptStoreError as error:
            self._start_over(store, error)
        return True

    def _start_over(self, store: PartitionStore, error: CorruptStoreError) -> None:
        """Begin a standby that broke again, into an empty store; give it up when too many broke.

        No worker stops because of a standby: the partition's owner has its state.
        """
        self._is_assigned = False
        number = store.partition
        try:
            self._kept[number] = self._opener.replace_broken(store, error)
        except StoreKeepsBreakingError as final:
            del self._kept[number]
            self._followed.discard(number)
            self._given_up.add(number)
            self._observer.standbys_wait(f"{final}. {final.fix}")

    def _behind(self, number: int) -> int:
        """Return how many changelog offsets a standby is behind the last known high watermarks."""
        behind = 0
        for changelog in self._tables:
            source = TopicPartition(changelog, number)
            position = self._kept[number].positions.get(changelog)
            end = self._reader.high(source) if self._reader else None
            end = self._marks[source].high if end is None else end
            behind += max(0, end - (position.next_offset if position else 0))
        return behind

    def _assign(self) -> None:
        """Assign the reader what is followed, from each standby's positions."""
        offsets: dict[TopicPartition, int] = {}
        for number in self._followed:
            for changelog in self._tables:
                position = self._kept[number].positions.get(changelog)
                offsets[TopicPartition(changelog, number)] = position.next_offset if position else 0
        if offsets:
            self._reader = self._reader or self._cluster.changelog_reader()
            self._reader.assign(offsets)
        else:
            self._close_reader()
        self._is_assigned = True

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def close(self) -> None:
        """Close every store; the standbys stay on disk."""
        self._close_reader()
        for store in self._kept.values():
            store.close()
        self._kept.clear()
        self._followed.clear()
        self._to_open.clear()
