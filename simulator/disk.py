"""The simulated disk: databases that lose the end of their writes when their process dies.

Owns: locks, flushes, what a crash leaves, snapshots.
Does not own: what is written (pipeline/engine/state/store.py).
Invariants, as rocks.py promises them: a write is whole or not there; what a crash leaves is a
prefix of the writes; closing flushes; a database that is quarantined is kept.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import Final

from pipeline.engine.errors import CorruptStoreError, StoreLockedError, StoreUnwritableError
from pipeline.engine.state.checkpoint import CHECKPOINT_KEY, decode_checkpoint
from simulator.process import Killed, Process

Entries = dict[bytes, bytes]

STANDBY_KEY: Final = b"\x00copy"
"""The key by which pipeline/engine/state/store.py knows a standby."""


class _Database:
    """One partition's database on a folder."""

    __slots__ = ("entries", "holder", "is_corrupt", "keys", "undo")

    def __init__(self, entries: Entries | None = None) -> None:
        self.entries: Entries = {} if entries is None else entries
        self.keys = sorted(self.entries)
        self.undo: list[list[tuple[bytes, bytes | None]]] = []
        self.holder: Process | None = None
        self.is_corrupt = False

    def write(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        before: list[tuple[bytes, bytes | None]] = []
        for key, value in entries:
            before.append((key, self.entries.get(key)))
            self._set(key, value)
        self.undo.append(before)

    def _set(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            if self.entries.pop(key, None) is not None:
                del self.keys[bisect_left(self.keys, key)]
        else:
            if key not in self.entries:
                insort(self.keys, key)
            self.entries[key] = value

    def crash(self, lost_writes: int) -> None:
        for _ in range(lost_writes):
            for key, value in reversed(self.undo.pop()):
                self._set(key, value)
        self.undo.clear()
        self.holder = None


class Folder:
    """A data folder, which outlives the processes that use it.

    Attributes:
        quarantined: (partition, reason) of what was quarantined.
        used_by: processes that opened something on it.
    """

    def __init__(self) -> None:
        self.databases: dict[int, _Database] = {}
        self.quarantined: list[tuple[int, str]] = []
        self.used_by: list[Process] = []

    def crash(self, process: Process) -> None:
        """Take back some of the last writes of a process that died."""
        for database in self.databases.values():
            if database.holder is process:
                database.crash(process.world.random.randint(0, len(database.undo)))

    def state_positions(self, partition: int) -> dict[str, int]:
        """Next offsets of the inputs that a partition's state contains; empty for a standby."""
        database = self.databases.get(partition)
        if database is None or STANDBY_KEY in database.entries:
            return {}
        raw = database.entries.get(CHECKPOINT_KEY)
        return {} if raw is None else decode_checkpoint(raw, generation="blue").next_offsets

    def snapshot(self) -> dict[int, Entries]:
        """A copy of everything that is on it."""
        return {number: dict(found.entries) for number, found in self.databases.items()}

    def put_back(self, snapshot: dict[int, Entries]) -> None:
        """Restore a snapshot. No process may have the folder open."""
        self.databases = {number: _Database(dict(found)) for number, found in snapshot.items()}


class _Store:
    """`KeyValueStore` on a database."""

    def __init__(self, process: Process, database: _Database) -> None:
        self._process = process
        self._database = database
        self.get = database.entries.get

    def write(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Write all of the entries or none."""
        process, database = self._process, self._database
        process.at("disk write")
        if database.holder is not process:
            raise RuntimeError("a closed database was written to")
        fault = process.dice.at_write()
        if fault == "write failed":
            process.world.effects[fault] += 1
            raise StoreUnwritableError("the disk is full", fix="free space")
        if fault == "store breaks in use":
            process.world.effects[fault] += 1
            database.is_corrupt = True
        if database.is_corrupt:
            raise CorruptStoreError("the database is damaged")
        database.write(entries)
        if fault:
            process.world.effects[fault] += 1
            process.kill()
            raise Killed
        if process.world.random.random() < 0.1:
            database.undo.clear()  # a flush

    def scan(self, start: bytes, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Entries in key order, from the first key that is not below `start`, with the prefix."""
        database = self._database
        for key in database.keys[bisect_left(database.keys, start) :]:
            if not key.startswith(prefix):
                return
            yield key, database.entries[key]

    def expect_bulk(self, is_bulk: bool) -> None:
        """Ignored."""

    def size_bytes(self) -> int:
        """Bytes of all values."""
        return sum(map(len, self._database.entries.values()))

    def close(self) -> None:
        """Flush, and release the lock."""
        if self._database.holder is self._process:
            self._process.at("disk close")
            self._database.undo.clear()
            self._database.holder = None


class SimDisk:
    """`Disk` of a process on a folder."""

    def __init__(self, process: Process, folder: Folder) -> None:
        self._process = process
        self._folder = folder
        process.at_death.append(lambda: folder.crash(process))

    def claim(self) -> None:
        """Always granted, so that two processes on one folder meet at the databases' locks."""

    def open(self, partition: int) -> _Store:
        """Open a partition's database, made when it is not there."""
        process, databases = self._process, self._folder.databases
        process.at("disk open")
        if process not in self._folder.used_by:
            self._folder.used_by = [p for p in self._folder.used_by if not p.is_dead] + [process]
        if any(p is not process and not p.is_dead for p in self._folder.used_by):
            process.world.effects["two workers on one folder"] += 1
        database = databases.get(partition)
        if database is None:
            database = databases[partition] = _Database()
        if database.holder is not None:
            raise StoreLockedError(f"partition {partition} is open in another process")
        if database.is_corrupt:
            process.world.effects["store corrupt"] += 1
            raise CorruptStoreError(f"partition {partition} cannot be read")
        database.holder = process
        return _Store(process, database)

    def quarantine(self, partition: int, reason: str) -> str:
        """Move a closed database out of the way."""
        self._process.at("quarantine")
        database = self._folder.databases.pop(partition)
        if database.holder is not None:
            raise RuntimeError("an open database was moved")
        self._folder.quarantined.append((partition, reason))
        return f"aside-{len(self._folder.quarantined)}"
