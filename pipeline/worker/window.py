"""The windowed table of accepted completions: its keys, its expiry, and what a fold sees of it.

Owns: which local entries one changelog record stands for, which entries are expired, the sweep.
Does not own: the records' meaning (core/dedupe.py), their bytes (codec/state.py), storage
(engine/).

Keys, after the table's prefix; a user id has no zero byte, so keys of two users never collide:

| key | value |
|---|---|
| `i` user `\\0` completion id | append time (8 bytes) + the remembered completion |
| `s` user `\\0` session id | append time (8 bytes) + its completion id |
| `o` user `\\0` cell (8 bytes) | append time of its last change (8 bytes) + the cell's cover |

One changelog record, under the `i` key, stands for all entries that one accepted completion
writes. A changelog that is rewritten from local entries has a record for each `i` and `o` entry.

Invariants: a fold never sees what is older than the window by append time, even where it is still
stored; so a verdict does not depend on the time of a sweep, on compaction or on a restore. The
sweep deletes local entries only: the changelog expires by its topic's retention.
"""

import struct
from itertools import islice
from typing import Final

import msgspec

from pipeline.codec.state import (
    StateDecodeError,
    decode_cover,
    decode_seen,
    encode_cover,
    encode_seen,
)
from pipeline.core.dedupe import Cover, SeenCompletion, SeenUpdate
from pipeline.engine.batch import TableView
from pipeline.engine.state.table_spec import Entries, Stored, TableSpec

SWEEP_ENTRIES_MAX: Final = 2_000
"""Max entries that are examined with one batch, while a sweep is under way."""

DAY_MS: Final = 86_400_000

_stamp = struct.Struct(">q")
_pack_stamp = _stamp.pack
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, str, bytes, list[tuple[int, bytes]]]).decode
"""A changelog record: append time, session id, the completion's bytes, (cell, cover's bytes)."""


def expand(key: bytes, value: bytes | None) -> Entries:
    """The local entries of one changelog record."""
    if value is None or not key.startswith(b"i"):
        return ((key, value),)
    append_time, session_id, seen, covers = _decode(value)
    end = key.index(0) + 1
    stamp, user = _pack_stamp(append_time), key[1:end]
    entries = [(key, stamp + seen), (b"s" + user + session_id.encode(), stamp + key[end:])]
    for cell, cover in covers:
        entries.append((b"o" + user + _pack_stamp(cell), stamp + cover))
    return entries


def is_record(key: bytes, value: bytes | None) -> bool:
    """Tell whether a changelog record is one that a worker could have written, or a deletion."""
    kind = key[:1]
    if value is None:
        return kind in (b"i", b"s", b"o")
    try:
        if kind == b"i":
            append_time, session_id, raw, _ = _decode(value)
            seen, completion_id = decode_seen(raw), key[key.index(0) + 1 :].decode()
            written = (append_time, session_id, completion_id)
            return written == (seen.append_time, seen.session_id, seen.completion_id) and all(
                is_record(*entry) for entry in expand(key, value)[1:]
            )
        if kind == b"o":
            decode_cover(value[8:])
            return len(key) == key.index(0) + 9
        return kind == b"s" and len(value) > _stamp.size and bool(value[8:].decode())
    except (StateDecodeError, msgspec.MsgspecError, struct.error, ValueError):
        return False


def owner(key: bytes) -> bytes:
    """The user that a key belongs to, with the zero byte at the end."""
    return key[1 : key.index(0) + 1]


def records(entries: Stored) -> Stored:
    """The changelog records from which the given local entries can be restored."""
    for key, value in entries:
        if key.startswith(b"i"):
            seen = decode_seen(value[8:])
            yield key, _encode((seen.append_time, seen.session_id, value[8:], []))
        elif key.startswith(b"o"):
            yield key, value


def spec_of(changelog: str, prefix: bytes) -> TableSpec:
    """The engine's definition of the windowed table.

    Args:
        changelog: its topic.
        prefix: first byte of its keys in the local store.
    """
    return TableSpec("seen", changelog, prefix, False, expand, records, owner)


class Window:
    """A `SeenView`: the completions within the window that ends at `now`.

    Attributes:
        now: append time of the current event, ms since the epoch; set before each look-up.
    """

    __slots__ = (
        "_covers",
        "_expand_owner",
        "_get",
        "_ids",
        "_prefix",
        "_put",
        "_repair",
        "_sessions",
        "_user_id",
        "_window_ms",
        "now",
    )

    def __init__(self, table: TableView, window_ms: int) -> None:
        self._get = table.get_local
        self._expand_owner = table.expand_owner
        self._put = table.put_record
        self._repair = table.put
        self._prefix = table.prefix
        self._window_ms = window_ms
        self.now = 0
        self._turn_to("")

    def _turn_to(self, user_id: str) -> None:
        """Make a user's entries readable and build the start of their keys, once for all look-ups
        and writes of an event.
        """
        user = user_id.encode() + b"\0"
        self._expand_owner(user)
        self._user_id = user_id
        self._ids = self._prefix + b"i" + user
        self._sessions = self._prefix + b"s" + user
        self._covers = self._prefix + b"o" + user

    def _is_expired(self, value: bytes) -> bool:
        return _append_time(value) + self._window_ms < self.now

    def by_id(self, user_id: str, completion_id: str) -> SeenCompletion | None:
        """The accepted completion with that id."""
        if user_id != self._user_id:
            self._turn_to(user_id)
        value = self._get(self._ids + completion_id.encode())
        return None if value is None or self._is_expired(value) else decode_seen(value[8:])

    def by_session(self, user_id: str, session_id: str) -> SeenCompletion | None:
        """The accepted completion of that session."""
        if user_id != self._user_id:
            self._turn_to(user_id)
        value = self._get(self._sessions + session_id.encode())
        if value is None or self._is_expired(value):
            return None
        return self.by_id(user_id, value[8:].decode())

    def cover(self, user_id: str, cell: int) -> Cover:
        """The cover of a cell; empty where there is none."""
        if user_id != self._user_id:
            self._turn_to(user_id)
        value = self._get(self._covers + _pack_stamp(cell))
        return () if value is None or self._is_expired(value) else decode_cover(value[8:])

    def remember(self, user_id: str, update: SeenUpdate) -> None:
        """Store an accepted completion."""
        if user_id != self._user_id:
            self._turn_to(user_id)
        entry = update.entry
        append_time, session_id = entry.append_time, entry.session_id
        completion_id = entry.completion_id.encode()
        key = self._ids + completion_id
        stamp = _pack_stamp(append_time)
        seen = encode_seen(entry)
        entries = {
            key: stamp + seen,
            self._sessions + session_id.encode(): stamp + completion_id,
        }
        covers = [(cell, encode_cover(cover)) for cell, cover in update.covers]
        for cell, cover in covers:
            entries[self._covers + _pack_stamp(cell)] = stamp + cover
        self._put(key[1:], _encode((append_time, session_id, seen, covers)), entries)

    def repair(self, key: bytes, value: bytes | None) -> None:
        """Write or delete one changelog record, whatever was there."""
        self._repair(key, value)


class Sweep:
    """Deletes expired entries once a day of append time, a few with each batch.

    Entries in records that are not expanded yet (engine/state/lazy_records.py) are swept a day
    later.
    """

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._day = 0
        self._cursor: bytes | None = None

    def step(self, table: TableView, now: int) -> int:
        """Examine up to `SWEEP_ENTRIES_MAX` entries; returns how many were deleted.

        Args:
            table: the partition's windowed table.
            now: append time of the batch's last event, ms since the epoch.
        """
        if now // DAY_MS > self._day:
            self._day, self._cursor = now // DAY_MS, b""
        if self._cursor is None:
            return 0
        deleted = 0
        oldest = now - self._window_ms
        page = list(islice(table.committed(self._cursor), SWEEP_ENTRIES_MAX))
        for key, value in page:
            if _append_time(value) < oldest:
                current = table.get(key)
                if current is not None and _append_time(current) < oldest:
                    table.forget(key)
                    deleted += 1
        self._cursor = page[-1][0] + b"\0" if len(page) == SWEEP_ENTRIES_MAX else None
        return deleted


def _append_time(value: bytes) -> int:
    return int(_stamp.unpack_from(value)[0])
