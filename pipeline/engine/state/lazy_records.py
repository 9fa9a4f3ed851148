"""Lazy records: changelog records that a restore stored whole, to be expanded later.

One record of a windowed table stands for several local entries, and making those is most of a
restore's work. So a restore of many records stores such a record as it came, under its owner. Its
entries are made before the owner's next look-up or write; those of all other owners a few at a
time, while the partition is already being processed (docs/adr/0019).

Owns: where lazy records are in a local store, and whether any are left.
Does not own: what a record stands for (`TableSpec.expand`), which records are lazy (replay.py).

Invariants:
- expanding changes how a committed state is stored, never the state: a lazy record is exchanged for
  its entries in one atomic write, which is part of no transaction;
- an owner's lazy records are later than all of the owner's entries: whoever writes entries of an
  owner expands the owner first (`TableView`), and while a store has lazy records, new ones are
  stored lazily too (`PartitionStore.stores_lazily`). So they can be expanded at any time, in the
  order of their offsets.

Local keys: `\\0packed` + table prefix (1 byte) + owner + changelog offset (8 bytes). No owner is
the beginning of another. Content: length of the record's key (2 bytes; inverted for a record
without a value) + key + value.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Final

from pipeline.engine.errors import unreadable_record
from pipeline.engine.ports import KeyValueStore
from pipeline.engine.state.table_spec import TableSpec

REGION: Final = b"\x00packed"
"""Start of the local keys of lazy records."""

EXPANDED_RECORDS_MAX: Final = 1_000
"""Max records of one owner that one atomic write expands."""

_TABLE_AT: Final = len(REGION)
_OWNER_AT: Final = _TABLE_AT + 1
_offset = struct.Struct(">Q").pack
_length = struct.Struct(">h")
_encode_length = _length.pack
_LENGTH_BYTES: Final = _length.size

Writes = dict[bytes, bytes | None]
"""Local entries to be written, by key; None deletes."""


def lazy_region(table: TableSpec) -> bytes:
    """Return the start of the local keys of a table's lazy records."""
    return REGION + table.prefix


def lazy_entry(
    region: bytes, owner: bytes, offset: int, key: bytes, value: bytes | None
) -> tuple[bytes, bytes]:
    """Return the local entry that stores a changelog record whole.

    Args:
        region: of the table.
        owner: of the key, as the table has it.
        offset: of the record in its changelog.
        key: of the record, at most 32,767 bytes.
        value: of the record.
    """
    if value is None:
        return region + owner + _offset(offset), _encode_length(~len(key)) + key
    return region + owner + _offset(offset), _encode_length(len(key)) + key + value


def _record(content: bytes) -> tuple[bytes, bytes | None]:
    """Return the key and value of a lazy record."""
    (length,) = _length.unpack_from(content)
    is_kept = length >= 0
    end = _LENGTH_BYTES + (length if is_kept else ~length)
    return content[_LENGTH_BYTES:end], content[end:] if is_kept else None


def all_expanded(entries: Mapping[bytes, bytes], tables: Iterable[TableSpec]) -> dict[bytes, bytes]:
    """Return all entries of a store as they are once no lazy records are left."""
    specs = {table.prefix: table for table in tables}
    state = {key: value for key, value in entries.items() if not key.startswith(REGION)}
    for local in sorted(entries.keys() - state.keys()):
        for key, value in _expanded(specs, local, entries[local]):
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
    return state


def _expanded(
    tables: Mapping[bytes, TableSpec], local: bytes, content: bytes
) -> list[tuple[bytes, bytes | None]]:
    """Return the local entries that a lazy record stands for."""
    table = tables[local[_TABLE_AT:_OWNER_AT]]
    prefix, record = table.prefix, _record(content)
    try:
        return [(prefix + key, value) for key, value in table.expand(*record)]
    except Exception as error:
        raise unreadable_record(table.changelog, error) from error


class LazyRecords:
    """The lazy records of one partition's store.

    Attributes:
        is_any: False when there is surely none.
    """

    __slots__ = ("_cursor", "_disk", "_expanded_owners", "_is_added", "is_any")

    def __init__(self, disk: KeyValueStore) -> None:
        """Look whether there are any on `disk`.

        Raises:
            CorruptStoreError: it cannot be read.
        """
        self._disk = disk
        self._expanded_owners: set[bytes] = set()
        self._cursor = b""
        self._is_added = False
        self.is_any = next(iter(disk.scan(REGION, REGION)), None) is not None

    def added(self) -> None:
        """Note that lazy records were written."""
        self.is_any = True
        self._is_added = bool(self._cursor)
        self._expanded_owners.clear()

    def expand_owner(self, table: TableSpec, owner: bytes) -> None:
        """Expand all lazy records of one owner; an empty owner means all.

        Raises:
            CorruptStoreError, StoreUnwritableError: see `KeyValueStore`.
            UnreadableRecordError: see there.
        """
        within = lazy_region(table) + owner
        if within in self._expanded_owners:
            return
        tables, start = {table.prefix: table}, within
        while start:
            start = self._expand_within(start, within, tables, EXPANDED_RECORDS_MAX)
        self._expanded_owners.add(within)

    def expand_some(self, tables: Iterable[TableSpec], records_max: int) -> None:
        """Expand the next lazy records, whoever owns them.

        Args:
            tables: all that may have lazy records.
            records_max: max records to expand.

        Raises:
            CorruptStoreError, StoreUnwritableError: see `KeyValueStore`.
            UnreadableRecordError: see there.
        """
        specs = {table.prefix: table for table in tables}
        self._cursor = self._expand_within(self._cursor or REGION, REGION, specs, records_max)
        if self._cursor:
            return
        self.is_any, self._is_added = self._is_added, False
        self._expanded_owners.clear()

    def _expand_within(
        self, start: bytes, within: bytes, tables: Mapping[bytes, TableSpec], records_max: int
    ) -> bytes:
        """Expand the next records within a prefix; return the key to go on from, empty at the end.

        Going on there spares the scan a walk over the tombstones of what was just deleted.
        """
        writes: Writes = {}
        following = b""
        for count, (local, content) in enumerate(self._disk.scan(start, within)):
            if count == records_max:
                following = local
                break
            writes.update(_expanded(tables, local, content))
            writes[local] = None
        # equivalent (True): a short cut; writing nothing changes nothing
        if writes:
            self._disk.write(writes.items())
        return following
