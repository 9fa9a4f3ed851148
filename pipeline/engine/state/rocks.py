"""Partition stores in RocksDB, one database a partition.

Owns: paths, options and atomic writes of the local databases.
Does not own: what is in them (store.py).
Invariants: a write is one WriteBatch in one column family, and what was flushed is always a prefix
of the writes; so a process that dies leaves the store as it was after some write, never between. A
database is never deleted, only quarantined.

There is no write-ahead log, because the changelog is one. A store that was not closed lacks at
most the `WRITE_BUFFER_BYTES` of writes since its last flush, and the changelog rolls it forward
(as in Kafka Streams' `RocksDBStore`). Closing flushes.

Layout: `<root>/<partition>/` is the database; `<root>/<partition>.aside-<n>/` is a quarantined one;
`<root>/claimed-by` is locked by the worker, whose process id it contains.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO
from weakref import WeakSet

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    MemtableFactory,
    Options,
    Rdict,
    RdictIter,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from pipeline.engine.errors import (
    CorruptStoreError,
    StoreLockedError,
    StoreUnwritableError,
)

WRITE_BUFFER_BYTES = 64 << 20
"""Bytes of a database's memtable before it is flushed."""

BULK_BUFFER_BYTES = 16 << 20
"""The same while a database is written in bulk."""

BLOCK_CACHE_BYTES = 64 << 20
"""Bytes of the block cache that all databases of a worker share."""

CLAIM_FILE = "claimed-by"
"""Name of the file that a worker locks in its data folder."""

MEMTABLE_BLOOM_RATIO = 0.1
"""Share of a memtable that its bloom filter may take."""


def _options(cache: Cache, *, is_bulk: bool = False) -> Options:
    options = Options(raw_mode=True)
    options.set_allow_concurrent_memtable_write(False)  # there is one writer
    options.create_if_missing(True)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(3)
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    options.set_max_open_files(256)
    # Most look-ups are for keys that are not there: new completions, new sessions.
    if is_bulk:
        # Sorted when it is flushed, not when it is written: 25 times less work for the writer.
        # Small buffers, so that others sort and flush them meanwhile and closing finds little.
        options.set_memtable_factory(MemtableFactory.vector())
        options.set_write_buffer_size(BULK_BUFFER_BYTES)
        options.set_compression_type(DBCompressionType.none())  # left to the compactions after it
    else:
        options.set_memtable_prefix_bloom_ratio(MEMTABLE_BLOOM_RATIO)
        options.set_memtable_whole_key_filtering(True)
    options.set_block_based_table_factory(table_with(cache))
    return options


def table_with(cache: Cache) -> BlockBasedOptions:
    """Return the form of a database's files: filters of whole keys, one cache for all blocks."""
    table = BlockBasedOptions()
    table.set_bloom_filter(10, False)
    table.set_block_cache(cache)
    table.set_cache_index_and_filter_blocks(True)
    return table


def batch_of(entries: Iterable[tuple[bytes, bytes | None]]) -> WriteBatch:
    """Return one atomic write of raw entries; a value of None deletes."""
    batch = WriteBatch(raw_mode=True)
    put, delete = batch.put, batch.delete
    for key, value in entries:
        if value is None:
            delete(key)
        else:
            put(key, value)
    return batch


def _within(prefix: bytes) -> ReadOptions | None:
    """Return options for a scan over the keys that start with a prefix, and no further.

    Without an upper bound the scan would walk over all tombstones behind those keys, and expanding
    lazy records leaves many.
    """
    end = prefix.rstrip(b"\xff")
    if not end:
        return None
    options = ReadOptions()
    options.set_iterate_upper_bound(end[:-1] + bytes((end[-1] + 1,)))
    return options


class _Scan:
    """An iteration over a database, which it keeps open until `release`.

    A traceback may keep one alive for long, and the database has to be closed all the same, so that
    another can be opened in its place.
    """

    def __init__(self, entries: RdictIter, options: ReadOptions | None, path: Path) -> None:
        self._entries: RdictIter | None = entries
        self._options = options  # the iterator goes on reading the bound that they hold
        self._path = path

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return self

    def __next__(self) -> tuple[bytes, bytes]:
        entries = self._entries
        if entries is None:
            raise RuntimeError(f"{self._path} was closed during a scan")
        if entries.valid():
            entry = entries.key(), entries.value()
            entries.next()
            return entry
        try:
            entries.status()
        except Exception as error:  # rocksdict raises bare Exception
            entries = self._entries = None  # the traceback holds this frame
            raise CorruptStoreError(f"{self._path} is damaged", why=str(error)) from error
        raise StopIteration

    def release(self) -> None:
        """Let the database be closed."""
        self._entries = None


class RocksStore:
    """One open database."""

    def __init__(self, path: Path, cache: Cache) -> None:
        self._scans: WeakSet[_Scan] = WeakSet()
        self._path = path
        self._cache = cache
        self._open(is_bulk=False)

    def _open(self, *, is_bulk: bool) -> None:
        path, options = self._path, _options(self._cache, is_bulk=is_bulk)
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._db = Rdict(
                str(path),
                options,
                column_families={"default": options},  # else those of an earlier opening hold
                access_type=AccessType.read_write(),
            )
        except OSError as error:
            raise StoreUnwritableError(
                f"cannot create {path}: {error.strerror}",
                fix="free space on the disk or correct the folder's permissions",
            ) from error
        except Exception as error:  # rocksdict raises bare Exception
            raise _opening_error(path, str(error)) from error
        self._is_bulk = is_bulk
        self.get = self._db.get
        unlogged = WriteOptions()
        unlogged.disable_wal = True  # type: ignore[method-assign, assignment] # a property
        self._db.set_write_options(unlogged)

    def expect_bulk(self, is_bulk: bool) -> None:
        """Reopen the database for many writes without reads, or for both again."""
        if is_bulk != self._is_bulk:
            self.close()
            self._open(is_bulk=is_bulk)

    def write(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Write all of the entries or none; a value of None deletes."""
        batch = batch_of(entries)
        try:
            self._db.write(batch)
        except Exception as error:  # rocksdict raises bare Exception
            if "corruption" in str(error).lower():
                raise CorruptStoreError(f"{self._path} is damaged", why=str(error)) from error
            raise StoreUnwritableError(
                f"cannot write {self._path}: {error}",
                fix="free space on the disk or correct the folder's permissions",
            ) from error

    def scan(self, start: bytes, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Entries in key order, from the first key that is not below `start`; see `KeyValueStore`.

        Raises:
            CorruptStoreError: a block cannot be read. (`Rdict.items` would just end there.)
            RuntimeError: the database was closed meanwhile, or opened anew by `expect_bulk`.
        """
        options = _within(prefix)
        entries = self._db.iter(options)
        entries.seek(start)
        scan = _Scan(entries, options, self._path)
        self._scans.add(scan)
        return scan

    def size_bytes(self) -> int:
        """Return the bytes of the files on disk and of the memtables."""
        total = 0
        for name in ("rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables"):
            total += self._db.property_int_value(name) or 0
        return total

    def close(self) -> None:
        """Close the database and release its lock; scans under way cannot go on."""
        for scan in self._scans:
            scan.release()
        self._db.close()


def _opening_error(path: Path, text: str) -> Exception:
    if "lock" in text.lower() or "resource temporarily unavailable" in text.lower():
        return StoreLockedError(
            f"{path} is open in another process",
            fix="stop the other worker, or give this one its own AWAWAY_DATA_DIR",
        )
    if "corruption" in text.lower():
        return CorruptStoreError(f"{path} cannot be read", why=text)
    return StoreUnwritableError(
        f"cannot open {path}: {text}",
        fix="free space on the disk or correct the folder's permissions",
    )


class RocksDisk:
    """The databases of one worker and generation."""

    def __init__(self, root: Path) -> None:
        """Keep the databases below `root`, which is made when it is not there."""
        self._root = root
        self._cache = Cache(BLOCK_CACHE_BYTES)
        self._claim: IO[str] | None = None

    def claim(self) -> None:
        """Lock the folder for as long as this object lives; a process that dies unlocks it.

        Each database has its own lock too. But two workers on one folder would meet at those only
        when partitions move, and until then each would use the other's stores as its own.
        """
        if self._claim is not None:
            return
        path = self._root / CLAIM_FILE
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            claim = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise StoreUnwritableError(
                f"cannot write {self._root}: {error.strerror}",
                fix="free space on the disk or correct the folder's permissions",
            ) from error
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            claim.seek(0)
            holder = claim.read().strip()
            claim.close()
            raise StoreLockedError(
                f"another worker, process {holder}, works on {self._root}",
                fix="stop that one, or give this one its own AWAWAY_DATA_DIR",
            ) from None
        claim.truncate(0)
        claim.write(f"{os.getpid()}\n")
        claim.flush()
        self._claim = claim

    def open(self, partition: int) -> RocksStore:
        """Open a partition's database; create it when it is not there.

        Raises:
            CorruptStoreError, StoreLockedError, StoreUnwritableError: see there.
        """
        return RocksStore(self._root / str(partition), self._cache)

    def quarantine(self, partition: int, reason: str) -> str:
        """Move a closed database to `<partition>.aside-<n>`, note why, and return the new path."""
        path = self._root / str(partition)
        number = 0
        while (quarantined := self._root / f"{partition}.aside-{number}").exists():
            number += 1
        path.rename(quarantined)
        (quarantined / "WHY.txt").write_text(f"{reason}\n", encoding="utf-8")
        return str(quarantined)
