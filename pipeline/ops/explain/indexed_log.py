"""What Kafka has about one user, by an index on this machine instead of reading it all.

Owns: which records are indexed and how, which of them an explanation reads.
Does not own: the files of the index (row_index.py), what follows from the records (explanation.py).

Invariants:
- The index is of the topics' UUIDs, so one that was made again gets another. It goes up to the last
  stable offset of now before it is asked, so an answer is as new as one that reads everything.
- An explanation of a day reads every input that counts for it or for a day beside it, every
  command, and every other input that was appended when one for that day could be; of what was
  rejected, the latest `LETTERS_MAX`. Without a day it reads the latest `LATEST_ROWS` inputs.
- One process uses the index at a time; another one waits.

What was published because of an input was published in one transaction with its audit entry. So it
is found by its time, which is at most a transaction's away, and kept if it names the input.
"""

import fcntl
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Message

from pipeline.codec.published import NotPublishedError, PublishedReader, WriterSchemas
from pipeline.codec.schemas import Schema
from pipeline.core.calendar import DAY_MS, date_of
from pipeline.core.records import Cause, Record, RecordCoordinates
from pipeline.core.rulebook import PolicyBook
from pipeline.kafka.admin import Admin
from pipeline.kafka.by_offset import POINT_BYTES, each_of
from pipeline.kafka.errors import UnreadableLogError
from pipeline.kafka.ranges import read_ranges
from pipeline.kafka.reader import Partition, Reader, record_offset, record_partition
from pipeline.ops.explain.log import OUTPUTS, LogEvidence, reader_of, stuck_at
from pipeline.ops.explain.records import Findings, Looked
from pipeline.ops.explain.row_index import NO_DATE, Row, RowIndex, hash_of
from pipeline.ops.progress import Say, unheard

LATEST_ROWS: Final = 60
"""Inputs that are read when no date is asked for."""

LETTERS_MAX: Final = 200
"""Max rejected inputs of a user that are read whatever date they are of; the latest."""

NEAREST_DATES: Final = 3
"""Inputs of the dates nearest to the one that is asked for; read for the hint."""

TOGETHER_MS: Final = 120_000
"""Max ms between two records of one transaction, which may take no longer."""

_COMMAND: Final = 1
_REFUSED: Final = 2
_ADMIN_S: Final = 15.0


class _Indexed(Record, frozen=True):
    """What of an audit entry is indexed; the rest is not decoded."""

    action: str
    verdict: str
    append_time: int
    cause: Cause
    local_date: int | None = None


class IndexedEvidence(LogEvidence):
    """Kafka by way of an index, as evidence.

    Args:
        client, prefix, schemas, writer_schema, say: as LogEvidence's.
        folder: where the index is; it is made.
        policies: say how late an input may come.

    Raises:
        UnreadableLogError: as LogEvidence.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        prefix: str,
        schemas: tuple[Mapping[str, Schema], WriterSchemas],
        folder: Path,
        policies: PolicyBook,
        say: Say = unheard,
    ) -> None:
        super().__init__(client, prefix, *schemas, None, say)
        self._folder = folder
        self._policies = policies
        self._entry = PublishedReader(_Indexed, _narrowed(schemas[0]["AuditEntry"]), schemas[1])

    def findings(self, user_id: str, day: date | None = None) -> Findings:
        """What an explanation of a day needs, see the invariants.

        Raises:
            UnreadableLogError: the brokers do not answer, or the index cannot be kept.
        """
        home = self.partition(user_id)
        names = [(name, home) for name in OUTPUTS]
        names += [("deadletters", n) for n in range(self.partitions) if n != home]
        partitions = {(f"{self._prefix}{name}", number): name for name, number in names}
        try:
            with self._locked(), reader_of(self._client) as reader:
                indexes = self._opened(list(partitions))
                looked = self._catch_up(reader, indexes)
                about = hash_of(user_id.encode())
                rows = {one: its.of(about) for one, its in indexes.items()}
        except OSError as error:
            raise UnreadableLogError(
                "the index of the log cannot be kept",
                why=str(error),
                fix="free space, correct the permissions, or give --no-index to read the whole log",
            ) from error
        found = self._read(user_id.encode(), self._chosen(rows, day), indexes)
        found.looked = looked
        if day is None:
            inputs = rows[f"{self._prefix}audit", home]
            found.not_read = max(0, len(inputs) - LATEST_ROWS)
        return found

    # --- the index -------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _opened(self, partitions: Sequence[Partition]) -> dict[Partition, RowIndex]:
        admin = Admin({**self._client, "log_level": 0}, _ADMIN_S)
        topics = admin.topics(sorted({topic for topic, _ in partitions}))
        return {
            (topic, number): RowIndex(self._folder / f"{topics[topic].topic_id}-{number}")
            for topic, number in partitions
        }

    def _catch_up(self, reader: Reader, indexes: Mapping[Partition, RowIndex]) -> list[Looked]:
        """Index what came since; say what the index has of each partition."""
        lows, ends = reader.starts(list(indexes)), reader.ends(list(indexes))
        ranges = {one: (max(its.position, lows[one]), ends[one]) for one, its in indexes.items()}
        stuck = self._indexed(reader, ranges, indexes)
        for one, its in indexes.items():
            its.write(stuck.get(one, ends[one]))
        notes = {one: stuck_at(position) for one, position in stuck.items()}
        return [Looked(*one, lows[one], ends[one], None, notes.get(one, "")) for one in indexes]

    def _indexed(
        self,
        reader: Reader,
        ranges: Mapping[Partition, tuple[int, int]],
        indexes: Mapping[Partition, RowIndex],
    ) -> dict[Partition, int]:
        """Index ranges; by partition, up to which offset one was read that is stuck."""
        reading = read_ranges(reader, ranges, lambda n, of: self._say("indexing the log", n, of))
        while True:
            try:
                self._index(next(reading), indexes)
            except StopIteration as end:
                stuck: dict[Partition, int] = end.value
                return stuck

    def _index(self, message: Message, indexes: Mapping[Partition, RowIndex]) -> None:
        partition, key = record_partition(message), message.key()
        time_ms = message.timestamp()[1]
        about, append_s, local_date, flags = hash_of(key or b""), 0, NO_DATE, 0
        if partition[0] == f"{self._prefix}audit":
            try:
                entry = self._entry.read(message.value() or b"")
            except NotPublishedError:
                return  # whoever reads the topic first has said so
            if key is None:
                about = _hash_of_cause(entry.cause.coordinates)
            append_s = entry.append_time // 1000
            local_date = NO_DATE if entry.local_date is None else entry.local_date
            flags |= _COMMAND if entry.action != "completion" else 0
            flags |= _REFUSED if entry.verdict == "dead_letter" else 0
        indexes[partition].add(
            Row(about, record_offset(message), time_ms, append_s, local_date, flags)
        )

    # --- choosing --------------------------------------------------------------------------------

    def _rows(
        self, user_id: str, indexes: Mapping[Partition, RowIndex]
    ) -> dict[Partition, list[Row]]:
        about = hash_of(user_id.encode())
        return {one: its.of(about) for one, its in indexes.items()}

    def _chosen(
        self, rows: Mapping[Partition, Sequence[Row]], day: date | None
    ) -> list[RecordCoordinates]:
        """The records to read, of all topics."""
        by_name: dict[str, list[tuple[Partition, Row]]] = defaultdict(list)
        for partition, found in rows.items():
            name = partition[0].removeprefix(self._prefix)
            by_name[name] += [(partition, row) for row in found]
        audited = by_name["audit"]
        if day is None:
            chosen = sorted(audited, key=lambda one: one[1].append_s)[-LATEST_ROWS:]
        else:
            chosen = self._about(audited, date_of(day))
        times = sorted(row.time_ms for _, row in chosen)
        chosen += sorted(by_name["deadletters"], key=lambda one: one[1].time_ms)[-LETTERS_MAX:]
        for name in ("reconciliation", "portals"):
            chosen += [one for one in by_name[name] if _is_near(times, one[1].time_ms)]
        chosen += by_name["progress"][-1:]
        return [RecordCoordinates(*partition, row.offset) for partition, row in chosen]

    def _about(
        self, audited: Sequence[tuple[Partition, Row]], day: int
    ) -> list[tuple[Partition, Row]]:
        first_s = (day - 3) * DAY_MS // 1000
        last_s = (day + 4) * DAY_MS // 1000 + self._policies.late_ms_max // 1000
        refused = [one for one in audited if one[1].flags & _REFUSED][-LETTERS_MAX:]
        dated = [one for one in audited if one[1].date != NO_DATE]
        nearest = sorted(dated, key=lambda one: abs(one[1].date - day))[:NEAREST_DATES]
        chosen = {
            row.offset: (partition, row)
            for partition, row in audited
            if abs(row.date - day) <= 1
            or row.flags & _COMMAND
            or (row.date == NO_DATE and first_s <= row.append_s < last_s)
        }
        chosen |= {row.offset: (partition, row) for partition, row in (*refused, *nearest)}
        return list(chosen.values())

    # --- reading ---------------------------------------------------------------------------------

    def _read(
        self,
        key: bytes,
        wanted: Sequence[RecordCoordinates],
        indexes: Mapping[Partition, RowIndex],
    ) -> Findings:
        found = Findings()
        unnamed: list[Any] = []
        self._say("reading what the index names", None, None)
        with reader_of(self._client, POINT_BYTES) as reader:
            for _, message in each_of(reader, wanted):
                self._sort(message, key, found, unnamed)
            nameless = [
                RecordCoordinates(*partition, row.offset)
                for _, letter in found.letters
                for partition, its in indexes.items()
                if partition[0] == f"{self._prefix}audit"
                for row in its.of(_hash_of_cause(letter.cause.coordinates))
            ]
            for _, message in each_of(reader, nameless):
                self._sort(message, key, found, unnamed)
        refused = {letter.cause for _, letter in found.letters}
        found.audit += [pair for pair in unnamed if pair[1].cause in refused]
        causes = {entry.cause.coordinates for _, entry in found.audit}
        found.letters = [one for one in found.letters if one[1].cause.coordinates in causes]
        found.alerts = [one for one in found.alerts if one[1].cause.coordinates in causes]
        found.portals = [one for one in found.portals if one[1].cause.coordinates in causes]
        return found


def _is_near(times: Sequence[int], time_ms: int) -> bool:
    at = bisect_left(times, time_ms - TOGETHER_MS)
    return at < len(times) and times[at] <= time_ms + TOGETHER_MS


def _hash_of_cause(cause: RecordCoordinates) -> int:
    """What the audit entry of an input is found by whose user could not be read."""
    return hash_of(b"", str(cause).encode())


def _narrowed(schema: Schema) -> Schema:
    """A schema with the indexed fields only."""
    names = set(_Indexed.__struct_fields__)
    fields = [field for field in schema.tree["fields"] if field["name"] in names]
    return Schema(schema.name, schema.text, {**schema.tree, "fields": fields})
