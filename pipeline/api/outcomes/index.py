"""The index of what became of every input, by user and by completion.

Owns: the index of audit entries, alerts, dead letters and portals in RocksDB, and its look-ups.
Does not own: the form of its rows (rows.py), reading the topics (kafka/tail.py), how HTTP shows an
outcome (statuses.py).

Invariants:
- Rows and the positions that they are about are in one write, so every record is indexed once; a
  record that is read again writes its own row again.
- A recreated topic empties the index, as old positions mean nothing there. So does another form of
  the rows.
- What is older than the history is not shown, whether or not RocksDB has dropped it yet; so the
  index is bounded by what arrives within the history. (RocksDB's TTL drops rows as it compacts.)

The thread that reads the topics writes, and the event loop writes receipts. Any thread reads.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog
from confluent_kafka import Message
from rocksdict import AccessType, DBCompressionType, Options, Rdict, WriteBatch

from pipeline.api.outcomes.latest_rows import LatestRows
from pipeline.api.outcomes.rows import (
    BY_INPUT,
    FORM,
    HIGHEST,
    KINDS,
    NUMBER,
    PLACE,
    ROW,
    TOPICS,
    Entry,
    Outcome,
    completion_key,
    entry_from,
    entry_of,
    input_key,
    position_key,
    row_of,
    row_prefix,
    rows_of,
    user_of,
)
from pipeline.codec.published import NotPublishedError, PublishedReader, WriterSchemas
from pipeline.codec.schemas import Schema
from pipeline.core.records import AuditEntry, DeadLetter
from pipeline.errors import AwawayError
from pipeline.kafka.reader import Partition
from pipeline.kafka.tail import Log

VALUE_BYTES_KEPT: Final = 4_096
"""Max bytes of a dead letter's input in the index; the whole input is at its source offset."""

PAGE_MAX: Final = 1_000
"""Max entries of one look-up."""

INPUTS: Final = "completions"
"""The topic whose inputs can be found by their positions, without its prefix."""

OFFSET_MAX: Final = 2**63 - 1
_DAY_MS: Final = 86_400_000
_WRITE_BUFFER_BYTES: Final = 16 << 20
_log = structlog.get_logger("awaway.api.outcomes")


class OutcomeStoreError(AwawayError):
    """The index of outcomes cannot be opened.

    **Operator action**: free space, correct the folder's permissions, or stop the other API process
    that uses the same `AWAWAY_DATA_DIR`. The folder may be deleted: the index is rebuilt from the
    topics, as far back as the history goes.
    """


class Receipt(msgspec.Struct, frozen=True):
    """A completion that this process sent, as the brokers acknowledged it.

    Attributes:
        digest: SHA-256 of its content, see `Received.digest`.
        sent_ms: when it was sent, ms since the epoch.
    """

    digest: bytes
    partition: int
    offset: int
    sent_ms: int


class OutcomeReaders:
    """Decodes the records of each topic.

    Args:
        schemas: our schemas by record name.
        writer_schema: asks the registry for the schema of an id.
    """

    def __init__(self, schemas: Mapping[str, Schema], writer_schema: WriterSchemas) -> None:
        self._readers = [
            PublishedReader(kind, schemas[kind.__name__], writer_schema) for _, kind in KINDS
        ]

    def read(self, kind: int, value: bytes) -> Outcome:
        """Decode one framed value; raises what PublishedReader.read raises."""
        record: Outcome = self._readers[kind].read(value)
        if isinstance(record, DeadLetter):
            value_kept = (record.value or b"")[:VALUE_BYTES_KEPT] or record.value
            return msgspec.structs.replace(record, value=value_kept, headers=())
        return record


class Outcomes:
    """The index, a Follower of its topics.

    Args:
        folder: the folder of the database.
        prefix: the prefix of the topics.
        readers: decode the records.
        history_days: how far back the index goes, days.
        now_ms: the time of day, ms since the epoch.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        readers: OutcomeReaders,
        history_days: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._kinds = {f"{prefix}{name}": number for number, name in enumerate(TOPICS)}
        self._inputs = f"{prefix}{INPUTS}"
        self._readers = readers
        self._history_ms = history_days * _DAY_MS
        self._now_ms = now_ms
        self._db = _open(folder, history_days)
        self._keep_form()
        self.partitions = 0
        """Partitions of each topic, and of the topic of completions; 0 while that is unknown."""
        self.latest_rows = LatestRows(self._db, now_ms)
        self.complete_at_ms: int | None = None
        self.listeners: list[Callable[[str, Entry], None]] = []
        """Called on the reading thread with user and entry of each indexed record; quick."""

    @property
    def topics(self) -> tuple[str, ...]:
        """Return the full names of its topics."""
        return tuple(self._kinds)

    def _keep_form(self) -> None:
        if self._db.get(b"f") != FORM:
            self._empty()
        self._db.put(b"f", FORM)  # written at each start, as rows have a lifetime

    def _empty(self) -> None:
        self._db.delete_range(b"\x00", b"\xff")

    # --- following -------------------------------------------------------------------------------

    def begin(self, log: Log) -> Mapping[Partition, int]:
        """Return where to read on: where it stopped, or where the history begins."""
        ends = log.ends
        identity = msgspec.json.encode(sorted(log.topic_ids.items()))
        known = self._db.get(b"i")
        if known is not None and known != identity:
            _log.warning("the index is emptied: a topic was made again", topics=self.topics)
            self._empty()
        self._db.put(b"f", FORM)
        self._db.put(b"i", identity)
        self.partitions = 1 + max((partition for _, partition in ends), default=-1)
        kept = {
            one: NUMBER.unpack(raw)[0]
            for one in ends
            if (raw := self._db.get(position_key(self._kinds[one[0]], one[1]))) is not None
        }
        fresh = [one for one in ends if one not in kept]
        if not fresh:
            return kept
        found = log.since(fresh, self._now_ms() - self._history_ms)
        return kept | {one: at if at >= 0 else ends[one] for one, at in found.items()}

    def take(self, records: Sequence[Message], positions: Mapping[Partition, int]) -> None:
        """Index records."""
        batch = WriteBatch(raw_mode=True)
        told: list[tuple[str, Entry]] = []
        for message in records:
            kind = self._kinds[message.topic() or ""]
            try:
                record = self._readers.read(kind, message.value() or b"")
            except NotPublishedError as error:
                _log.warning(
                    "a record was passed over",
                    topic=message.topic(),
                    partition=message.partition(),
                    offset=message.offset(),
                    reason=str(error),
                )
                continue
            for key, value in rows_of(kind, message, record, self._inputs):
                batch.put(key, value)
            told.append((user_of(message, record), entry_of(kind, message, record)))
        self.latest_rows.add(
            batch,
            [(user, row_of(entry)) for user, entry in told],
            [
                (entry.record.append_time, entry.record.verdict)
                for _, entry in told
                if isinstance(entry.record, AuditEntry)
            ],
        )
        for (topic, partition), position in positions.items():
            batch.put(position_key(self._kinds[topic], partition), NUMBER.pack(position))
        self._db.write(batch)
        for user, entry in told:
            for listener in self.listeners:
                listener(user, entry)

    def caught_up(self) -> None:
        """Note that everything committed until now is indexed."""
        self.complete_at_ms = self._now_ms()

    # --- what it knows ---------------------------------------------------------------------------

    def of_user(
        self,
        user_id: str,
        topics: Sequence[str] = TOPICS,
        *,
        before: bytes = b"",
        limit: int = 100,
    ) -> tuple[list[Entry], bytes]:
        """Return the entries about a user, the newest first.

        Args:
            user_id: `""` for the entries whose user could not be read.
            topics: the wanted topics, of TOPICS.
            before: where the previous page ended; empty: begin at the newest.
            limit: max entries, 1 to PAGE_MAX.

        Returns:
            The entries, and where the next page begins; empty on the last page.
        """
        wanted = {TOPICS.index(name) for name in topics}
        prefix = row_prefix(user_id)
        last = prefix + (before if len(before) == ROW.size else HIGHEST)
        oldest_ms = self._now_ms() - self._history_ms
        found: list[Entry] = []
        for key, value in self._scan(last, backwards=True):
            if not key.startswith(prefix) or len(key) != len(prefix) + ROW.size:
                break
            if key == last:
                continue
            place = key[len(prefix) :]
            time_ms, kind, partition, offset = ROW.unpack(place)
            if time_ms < oldest_ms:
                break
            if kind in wanted:
                found.append(entry_from(kind, partition, offset, time_ms, value))
                if len(found) >= min(limit, PAGE_MAX):
                    return found, place
        return found, b""

    def latest(self) -> list[tuple[str, Entry]]:
        """Return users and entries that were indexed last, the newest last; at most LATEST_MAX."""
        found = []
        for one in self.latest_rows.latest():
            time_ms, kind, partition, offset = ROW.unpack(one.row)
            value = self._db.get(row_prefix(one.user) + one.row)
            if value is not None:
                found.append((one.user, entry_from(kind, partition, offset, time_ms, value)))
        return found

    def of_completion(self, user_id: str, completion_id: str) -> list[Entry]:
        """Return the entries about a completion, in no order; at most PAGE_MAX."""
        prefix = completion_key(b"c", user_id, completion_id) + b"\x00"
        oldest_ms = self._now_ms() - self._history_ms
        found: list[Entry] = []
        for key, value in self._scan(prefix):
            if not key.startswith(prefix) or len(found) >= PAGE_MAX:
                break
            kind, partition, offset = PLACE.unpack(key[len(prefix) :])
            time_ms = NUMBER.unpack(value)[0]
            row = self._db.get(row_prefix(user_id) + ROW.pack(time_ms, kind, partition, offset))
            if row is not None and time_ms >= oldest_ms:
                found.append(entry_from(kind, partition, offset, time_ms, row))
        return found

    def of_input(self, partition: int, offset: int) -> list[Entry]:
        """Return the audit entry and the dead letter of an input by its position, as there are."""
        oldest_ms = self._now_ms() - self._history_ms
        found = []
        for kind in BY_INPUT:
            key = self._db.get(input_key(kind, partition, offset))
            row = None if key is None else self._db.get(key)
            if key is not None and row is not None:
                time_ms, _, own_partition, own_offset = ROW.unpack(key[-ROW.size :])
                if time_ms >= oldest_ms:
                    found.append(entry_from(kind, own_partition, own_offset, time_ms, row))
        return found

    def last_input(self, partition: int) -> int:
        """Return the last offset of a partition of completions that has an audit entry, else −1.

        Every input before it was processed, as inputs are audited in their order.
        """
        kind = BY_INPUT[0]
        for key, _ in self._scan(input_key(kind, partition, OFFSET_MAX), backwards=True):
            if key[:1] == b"q" and len(key) == 1 + PLACE.size:
                found_kind, found_partition, offset = PLACE.unpack(key[1:])
                if (found_kind, found_partition) == (kind, partition):
                    return int(offset)
            break
        return -1

    def is_kept(self, time_ms: int) -> bool:
        """Tell whether an input with this append time is within the history."""
        return time_ms >= self._now_ms() - self._history_ms

    def receipt(self, user_id: str, completion_id: str) -> Receipt | None:
        """Return the receipt of what this process sent last with that id, within the history."""
        raw = self._db.get(completion_key(b"p", user_id, completion_id))
        if raw is None:
            return None
        found = msgspec.msgpack.decode(raw, type=Receipt)
        return found if found.sent_ms >= self._now_ms() - self._history_ms else None

    def remember(self, user_id: str, completion_id: str, receipt: Receipt) -> None:
        """Store a receipt."""
        key = completion_key(b"p", user_id, completion_id)
        self._db.put(key, msgspec.msgpack.encode(receipt))

    def close(self) -> None:
        """Flush and close; no read may follow."""
        self._db.close()

    def _scan(self, start: bytes, *, backwards: bool = False) -> Iterator[tuple[bytes, bytes]]:
        yield from self._db.items(backwards=backwards, from_key=start)


def _open(folder: Path, history_days: int) -> Rdict:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_keep_log_file_num(2)
    options.set_max_open_files(128)
    options.set_compression_type(DBCompressionType.lz4())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A day more, so that nothing is dropped that may still be shown.
        lifetime_s = (history_days + 1) * _DAY_MS // 1000
        return Rdict(str(folder), options, access_type=AccessType.with_ttl(lifetime_s))
    except Exception as error:
        fix = "free space, correct the permissions, or give each API process its own data folder"
        raise OutcomeStoreError(
            f"the index {folder} cannot be used", why=str(error), fix=fix, path=str(folder)
        ) from error
