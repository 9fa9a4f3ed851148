"""What was indexed last and how many inputs had which verdict, kept with the index on disk.

Owns: the rows of that in the index's database, and their bounds.
Does not own: the database and every other row (index.py), how it is shown (console/).
Invariants: rows are in the same write as the entries and positions that they stand for, so a
restart neither loses nor repeats a count. There are at most LATEST_MAX rows of entries, which take
each other's place, and counts of MINUTES_MAX minutes.

| key | value |
|---|---|
| `t` number mod LATEST_MAX | number, user, and the place of the entry's own row, as msgpack |
| `v` minute verdict | inputs that were appended in that minute |
"""

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any, Final, NamedTuple

import msgspec
from rocksdict import Rdict, WriteBatch

LATEST_MAX: Final = 2_000
MINUTES_MAX: Final = 60
MINUTE_MS: Final = 60_000
_SLOT: Final = struct.Struct(">I")
_NUMBER: Final = struct.Struct(">Q")


class Latest(NamedTuple):
    """An entry's place in the index.

    Attributes:
        number: grows with each entry. row: the key of the entry's row after its user.
    """

    number: int
    user: str
    row: bytes


class Recent:
    """The rows.

    Args:
        db: the index's database.
        now_ms: the time of day.
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
        """Put rows into the batch that indexes these entries.

        Args:
            entries: user and row key of each.
            verdicts: append time in ms and verdict of each input among them.
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
        """The last entries, the newest last; any thread."""
        found = []
        for _, value in self._rows(b"t", b"t"):
            found.append(msgspec.msgpack.decode(value, type=Latest))
        return sorted(found)

    def minutes(self) -> list[tuple[int, dict[str, int]]]:
        """Inputs by verdict in each of the last MINUTES_MAX minutes, by append; oldest first.

        Each is the minute's first instant and its counts. Any thread.
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
