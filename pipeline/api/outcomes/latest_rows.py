"""The latest entries of the index, and the number of inputs by verdict and minute.

Owns: their rows in the index's database, and the bounds on them.
Does not own: the database and every other row (index.py), how they are shown (console/).
Invariants: these rows are in the same write as the entries and positions that they are about, so a
restart neither loses nor repeats a count. There are at most LATEST_MAX rows of entries, of which
each new one replaces the oldest, and counts of MINUTES_MAX minutes.

| key | value |
|---|---|
| `t` number mod LATEST_MAX | number, user, and the key of the entry's own row, as msgpack |
| `v` minute verdict | number of inputs that were appended in that minute |
"""

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any, Final, NamedTuple

import msgspec
from rocksdict import Rdict, WriteBatch

LATEST_MAX: Final = 2_000
"""Max entries that are kept as the latest."""

MINUTES_MAX: Final = 60
"""Minutes for which inputs are counted."""

MINUTE_MS: Final = 60_000
_SLOT: Final = struct.Struct(">I")
_NUMBER: Final = struct.Struct(">Q")


class Latest(NamedTuple):
    """Where an entry is in the index.

    Attributes:
        number: grows with each entry.
        row: the key of the entry's row after its user.
    """

    number: int
    user: str
    row: bytes


class LatestRows:
    """Writes and reads these rows.

    Args:
        db: the index's database.
        now_ms: the time of day, ms since the epoch.
    """

    def __init__(self, db: Rdict, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._now_ms = now_ms
        self._number = max((one.number for one in self.latest()), default=0)

    def add(
        self,
        batch: WriteBatch,
        entries: Sequence[tuple[str, bytes]],
        verdicts: Sequence[tuple[int, str]],
    ) -> None:
        """Put rows into the batch that indexes some entries.

        Args:
            entries: user and row key of each entry.
            verdicts: append time, ms since the epoch, and verdict of each input among them.
        """
        for user, row in entries[-LATEST_MAX:]:
            self._number += 1
            slot = b"t" + _SLOT.pack(self._number % LATEST_MAX)
            batch.put(slot, msgspec.msgpack.encode(Latest(self._number, user, row)))
        first = self._first_minute()
        counts = Counter((time_ms // MINUTE_MS, verdict) for time_ms, verdict in verdicts)
        for (minute, verdict), count in counts.items():
            if minute >= first:
                key = b"v" + _NUMBER.pack(minute) + verdict.encode()
                before: Any = self._db.get(key)
                known = 0 if before is None else _NUMBER.unpack(before)[0]
                batch.put(key, _NUMBER.pack(known + count))
        if counts:
            batch.delete_range(b"v", b"v" + _NUMBER.pack(max(0, first)))

    def latest(self) -> list[Latest]:
        """Return the latest entries, the newest last. Any thread."""
        found = []
        for _, value in self._rows(b"t", b"t"):
            found.append(msgspec.msgpack.decode(value, type=Latest))
        return sorted(found)

    def minutes(self) -> list[tuple[int, dict[str, int]]]:
        """Count the inputs by verdict in each of the last MINUTES_MAX minutes. Any thread.

        Returns:
            The first instant of each minute, ms since the epoch, and its counts; oldest first.
        """
        first = self._first_minute()
        found: dict[int, dict[str, int]] = {first + n: {} for n in range(MINUTES_MAX)}
        for key, value in self._rows(b"v", b"v" + _NUMBER.pack(first)):
            minute = _NUMBER.unpack_from(key, 1)[0]
            if minute in found:
                found[minute][key[1 + _NUMBER.size :].decode()] = _NUMBER.unpack(value)[0]
        return [(minute * MINUTE_MS, counts) for minute, counts in found.items()]

    def _rows(self, prefix: bytes, since: bytes) -> Iterator[tuple[bytes, bytes]]:
        rows: Iterator[Any] = self._db.items(from_key=since)
        return takewhile(lambda row: row[0].startswith(prefix), rows)

    def _first_minute(self) -> int:
        return self._now_ms() // MINUTE_MS - MINUTES_MAX + 1
