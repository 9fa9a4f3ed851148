"""What a changelog says last of each user, as of an offset: the other side of a scrub of the disk.

Owns: following one partition of a changelog, a scratch store of it, comparing it with a page.
Does not own: the pages (engine/pages.py), which partition and how fast (scrubbing.py).

Invariants, on which the comparison rests:
- A worker's transaction ends in the changelog with a checkpoint, is seen whole or not at all, and
  is on the disk as a whole. So below a page's position both have the same transactions.
- What stands behind the last checkpoint, up to the end, is of no transaction of a worker. A restore
  would take it, so it counts.
- Compaction keeps the last record of a user. Where it has removed one below the position, a later
  one stands behind the position; so a difference counts only if it is found again later.

Memory is bounded: the scratch store has an offset and a digest of each user, and of records at most
one transaction is held.
"""

from collections import deque
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Final, Protocol

from confluent_kafka import Message

from pipeline.engine.pages import Page
from pipeline.engine.ports import KeyValueStore
from pipeline.engine.state.checkpoint import CHECKPOINT_KEY
from pipeline.kafka.reader import FROM_THE_START, Partition, PolledRecords, record_offset

RECORDS_AT_ONCE: Final = 250
POLL_S: Final = 0.2
FETCH_POLLS_MAX: Final = 50
"""Polls without an answer after which a single record is given up."""

_OFFSET_BYTES: Final = 8


class Log(Protocol):
    """The part of `kafka.reader.Reader` that is needed."""

    def assign(self, offsets: dict[Partition, int]) -> None: ...
    def poll(self, records_max: int, wait_s: float) -> PolledRecords: ...


class ChangelogIndex:
    """What one partition of a changelog says last of each user.

    Args:
        log: assigned here, and nobody else's.
        source: the changelog's name and the partition.
        store: an empty one.
        spent: is told how many records were read, and may take its time.
    """

    def __init__(
        self, log: Log, source: Partition, store: KeyValueStore, spent: Callable[[int], None]
    ) -> None:
        self.position = 0
        self._log = log
        self._source = source
        self._store = store
        self._spent = spent
        self._ahead: deque[Message] = deque()
        self._end = -1
        log.assign({source: FROM_THE_START})

    def read_to(self, next_offset: int) -> None:
        """Make this what the changelog says below an offset that a page has.

        Raises:
            OffsetGoneError, UnreadableLogError: see there.
        """
        while True:
            self._take(lambda record: record_offset(record) < next_offset)
            if any(record.key() == CHECKPOINT_KEY for record in self._ahead):
                return
            if self._end >= max(self.position, next_offset):
                self._take(lambda _: True)  # nobody's transaction
                return
            self._read()

    def _read(self) -> None:
        polled = self._log.poll(RECORDS_AT_ONCE, POLL_S)
        self._ahead += polled.records
        if polled.records:
            self.position = record_offset(polled.records[-1]) + 1
        self._end = max(self._end, polled.ends.get(self._source, -1))
        self._spent(len(polled.records))

    def _take(self, is_wanted: Callable[[Message], bool]) -> None:
        entries: dict[bytes, bytes | None] = {}
        while self._ahead and is_wanted(self._ahead[0]):
            record = self._ahead.popleft()
            key, value = record.key(), record.value()
            if key is None or key[:1] == b"\x00":
                continue
            offset = record_offset(record).to_bytes(_OFFSET_BYTES, "big")
            entries[key] = None if value is None else offset + _digest(value)
        if entries:
            self._store.write(entries.items())

    def unlike(self, start: bytes, page: Page) -> Iterator[bytes]:
        """Yield who differs, or is on one side alone, from a key up to the end of a page.

        Args:
            page: that begins there, and to whose position this was read.
        """
        on_disk = dict(page.entries)
        for key, known in self._store.scan(start):
            if page.following is not None and key >= page.following:
                break
            value = on_disk.pop(key, None)
            if value is None or _digest(value) != known[_OFFSET_BYTES:]:
                yield key
        yield from on_disk

    def value_of(self, key: bytes) -> bytes | None:
        """Read a user's record once more; None where there is none, or it is compacted away.

        Raises:
            OffsetGoneError, UnreadableLogError: see there.
        """
        known = self._store.get(key)
        if known is None:
            return None
        offset = int.from_bytes(known[:_OFFSET_BYTES], "big")
        self._log.assign({self._source: offset})
        try:
            for _ in range(FETCH_POLLS_MAX):
                polled = self._log.poll(1, POLL_S)
                if polled.records:
                    found = polled.records[0]
                    return found.value() if record_offset(found) == offset else None
                if polled.ends:
                    return None
            return None
        finally:
            self._log.assign({self._source: self.position})


def _digest(value: bytes) -> bytes:
    return blake2b(value, digest_size=16).digest()
