"""Detects a consumer that delivers no records of a partition although the partition has some.

Owns: the detection, by a reader that does not belong to the group.
Does not own: what follows (machine.py joins the group again, with a new client).
Invariant: a consumer counts as stalled only when a reader got a committed record that the consumer
should have delivered at least `LOOK_EVERY_S` ago.

Why: after a broker's restart librdkafka may stay a member of its group, with heartbeats, and fetch
nothing any more. The high watermark alone proves nothing, as control records and aborted records
are never delivered; so the detection reads from the consumer's next offset with a new reader.
While every partition advances, it costs one comparison per poll.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from pipeline.engine.config import EngineConfig
from pipeline.engine.errors import BrokerError
from pipeline.engine.ports import Cluster, TopicPartition

LOOK_EVERY_S: Final = 5.0
"""Seconds between two looks, and of silence before a partition is looked at."""

BUSY_RECORDS: Final = 1_000_000
"""Records of other partitions after which a silent partition is looked at. All partitions share one
queue, and this is more than it holds (64 MiB of records that take more than 64 bytes each)."""

PROBE_S: Final = 3.0
"""Max seconds that the reader looks for a record."""

NextOffsets: TypeAlias = Callable[[], Mapping[TopicPartition, int]]

_PROBE_RECORDS: Final = 100


class StallWatch:
    """Watches the group consumer. Not thread-safe: only the engine's thread uses it."""

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
        """Whether the consumer does not deliver records that it should have delivered.

        Args:
            next_offsets: returns the next offset of each partition that it fetches; called only
                when it is time to look.
            records: how many it delivered just now.
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
            return False  # the next poll raises it

    def _quiet(
        self, next_offsets: Mapping[TopicPartition, int], now: float
    ) -> dict[TopicPartition, int]:
        """The next offsets of the partitions that have not advanced for long."""
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
        # 1. What was due at the last look, and has not come since, a reader looks for.
        due = {s: (start, end) for s, (start, end) in self._due.items() if quiet.get(s) == start}
        self._due = {}
        if due and self._is_there(due):
            return True
        # 2. What is due at the next look: silent partitions with offsets that are not known empty.
        marks = self._cluster.watermarks(sorted(quiet))
        ahead = {source: (start, marks[source].high) for source, start in quiet.items()}
        self._empty = {s: offsets for s, offsets in self._empty.items() if ahead.get(s) == offsets}
        self._due = {
            source: offsets
            for source, offsets in ahead.items()
            if offsets[0] < offsets[1] and source not in self._empty
        }
        return False

    def _is_there(self, due: Mapping[TopicPartition, tuple[int, int]]) -> bool:
        """Whether a new reader gets a record in one of these ranges of offsets."""
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
