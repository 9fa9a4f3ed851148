"""One partition's state: committed entries on disk under an overlay of what is not yet committed.

Owns: which value a read sees, and what one apply writes.
Does not own: the bytes on disk (rocks.py), which changelog offset goes with it (machine.py),
records that are not yet expanded (lazy_records.py).
Invariants: until `apply` nothing of the overlay is on disk, and `discard` leaves no trace of it;
`apply` is one atomic write of data, checkpoint and changelog positions, so the disk is always at
exactly one committed transaction, or on its way to one while a restore runs.

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


class ChangelogPosition(msgspec.Struct, frozen=True, array_like=True):
    """How far a changelog partition is contained in the local store.

    Attributes:
        topic_id: UUID of the changelog topic; offsets of another topic mean nothing here.
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
        is_standby: what was written last came from a changelog and was not checked against the group's
            offsets since. Such a store can follow its changelogs, but never replace one.
        is_bulk: it is written, and not read.
        packed: changelog records that are not yet expanded.
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
        """Whether records of changelogs are to be packed: many are coming, or others are."""
        return self.is_bulk or self.lazy.is_any

    def is_partial(self, table: TableSpec) -> bool:
        """Whether the table's changelog said that it is being written anew, and not yet the end."""
        return self._read(partial_key(table)) is not None

    def apply(self, checkpoint: Checkpoint, next_offsets: Mapping[str, tuple[str, int]]) -> None:
        """Write the overlay, the checkpoint and the changelog positions: all of it or nothing.

        Args:
            checkpoint: the committed transaction's.
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
        """Many writes of changelogs and no reads from now on, or both as usual again."""
        self._disk.expect_bulk(is_bulk)
        self._get = self._disk.get
        self.is_bulk = is_bulk

    def promote(self) -> None:
        """What was read from the changelogs is the group's state: this is no mere copy any more."""
        if self.is_standby:
            self._disk.write([(_STANDBY, None)])
            self.is_standby = False

    def discard(self) -> None:
        """Forget what is not committed."""
        self._overlay.clear()

    def apply_changelog(
        self,
        entries: Writes,
        checkpoint: Checkpoint | None,
        changelog: str,
        position: ChangelogPosition,
    ) -> None:
        """Write what a stretch of one changelog said, and how far it was read, atomically.

        Raises:
            CorruptStoreError: the changelog is behind what is here already, so this has something
                that was never committed, or was lost by the broker.
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
        """A changelog was read up to its end without a record: the state is what it was."""
        positions = self.positions | {changelog: position}
        self._disk.write([(_POSITIONS, _encode_positions(positions))])
        self.positions = positions

    def scan(self, table: TableSpec, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Committed entries of a table in key order, without the table's prefix; no packed ones.

        Raises:
            CorruptStoreError: the store cannot be read.
        """
        for key, value in self._disk.scan(table.prefix + start, table.prefix):
            yield key[1:], value

    def close(self) -> None:
        """Close the disk's side; what was not applied is gone."""
        self._overlay.clear()
        self._disk.close()


def _is_behind(checkpoint: Checkpoint, other: Checkpoint) -> bool:
    return any(
        checkpoint.next_offsets.get(topic, 0) < offset
        for topic, offset in other.next_offsets.items()
    )


def partial_key(table: TableSpec) -> bytes:
    """The local entry that is there while the table's changelog is being written anew."""
    return _PARTIAL + table.prefix


def unreadable(partition: int, error: Exception) -> CorruptStoreError:
    """A read that failed, as the engine's error."""
    return CorruptStoreError(
        f"the local store of partition {partition} cannot be read", why=str(error)
    )
