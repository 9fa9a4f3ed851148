"""A consumer that delivers nothing of a partition although there is something.

Owns: noticing it, by asking the log itself.
Does not own: what follows (machine.py joins the group anew, with a new client).
Invariant: a consumer is called stalled only when a reader of its own was given a committed record
that the consumer should have delivered for `LOOK_EVERY_S` at least.

Why: after a broker's restart librdkafka may go on as a member of its group, with heartbeats, and
fetch nothing any more. The end of a partition alone proves nothing, as control records and aborted
ones are never delivered; so a silence is tested with a reader from where the consumer should go on.
While every partition moves, it costs one comparison a poll.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from pipeline.engine.config import EngineConfig
from pipeline.engine.errors import BrokerError
from pipeline.engine.ports import Cluster, TopicPartition

LOOK_EVERY_S: Final = 5.0

BUSY_RECORDS: Final = 1_000_000
"""While others are delivered, a partition waits for its turn: all share one queue, and this is more
than fits into it (64 MiB of records that take more than 64 bytes each)."""

PROBE_S: Final = 3.0
"""A reader is given this long to find a record."""

NextOffsets: TypeAlias = Callable[[], Mapping[TopicPartition, int]]

_PROBE_RECORDS: Final = 100


class StallWatch:
    """Watches the group consumer. Not thread-safe; the engine's thread drives it."""

    def __init__(self, config: EngineConfig, cluster: Cluster) -> None:
        self._cluster = cluster
        self._now = config.clock
        self._wait_s = config.wait_s
        self._look_at = 0.0
        self._heard_at = 0.0
        # equivalent (number): only its growth is looked at
        self._heard = 0
        self._since: dict[TopicPartition, tuple[int, float, int]] = {}
        self._due: dict[TopicPartition, tuple[int, int]] = {}
        self._empty: dict[TopicPartition, tuple[int, int]] = {}

    def is_stalled(self, next_offsets: NextOffsets, records: int) -> bool:
        """Whether something is due that the consumer does not deliver.

        Args:
            next_offsets: says where it should go on, for each partition that it fetches; asked
                only when it is time to look.
            records: that it delivered just now.
        """
        now = self._now()
        if records:
            self._heard_at = now
            self._heard += records
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_EVERY_S
        quiet = self._quiet(next_offsets(), now)
        if not quiet:
            self._due = {}
            return False
        try:
            return self._is_overdue(quiet)
        except BrokerError:
            return False  # it says so itself, to whoever polls

    def _quiet(
        self, next_offsets: Mapping[TopicPartition, int], now: float
    ) -> dict[TopicPartition, int]:
        """Partitions that have not moved for long."""
        since = {}
        for source, start in next_offsets.items():
            known = self._since.get(source)
            is_still = known is not None and known[0] == start
            since[source] = known if known and is_still else (start, now, self._heard)
        self._since = since
        is_silent = now - self._heard_at >= LOOK_EVERY_S
        return {
            source: start
            for source, (start, at, heard) in since.items()
            if (is_silent and now - at >= LOOK_EVERY_S) or self._heard - heard > BUSY_RECORDS
        }

    def _is_overdue(self, quiet: Mapping[TopicPartition, int]) -> bool:
        due = {s: (start, end) for s, (start, end) in self._due.items() if quiet.get(s) == start}
        self._due = {}
        if due and self._is_there(due):
            return True
        marks = self._cluster.watermarks(sorted(quiet))
        ahead = {source: (start, marks[source].high) for source, start in quiet.items()}
        self._empty = {s: stretch for s, stretch in self._empty.items() if ahead.get(s) == stretch}
        self._due = {
            source: stretch
            for source, stretch in ahead.items()
            if stretch[0] < stretch[1] and source not in self._empty
        }
        return False

    def _is_there(self, due: Mapping[TopicPartition, tuple[int, int]]) -> bool:
        """Whether a new reader is given a record in one of these stretches of offsets."""
        reader = self._cluster.changelog_reader()
        try:
            reader.assign({source: start for source, (start, _) in due.items()})
            unread = dict(due)
            deadline = self._now() + PROBE_S
            while unread and self._now() < deadline:
                records, ends = reader.poll(_PROBE_RECORDS, self._wait_s)
                for record in records:
                    if record.offset() < due[TopicPartition(record.topic(), record.partition())][1]:
                        return True
                for source in ends.keys() & unread.keys():
                    self._empty[source] = unread.pop(source)
            return False
        finally:
            reader.close()
