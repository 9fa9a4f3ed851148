"""Reads a user's records of the streamed topics again, page by page.

Owns: one short-lived reader for one page of one client that resumes, and a page's bounds.
Does not own: the latest records in memory (hub.py), what is sent (stream.py).

Invariants:
- Consecutive pages have every committed record of the user between their first position and their
  last, once, in the order of each topic. A page's time and memory are bounded, but not how far back
  a client may resume.
- Each page makes progress in at least one topic. So the pages also pass ten million records without
  one of the user.
- Topics are merged by the time of their records: a page ends at the least time up to which a topic
  was read; what other topics have beyond it is read again by the next page.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from confluent_kafka import Message

from pipeline.api.live.events import Streamed
from pipeline.errors import AwawayError
from pipeline.kafka.errors import OffsetGoneError, UnreadableLogError
from pipeline.kafka.reader import Reader, record_offset

PAGE_RECORDS_MAX: Final = 1_000
"""Records of one topic at which a page ends; it may have as many more as one poll returns."""

PAGE_S: Final = 4.0
"""Seconds after which a page ends, once every topic has answered."""

SILENT_S_MAX: Final = 20.0
"""Max seconds of a page; a topic that gave no record and no end until then is unavailable."""

_AT_ONCE: Final = 2_000
_POLL_S: Final = 0.2
_REQUEST_TIMEOUT_S: Final = 5.0
_QUEUED_KIB: Final = 16_384


class NotReplayedError(AwawayError):
    """What a client missed cannot be read again.

    Its text begins with `gone` (the topic no longer has all of it) or `unavailable` (the brokers do
    not answer, so it is tried again).

    **Operator action**: none; look at the brokers if clients often get `unavailable`.
    """


class OffsetRange(NamedTuple):
    """The records of a topic from `since` to before `until`; `topic` is an index of TOPICS."""

    topic: int
    name: str
    since: int
    until: int


class ReplayPage(NamedTuple):
    """A part of what a client missed.

    Attributes:
        records: in the order of time, those of each topic in the order of offsets.
        reached: by topic, the offset below which pages had everything.
    """

    records: list[Streamed]
    reached: dict[int, int]


@dataclass(slots=True)
class _Reading:
    """How far one offset_range has been read."""

    offset_range: OffsetRange
    next_offset: int
    seen_ms: int = -1
    is_done: bool = False
    is_paused: bool = False
    found: list[Streamed] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return not (self.is_done or self.is_paused)

    @property
    def was_heard(self) -> bool:
        return self.is_done or self.seen_ms >= 0

    def take(self, record: Message, user: bytes) -> None:
        if self.is_done:
            return
        offset, until = record_offset(record), self.offset_range.until
        if offset < until:
            time_ms = record.timestamp()[1]
            self.seen_ms = max(self.seen_ms, time_ms, 0)
            if record.key() == user:
                value = record.value()
                self.found.append(Streamed(self.offset_range.topic, offset, time_ms, value))
        self.next_offset = min(offset + 1, until)
        self.is_done = self.next_offset >= until

    def reached_end(self, end: int) -> None:
        if not self.is_done:
            self.next_offset = max(self.next_offset, min(end, self.offset_range.until))
            self.is_done = True


@dataclass(frozen=True, slots=True)
class Replay:
    """Reads pages.

    Attributes:
        client: librdkafka settings that reach the cluster.
    """

    client: Mapping[str, Any]

    def page(
        self,
        user: bytes,
        partition: int,
        ranges: Sequence[OffsetRange],
        unwanted: threading.Event,
    ) -> ReplayPage:
        """Read the next records of a user, from some ranges of a partition.

        Args:
            unwanted: the caller sets it to stop the reading.

        Raises:
            NotReplayedError: the records are gone, or the brokers do not answer.
        """
        settings = {
            "fetch.wait.max.ms": 50,
            "queued.max.messages.kbytes": _QUEUED_KIB,
            **self.client,
            "client.id": "awaway-api-replay",
        }
        try:
            with Reader(settings, "awaway-api", timeout_s=_REQUEST_TIMEOUT_S) as reader:
                return _read(reader, user, partition, ranges, unwanted)
        except OffsetGoneError as error:
            raise NotReplayedError("gone") from error
        except UnreadableLogError as error:
            raise NotReplayedError("unavailable", why=str(error)) from error


def _read(
    reader: Reader,
    user: bytes,
    partition: int,
    ranges: Sequence[OffsetRange],
    unwanted: threading.Event,
) -> ReplayPage:
    sinces = {(one.name, partition): one.since for one in ranges}
    lows, highs = reader.starts(list(sinces)), reader.ends(list(sinces))
    if not all(lows[position] <= since <= highs[position] for position, since in sinces.items()):
        raise NotReplayedError("gone")
    reader.assign(sinces)
    readings = {one.name: _Reading(one, one.since) for one in ranges}
    started_s = time.monotonic()
    while any(reading.is_open for reading in readings.values()):
        took_s = time.monotonic() - started_s
        if took_s > PAGE_S and all(reading.was_heard for reading in readings.values()):
            break
        if took_s > SILENT_S_MAX or unwanted.is_set():
            raise NotReplayedError("unavailable", why="the brokers say nothing")
        polled = reader.poll(_AT_ONCE, _POLL_S)
        for record in polled.records:
            readings[str(record.topic())].take(record, user)
        for (name, _), end in polled.ends.items():
            readings[name].reached_end(end)
        for name, reading in readings.items():
            if reading.is_open and len(reading.found) >= PAGE_RECORDS_MAX:
                reading.is_paused = True
                reader.pause((name, partition))
    return _page(list(readings.values()))


def _page(readings: Sequence[_Reading]) -> ReplayPage:
    """Make the page of what was found up to the time that every topic has reached."""
    cut_ms = min((one.seen_ms for one in readings if not one.is_done), default=None)
    records: list[Streamed] = []
    reached = {}
    for reading in readings:
        beyond = None
        for one in reading.found:
            if cut_ms is not None and one.time_ms > cut_ms:
                beyond = one
                break
            records.append(one)
        reached[reading.offset_range.topic] = (
            reading.next_offset if beyond is None else beyond.offset
        )
    return ReplayPage(in_order(records), reached)


def in_order(found: Sequence[Streamed]) -> list[Streamed]:
    """Sort by time, but the records of each topic by offset, as their times may step back."""
    by_topic: dict[int, list[Streamed]] = {}
    for one in found:
        by_topic.setdefault(one.topic, []).append(one)
    queues = {topic: iter(sorted(many, key=_offset)) for topic, many in by_topic.items()}
    by_time = sorted(found, key=lambda one: (one.time_ms, one.topic, one.offset))
    return [next(queues[one.topic]) for one in by_time]


def _offset(one: Streamed) -> int:
    return one.offset
