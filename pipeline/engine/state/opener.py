"""Open partitions' local stores, and quarantine those that cannot be used.

Owns: whether a store fits its changelogs, and what becomes of one that does not.
Does not own: databases (rocks.py), what is read into a store (recovery/replay.py).
Invariant: an unusable store is moved to quarantine and never deleted; the store that is opened in
its place is empty.
"""

from collections import Counter
from typing import Final

from pipeline.engine.errors import CorruptStoreError, StoreKeepsBreakingError
from pipeline.engine.observer import EngineObserver
from pipeline.engine.ports import Disk, Watermarks
from pipeline.engine.state.store import ChangelogPosition, PartitionStore

BREAKS_MAX: Final = 3
"""Max stores of a partition that may break in a row; if more do, the disk is at fault."""


class StoreOpener:
    """Opens the stores of one worker."""

    def __init__(self, disk: Disk, generation: str, observer: EngineObserver) -> None:
        self._disk = disk
        self._generation = generation
        self._observer = observer
        self._breaks: Counter[int] = Counter()

    def open(self, partition: int) -> PartitionStore:
        """Open the partition's local store, or an empty one after quarantining an unreadable one.

        Raises:
            StoreFormatError, StoreLockedError, StoreUnwritableError: see there.
        """
        try:
            return self._opened(partition)
        except CorruptStoreError as error:
            self._quarantine(partition, str(error))
        return self._opened(partition)

    def _opened(self, partition: int) -> PartitionStore:
        disk = self._disk.open(partition)
        try:
            return PartitionStore(partition, disk, self._generation)
        except CorruptStoreError:
            disk.close()
            raise

    def replace(self, store: PartitionStore, reason: str) -> PartitionStore:
        """Close a store, quarantine it, and open an empty one in its place."""
        store.close()
        self._quarantine(store.partition, reason)
        return self.open(store.partition)

    def replace_broken(self, store: PartitionStore, error: CorruptStoreError) -> PartitionStore:
        """`replace` a store that broke while it was restored, unless too many did.

        Each broken store means one more restore from the start and one more quarantined folder. So
        their number is bounded, before the disk is full: the worker stops, and the worker that gets
        its partitions has another disk.

        Raises:
            StoreKeepsBreakingError: more than `BREAKS_MAX` stores of the partition broke without a
                call of `restored_whole` in between.
        """
        self._breaks[store.partition] += 1
        if self._breaks[store.partition] > BREAKS_MAX:
            store.close()
            raise StoreKeepsBreakingError(
                f"partition {store.partition}: {BREAKS_MAX + 1} local stores broke one after the"
                " other while they were restored",
                why=str(error),
                fix="replace the disk, or set AWAWAY_DATA_DIR to an empty folder on another; the"
                " state is restored from the changelogs",
            ) from error
        return self.replace(store, str(error))

    def restored_whole(self, store: PartitionStore) -> None:
        """Note that a store was restored; with lazy records left, it may still break."""
        if not store.lazy.is_any:
            self._breaks.pop(store.partition, None)

    def _quarantine(self, partition: int, reason: str) -> None:
        path = self._disk.quarantine(partition, reason)
        self._observer.quarantined(partition, reason, path)


def misfit(
    position: ChangelogPosition | None, changelog: str, topic_id: str, mark: Watermarks
) -> str | None:
    """Return why a changelog cannot be read on from a store's position; None when it can.

    Args:
        position: the store's, of this changelog; None always fits: it is read from the start.
        changelog: its name.
        topic_id: UUID of the topic that has this name now.
        mark: where the changelog partition starts and ends.
    """
    if position is None:
        return None
    if position.topic_id != topic_id:
        return f"changelog {changelog} was deleted and recreated"
    if position.next_offset > mark.high:
        return (
            f"local state is at offset {position.next_offset} of {changelog},"
            f" which ends at {mark.high}"
        )
    if position.next_offset < mark.low:
        return f"{changelog} no longer has what follows offset {position.next_offset}"
    return None
