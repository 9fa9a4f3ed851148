"""One partition's state: committed entries on disk, below an overlay of uncommitted ones.

Owns: which value a read sees, and what one `apply` writes.
Does not own: the bytes on disk (rocks.py), which changelog offsets belong to a transaction
(machine.py), records that are not yet expanded (lazy_records.py).
Invariants: nothing of the overlay is on disk before `apply`, and `discard` leaves no trace of it;
`apply` is one atomic write of data, checkpoint and changelog positions, so the disk is always at
exactly one committed transaction, or on its way to one during a restore.

Local keys: table prefix (1 byte) + key; the engine's own entries start with a zero byte.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from pipeline.engine.errors import CorruptStoreError
from pipeline.engine.ports import KeyValueStore
from pipeline.engine.state.checkpoint import Checkpoint, decode_checkpoint, encode_checkpoint
from pipeline.engine.state.lazy_records import LazyRecords, Writes
from pipeline.engine.state.table_spec import TableSpec

_CHECKPOINT: Final = b"\x00marker"
_POSITIONS: Final = b"\x00positions"
_STANDBY: Final = b"\x00copy"
_PARTIAL: Final = b"\x00partial"
"""Local keys of the engine's own entries. They are on disks, so their bytes keep older words."""


class ChangelogPosition(msgspec.Struct, frozen=True, array_like=True):
    """How far the local store contains a changelog partition.

    Attributes:
        topic_id: UUID of the changelog topic; an offset means nothing in another topic.
        next_offset: where to read on.
    """

    topic_id: str
    next_offset: int


Positions = dict[str, ChangelogPosition]

_encode_positions = msgspec.msgpack.Encoder(order="deterministic").encode
_decode_positions = msgspec.msgpack.Decoder(Positions).decode


class PartitionStore:
    """The state of one partition.

    Single-threaded: the engine's thread and the agents take turns (machine.py).

    Attributes:
        is_standby: the last write came from a changelog and was not validated against the group's
            offsets since. Such a store can follow its changelogs, but never rewrite one.
        is_bulk: whether it is only written at present, and not read.
        lazy: changelog records that are not yet expanded.
    """

    __slots__ = (
        "_disk",
        "_get",
        "_overlay",
        "checkpoint",
        "generation",
        "is_bulk",
        "is_standby",
        "lazy",
        "partition",
        "positions",
    )

    def __init__(self, partition: int, disk: KeyValueStore, generation: str) -> None:
        """Open the state that is on `disk`.

        Raises:
            StoreFormatError: it is of a newer format or of another generation.
            CorruptStoreError: it cannot be read.
        """
        self.partition = partition
        self.generation = generation
        self._disk = disk
        self._get = disk.get
        self.is_bulk = False
        self._overlay: dict[bytes, bytes | None] = {}
        raw = self._read(_CHECKPOINT)
        self.checkpoint: Checkpoint | None = (
            None if raw is None else decode_checkpoint(raw, generation=generation)
        )
        raw = self._read(_POSITIONS)
        self.positions: Positions = {} if raw is None else _decode_positions(raw)
        self.is_standby = self._read(_STANDBY) is not None
        self.lazy = LazyRecords(disk)

    @property
    def overlay(self) -> dict[bytes, bytes | None]:
        """The uncommitted entries, for readers and writers in the hot path."""
        return self._overlay

    @property
    def disk(self) -> KeyValueStore:
        """The committed entries."""
        return self._disk

    def _read(self, local_key: bytes) -> bytes | None:
        try:
            return self._get(local_key)
        except Exception as error:
            raise unreadable(self.partition, error) from error

    @property
    def stores_lazily(self) -> bool:
        """Whether changelog records are stored lazily: many are coming, or some already are."""
        return self.is_bulk or self.lazy.is_any

    def is_partial(self, table: TableSpec) -> bool:
        """Return whether the table's changelog has begun to be rewritten and not yet ended it."""
        return self._read(partial_key(table)) is not None

    def apply(self, checkpoint: Checkpoint, next_offsets: Mapping[str, tuple[str, int]]) -> None:
        """Write the overlay, the checkpoint and the changelog positions, all of it or nothing.

        Args:
            checkpoint: of the committed transaction.
            next_offsets: by changelog, the topic's UUID and the offset to read on from.

        Raises:
            StoreUnwritableError: the overlay is kept; nothing was written.
        """
        positions = self.positions | {
            changelog: ChangelogPosition(topic_id, offset)
            for changelog, (topic_id, offset) in next_offsets.items()
        }
        entries = list(self._overlay.items())
        entries.append((_CHECKPOINT, encode_checkpoint(checkpoint)))
        entries.append((_POSITIONS, _encode_positions(positions)))
        self._disk.write(entries)
        self.checkpoint, self.positions = checkpoint, positions
        self._overlay.clear()

    def expect_bulk(self, is_bulk: bool) -> None:
        """Prepare for many writes without reads, or for both as usual again."""
        self._disk.expect_bulk(is_bulk)
        self._get = self._disk.get
        self.is_bulk = is_bulk

    def promote(self) -> None:
        """Make a standby the partition's state: it was validated against the group's offsets."""
        if self.is_standby:
            self._disk.write([(_STANDBY, None)])
            self.is_standby = False

    def discard(self) -> None:
        """Forget the uncommitted entries."""
        self._overlay.clear()

    def apply_changelog(
        self,
        entries: Writes,
        checkpoint: Checkpoint | None,
        changelog: str,
        position: ChangelogPosition,
    ) -> None:
        """Write the entries of a range of one changelog, and how far it was read, atomically.

        Raises:
            CorruptStoreError: the changelog is behind this store, which therefore contains a
                transaction that was never committed, or that the broker lost.
        """
        if (
            checkpoint is not None
            and self.checkpoint is not None
            and _is_behind(checkpoint, self.checkpoint)
        ):
            raise CorruptStoreError(
                f"the local store of partition {self.partition} has what its changelog has not",
                why=f"it stands at {self.checkpoint.next_offsets}, {changelog} goes on with"
                f" {checkpoint.next_offsets}",
            )
        positions = self.positions | {changelog: position}
        if checkpoint is not None:
            entries[_CHECKPOINT] = encode_checkpoint(checkpoint)
        entries[_POSITIONS] = _encode_positions(positions)
        # equivalent (True): the same entry is written again
        if not self.is_standby:
            # equivalent (string): only the presence of the entry counts
            entries[_STANDBY] = b""
        self._disk.write(entries.items())
        self.is_standby = True
        self.checkpoint = checkpoint or self.checkpoint
        self.positions = positions

    def advance_to(self, changelog: str, position: ChangelogPosition) -> None:
        """Note that a changelog was read up to its end without a record, so no entry changed."""
        positions = self.positions | {changelog: position}
        self._disk.write([(_POSITIONS, _encode_positions(positions))])
        self.positions = positions

    def scan(self, table: TableSpec, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the committed entries of a table in key order, without its prefix and lazy records.

        Raises:
            CorruptStoreError: the store cannot be read.
        """
        for key, value in self._disk.scan(table.prefix + start, table.prefix):
            yield key[1:], value

    def close(self) -> None:
        """Close the store; what was not applied is gone."""
        self._overlay.clear()
        self._disk.close()


def _is_behind(checkpoint: Checkpoint, other: Checkpoint) -> bool:
    return any(
        checkpoint.next_offsets.get(topic, 0) < offset
        for topic, offset in other.next_offsets.items()
    )


def partial_key(table: TableSpec) -> bytes:
    """Return the key of the entry that exists while the table's changelog is being rewritten."""
    return _PARTIAL + table.prefix


def unreadable(partition: int, error: Exception) -> CorruptStoreError:
    """Return the engine's error for a read that failed."""
    return CorruptStoreError(
        f"the local store of partition {partition} cannot be read", why=str(error)
    )
