"""The latest progress of every user, on disk.

Owns: the RocksDB store with its layout, which record replaces which, quarantine of a store.
Does not own: reading the topic (materialise.py), how far behind it is (freshness.py), what a record
means (core/reading.py).

Invariants:
- Records and next offsets are in one write, so a process that dies leaves the store as it was after
  some write. There is no write-ahead log, as the topic is one: what was not flushed is read again.
- A user's record is replaced by one of a higher revision, or of the same revision and a higher
  offset; never by an older one. Revisions of a user grow across generations: whatever publishes
  next, a rebuild or its rollback, goes above what was published. So the rule needs no generation,
  and a generation that paused, or publishes late, cannot move a user back.
- A tombstone removes the user.
- A store contains what it belongs to (`Identity`). A store that belongs to something else, cannot
  be read, or is so old that tombstones may have been compacted away, is quarantined and rebuilt.

Concurrency: one writer, the thread of materialise.py, calls `apply`, `flush`, `remember_schema` and
`replace`. Any thread reads: RocksDB gives each read a consistent answer, and the next read sees
what was written. `replace` puts a new database in place in one assignment; reads of the old one end
undisturbed, because its last reference closes it.

Layout: `u` and the user id: a head of partition, offset, revision, record time (big endian), then
the framed Avro as it was published. `p` and the partition: the next offset. `s` and the schema id:
its JSON. `i`: the identity. `n`: the number of users. `t`: until when it was complete, ms.
Folders: `<root>/<n>/`, of which `<root>/CURRENT` names the one in use.
"""

import shutil
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, cast

import msgspec
from rocksdict import (
    AccessType,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteOptions,
)

from pipeline.engine.state.rocks import batch_of, table_with
from pipeline.errors import AwawayError

FORMAT: Final = 1
"""Version of the layout; a store of another version is quarantined."""

USER: Final = b"u"
HEAD: Final = struct.Struct(">Iqqq")
_PARTITION: Final = struct.Struct(">I")
_NUMBER: Final = struct.Struct(">q")
_IDENTITY: Final = b"i"
_COUNT: Final = b"n"
_COMPLETE_AT: Final = b"t"
_POSITION: Final = b"p"
_SCHEMA: Final = b"s"
_WRITE_BUFFER_BYTES: Final = 32 << 20
_QUARANTINED_KEPT: Final = 1


class ReadStoreError(AwawayError):
    """The API's store cannot be opened or written.

    **Operator action**: free space, correct the folder's permissions, or stop the other API
    process that uses the same `AWAWAY_DATA_DIR`. The folder may be deleted: the store is rebuilt
    from the topic.
    """


class Identity(msgspec.Struct, frozen=True):
    """What a store was built from.

    Attributes:
        topic_id: the topic's UUID; a recreated topic has another.
    """

    topic: str
    topic_id: str
    partitions: int
    format: int = FORMAT


class Change(NamedTuple):
    """A record of the topic.

    Attributes:
        user: the key of the record.
        revision: the user's revision; 0 with a tombstone.
        record_time_ms: the Kafka record's timestamp, ms since the epoch.
        value: framed Avro; None is a tombstone.
    """

    user: bytes
    partition: int
    offset: int
    revision: int
    record_time_ms: int
    value: bytes | None


class Held(NamedTuple):
    """The store's entry of a user; `value` is framed Avro."""

    partition: int
    offset: int
    revision: int
    record_time_ms: int
    value: bytes


class Applied(NamedTuple):
    """The result of some changes; `users` are the keys whose record changed."""

    users: list[bytes]
    superseded: int
    erased: int


def held(raw: bytes) -> Held:
    """Unpack an entry that `ProgressStore.raw` returned."""
    partition, offset, revision, record_time_ms = HEAD.unpack_from(raw)
    return Held(partition, offset, revision, record_time_ms, raw[HEAD.size :])


class ProgressStore:
    """The store in use.

    Args:
        root: the folder of the stores.
        cache_bytes: max bytes of blocks in memory.
    """

    def __init__(self, root: Path, cache_bytes: int) -> None:
        self._root = root
        self._cache = Cache(cache_bytes)
        try:
            root.mkdir(parents=True, exist_ok=True)
            current = root / "CURRENT"
            name = current.read_text(encoding="ascii").strip() if current.exists() else ""
        except OSError as error:
            raise _unusable(root, error.strerror or "") from error
        self._number = int(name) if name.isdigit() else 0
        try:
            self._db = self._open(self._number)
        except ReadStoreError as error:
            if "corruption" not in error.why.lower():
                raise
            self._db = self._open_next(error.why)
        self._count = self._load()

    @property
    def identity(self) -> Identity | None:
        """Return what the store was built from; None when it is empty."""
        raw = self._db.get(_IDENTITY)
        return None if raw is None else msgspec.msgpack.decode(raw, type=Identity)

    @property
    def users(self) -> int:
        """Return how many users it has."""
        return self._count

    @property
    def complete_at_ms(self) -> int | None:
        """Return until when it was complete at the last flush, ms since the epoch."""
        raw = self._db.get(_COMPLETE_AT)
        return None if raw is None else _number(raw)

    def raw(self, user: bytes) -> bytes | None:
        """Return a user's entry, see `held`; None without one. Any thread."""
        found: bytes | None = self._db.get(USER + user)
        return found

    def get(self, user_id: str) -> Held | None:
        """Return a user's entry, unpacked. Any thread."""
        raw = self.raw(user_id.encode())
        return None if raw is None else held(raw)

    def scan(self, start: bytes = b"") -> Iterator[tuple[bytes, Held]]:
        """List users in the order of their ids, from `start` on. Any thread.

        The iterator sees the store as it was at its begin; do not keep it for long.
        """
        for key, raw in self._items(USER, start):
            yield key, held(raw)

    def positions(self) -> dict[int, int]:
        """Return the next offset of each partition."""
        return {_PARTITION.unpack(key)[0]: _number(raw) for key, raw in self._items(_POSITION, b"")}

    def schema(self, schema_id: int) -> str | None:
        """Return a remembered writer's schema, as JSON text."""
        raw = self._db.get(_SCHEMA + _PARTITION.pack(schema_id))
        return None if raw is None else raw.decode()

    def remember_schema(self, schema_id: int, text: str) -> None:
        """Store a writer's schema, so that reading the entries does not need the registry."""
        self._write([(_SCHEMA + _PARTITION.pack(schema_id), text.encode())])

    def apply(self, changes: Iterable[Change], positions: Mapping[int, int]) -> Applied:
        """Apply records of the topic in one write.

        Args:
            changes: in the order of each partition.
            positions: the next offset of each partition that moved.
        """
        new: dict[bytes, bytes | None] = {}
        get = self._db.get
        count, superseded, erased = self._count, 0, 0
        for change in changes:
            key = USER + change.user
            old = new[key] if key in new else get(key)
            if change.value is None:
                erased += 1
                if old is not None:
                    count -= 1
                    new[key] = None
                continue
            if old is None:
                count += 1
            else:
                _, offset, revision, _ = HEAD.unpack_from(old)
                if (change.revision, change.offset) <= (revision, offset):
                    superseded += change.revision < revision
                    continue
            new[key] = HEAD.pack(*change[1:5]) + change.value
        entries: list[tuple[bytes, bytes | None]] = list(new.items())
        entries += [(_POSITION + _PARTITION.pack(p), _NUMBER.pack(n)) for p, n in positions.items()]
        entries.append((_COUNT, _NUMBER.pack(count)))
        self._write(entries)
        self._count = count
        return Applied([key[1:] for key in new], superseded, erased)

    def flush(self, complete_at_ms: int | None) -> None:
        """Write everything to disk.

        Args:
            complete_at_ms: the new value of that property; None keeps the old one.
        """
        if complete_at_ms is not None:
            self._write([(_COMPLETE_AT, _NUMBER.pack(complete_at_ms))])
        self._db.flush()

    def replace(self, identity: Identity, reason: str) -> None:
        """Quarantine the store, and put an empty one of another identity in its place.

        Args:
            reason: for a person; it is written into the old store's folder. Only the last
                quarantined store is kept.
        """
        if self.identity is None and not self.positions():
            self._write([(_IDENTITY, msgspec.msgpack.encode(identity))])
            return
        self._db = self._open_next(reason)
        self._write([(_IDENTITY, msgspec.msgpack.encode(identity))])
        self._count = self._load()

    def size_bytes(self) -> int:
        """Return the bytes of its files and of its memory tables."""
        names = ("rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables")
        return sum(self._db.property_int_value(name) or 0 for name in names)

    def close(self) -> None:
        """Flush and close; no read may follow."""
        self._db.close()

    def _load(self) -> int:
        raw = self._db.get(_COUNT)
        return 0 if raw is None else _number(raw)

    def _items(self, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        entries = cast(Iterator[tuple[bytes, bytes]], self._db.items(from_key=prefix + start))
        for key, raw in entries:
            if key[:1] != prefix:
                return
            yield key[1:], raw

    def _open(self, number: int) -> Rdict:
        path = self._root / str(number)
        try:
            db = Rdict(str(path), _options(self._cache), access_type=AccessType.read_write())
        except Exception as error:  # rocksdict raises bare Exception
            raise _unusable(path, str(error)) from error
        options = WriteOptions()
        options.disable_wal = True  # type: ignore[method-assign, assignment] # a property
        db.set_write_options(options)
        return db

    def _open_next(self, reason: str) -> Rdict:
        old = self._root / str(self._number)
        if old.is_dir():
            (old / "WHY.txt").write_text(f"{reason}\n", encoding="utf-8")
        db = self._open(self._number + 1)
        self._number += 1
        fresh = self._root / "CURRENT.new"
        fresh.write_text(f"{self._number}\n", encoding="ascii")
        fresh.replace(self._root / "CURRENT")
        for folder in self._root.iterdir():
            if folder.name.isdigit() and int(folder.name) < self._number - _QUARANTINED_KEPT:
                shutil.rmtree(folder, ignore_errors=True)
        return db

    def _write(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        batch = batch_of(entries)
        try:
            self._db.write(batch)
        except Exception as error:  # rocksdict raises bare Exception
            raise _unusable(self._root / str(self._number), str(error)) from error


def _number(raw: bytes) -> int:
    return int(_NUMBER.unpack(raw)[0])


def _options(cache: Cache) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(3)
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    options.set_max_open_files(256)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_memtable_whole_key_filtering(True)
    options.set_memtable_prefix_bloom_ratio(0.1)
    options.set_block_based_table_factory(table_with(cache))
    return options


def _unusable(path: Path, why: str) -> ReadStoreError:
    fix = "free space, correct the permissions, or give each API process its own AWAWAY_DATA_DIR"
    return ReadStoreError(f"the store {path} cannot be used", why=why, fix=fix, path=str(path))
